import ComputeBackends
import Foundation
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Weights of a component", .watched)
struct WeightStoreTests {
    /// Writes tensors of float32 ramps that begin at each name's length.
    private func write(
        _ tensors: [String: Shape], to path: String, type: FloatType = .float32
    ) throws {
        let names = tensors.keys.sorted()
        var writer = try SafeTensorsWriter(
            path: path,
            tensors: names.map { .init(name: $0, type: type, shape: tensors[$0] ?? Shape(0)) })
        for name in names {
            let count = tensors[name]?.count ?? 0
            try writer.append((0..<count).map { Float(name.utf8.count + $0) })
        }
        try writer.finish()
    }

    private func index(_ map: [String: String]) throws -> String {
        let data = try JSONSerialization.data(withJSONObject: ["weight_map": map])
        return String(decoding: data, as: UTF8.self)
    }

    @Test("a wrong or missing tensor names file, tensor, expected and found shape")
    func wrongTensors() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/diffusion_pytorch_model.safetensors"
        try write(["conv_in.weight": Shape(2, 3)], to: path)
        let store = try WeightStore(component: folder.path)
        expectError(path, "conv_in.weight", "expected shape (3, 2)", "found (2, 3)") {
            _ = try store.tensor("conv_in.weight", shape: Shape(3, 2))
        }
        expectError(path, "conv_in.bias", "missing", "(2)") {
            _ = try store.tensor("conv_in.bias", shape: Shape(2))
        }
        expectError(path, "conv_out.weight") {
            try store.check([
                ParameterShape(name: "conv_in.weight", shape: Shape(2, 3), role: .bias),
                ParameterShape(name: "conv_out.weight", shape: Shape(2, 3), role: .bias),
            ])
        }
    }

    @Test("tensors of other types are listed, and refused when they are asked for")
    func otherTypes() throws {
        let folder = try TemporaryFolder()
        let entries =
            #"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#
            + #""odd":{"dtype":"F6_E9","shape":[1],"data_offsets":[8,9]}}"#
        try folder.write(
            safetensors(entries, data: Array(repeating: 0, count: 9)), "model.safetensors")
        let store = try WeightStore(component: folder.path)
        #expect(store.names == ["ids", "odd"])
        expectError("ids", "I64") { _ = try store.tensor("ids", shape: Shape(1)) }
        expectError("odd", "F6_E9") { _ = try store.tensor("odd", shape: Shape(1)) }
    }

    @Test("shards listed by an index are one component, with one fingerprint however they lie")
    func shards() throws {
        let (whole, parts) = (try TemporaryFolder(), try TemporaryFolder())
        try write(["a": Shape(2), "bb": Shape(3)], to: "\(whole.path)/model.safetensors")
        try write(["a": Shape(2)], to: "\(parts.path)/model-00001-of-00002.safetensors")
        try write(["bb": Shape(3)], to: "\(parts.path)/model-00002-of-00002.safetensors")
        try parts.write(
            index([
                "a": "model-00001-of-00002.safetensors", "bb": "model-00002-of-00002.safetensors",
            ]), "model.safetensors.index.json")
        let (one, two) = (
            try WeightStore(component: whole.path), try WeightStore(component: parts.path)
        )
        #expect(try two.tensor("bb", shape: Shape(3)).elements == [2, 3, 4])
        #expect(one.names == two.names)
        #expect(one.fingerprint == two.fingerprint)
        expectError(parts.path, "tensor c") { _ = try two.tensor("c", shape: Shape(1)) }
    }

    @Test("an index that lies is an error")
    func lyingIndex() throws {
        let folder = try TemporaryFolder()
        try write(["a": Shape(2)], to: "\(folder.path)/one.safetensors")
        try write(["a": Shape(2)], to: "\(folder.path)/same.safetensors")
        func refused(_ json: String, _ parts: String...) throws {
            try folder.write(json, "model.safetensors.index.json")
            do {
                _ = try WeightStore(component: folder.path)
                Issue.record("accepted: \(json)")
            } catch {
                for part in parts { #expect("\(error)".contains(part), "\(error)") }
            }
        }
        try refused("{", "index.json")
        try refused("[]", "weight_map")
        try refused(#"{"weight_map":{}}"#, "weight_map")
        try refused(#"{"weight_map":{"a":7}}"#, "tensor a", "7")
        try refused(index(["a": "../one.safetensors"]), "name of a file in this folder")
        try refused(index(["a": "absent.safetensors"]), "absent.safetensors", "missing")
        try refused(index(["b": "one.safetensors"]), "tensor b", "nothing")
        try refused(index(["a": "one.safetensors", "b": "same.safetensors"]), "in one file")
    }

    @Test("full precision is taken before fp16, and fp16 where it is alone")
    func variants() throws {
        let folder = try TemporaryFolder()
        expectError("model.safetensors", "missing") {
            _ = try WeightStore(component: folder.path)
        }
        try write(
            ["half": Shape(1)], to: "\(folder.path)/model.fp16.safetensors", type: .float16)
        #expect(try WeightStore(component: folder.path).names == ["half"])
        try write(["full": Shape(1)], to: "\(folder.path)/model.safetensors")
        #expect(try WeightStore(component: folder.path).names == ["full"])
    }

    @Test("the fingerprint moves with one bit, a name, a shape and a type")
    func fingerprints() throws {
        let folder = try TemporaryFolder()
        func fingerprint(
            _ tensors: [String: Shape], type: FloatType = .float32, flip: Bool = false
        ) throws -> Fingerprint {
            let path = "\(folder.path)/model.safetensors"
            try write(tensors, to: path, type: type)
            if flip {
                var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
                bytes[bytes.count - 1] ^= 1
                try bytes.write(to: URL(fileURLWithPath: path))
            }
            return try WeightStore(component: folder.path).fingerprint
        }
        let all = try [
            fingerprint(["a": Shape(2, 3)]), fingerprint(["a": Shape(3, 2)]),
            fingerprint(["b": Shape(2, 3)]), fingerprint(["a": Shape(2, 3)], flip: true),
            fingerprint(["a": Shape(2, 3)], type: .float16),
        ]
        #expect(Set(all).count == all.count)
        #expect(try fingerprint(["a": Shape(2, 3)]) == all[0])
    }

    @Test("the autoencoder's attention is found under its older names")
    func legacyNames() throws {
        let folder = try TemporaryFolder()
        let old = "decoder.mid_block.attentions.0.proj_attn.weight"
        try write([old: Shape(1)], to: "\(folder.path)/model.safetensors")
        let store = try WeightStore(component: folder.path)
        #expect(store.contains("decoder.mid_block.attentions.0.to_out.0.weight"))
        #expect(!store.contains("decoder.mid_block.attentions.0.to_q.weight"))
    }
}
