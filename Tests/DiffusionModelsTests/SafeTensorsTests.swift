import ComputeBackends
import DurableFiles
import Foundation
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// A safetensors file as bytes: header length, header, data.
func safetensors(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    let length = length ?? UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> UInt64(8 * $0)) }
        + Array(header.utf8) + data
}

/// What is wrong with a file, its bytes, and what the error has to name.
struct HostileFile: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    let named: [String]

    var testDescription: String { name }

    init(_ name: String, _ bytes: [UInt8], names: String...) {
        self.name = name
        self.bytes = bytes
        named = names
    }

    /// A header with one entry `a` of 4 data bytes.
    init(_ name: String, entry: String, names: String...) {
        self.name = name
        bytes = safetensors("{\"a\":\(entry)}", data: [0, 0, 0, 0])
        named = names + ["tensor a"]
    }

    static let all: [HostileFile] = [
        HostileFile("empty", [], names: "at least 8 bytes"),
        HostileFile("seven bytes", [1, 0, 0, 0, 0, 0, 0], names: "at least 8 bytes"),
        HostileFile(
            "a header longer than the file", safetensors("{}", length: 3), names: "truncated"),
        HostileFile(
            "a header of 2^64 - 1 bytes", safetensors("{}", length: .max),
            names: "18446744073709551615"),
        HostileFile("no header", safetensors(""), names: "no JSON"),
        HostileFile("a list as header", safetensors("[]"), names: "no JSON object"),
        HostileFile("text after the header", safetensors("{} x"), names: "unexpected text"),
        HostileFile(
            "invalid UTF-8", safetensors("{\"", data: [0xFF, 0x22], length: 4), names: "UTF-8"),
        HostileFile(
            "one name twice",
            safetensors(
                #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
                    + #""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [0]),
            names: "occurs twice"),
        HostileFile(
            "deep nesting", safetensors(String(repeating: "{\"a\":", count: 100)), names: "nested"),
        HostileFile("trailing bytes", safetensors("{}", data: [1, 2, 3]), names: "3 bytes follow"),
        HostileFile("no object", entry: "7", names: "an object", "7"),
        HostileFile("no type", entry: #"{"shape":[1],"data_offsets":[0,4]}"#, names: "dtype"),
        HostileFile("no shape", entry: #"{"dtype":"F32","data_offsets":[0,4]}"#, names: "shape"),
        HostileFile("no offsets", entry: #"{"dtype":"F32","shape":[1]}"#, names: "data_offsets"),
        HostileFile(
            "one offset", entry: #"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#,
            names: "[begin, end]"),
        HostileFile(
            "offsets backwards", entry: #"{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#,
            names: "[4, 0]"),
        HostileFile(
            "an offset beyond the file",
            entry: #"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#,
            names: "4 data bytes", "[0, 8]"),
        HostileFile(
            "a negative offset", entry: #"{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}"#,
            names: "-4"),
        HostileFile(
            "a fractional extent", entry: #"{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}"#,
            names: "1.5"),
        HostileFile(
            "an extent beyond Int",
            entry: #"{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}"#,
            names: "whole numbers"),
        HostileFile(
            "a product that overflows",
            entry: #"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}"#,
            names: "fits in memory"),
        HostileFile(
            "an overflow of an unknown type",
            entry: #"{"dtype":"F4","shape":[4294967296,4294967296],"data_offsets":[0,4]}"#,
            names: "fits in memory"),
        HostileFile(
            "zero times an overflow",
            entry: #"{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}"#,
            names: "fits in memory"),
        HostileFile(
            "a shape of other length", entry: #"{"dtype":"F16","shape":[1],"data_offsets":[0,4]}"#,
            names: "2 bytes for shape (1) of F16", "found 4"),
        HostileFile(
            "too many axes",
            entry: #"{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4],"#
                + #""data_offsets":[0,4]}"#, names: "at most 16"),
        HostileFile(
            "a gap", entry: #"{"dtype":"U8","shape":[3],"data_offsets":[1,4]}"#,
            names: "data from byte 0", "data from byte 1"),
        HostileFile(
            "an overlap",
            safetensors(
                #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"#
                    + #""a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
                data: [0, 0, 0, 0]),
            names: "tensor a", "data from byte 3", "data from byte 2"),
    ]
}

@Suite("safetensors files", .watched)
struct SafeTensorsTests {
    @Test("a damaged file is an error that names what is wrong", arguments: HostileFile.all)
    func hostile(_ file: HostileFile) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(file.bytes, "x.safetensors")
        do {
            _ = try SafeTensorsFile(path: path)
            Issue.record("it was accepted")
        } catch {
            for part in file.named + [path] {
                #expect("\(error)".contains(part), "\(error)")
            }
        }
    }

    @Test("every prefix of a good file is refused, and no damaged byte of its header traps")
    func prefixesAndFlips() throws {
        let folder = try TemporaryFolder()
        let header =
            #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,1],"#
            + #""data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}"#
        let good = safetensors(header, data: Array(repeating: 1, count: 8))
        _ = try SafeTensorsFile(path: try folder.write(good, "good"))
        for count in good.indices {
            let path = try folder.write(Array(good[..<count]), "bad")
            #expect(throws: WeightsError.self) { try SafeTensorsFile(path: path) }
        }
        for index in 0..<(8 + header.utf8.count) {
            for flip: UInt8 in [1, 0x10, 0x80] {
                var bytes = good
                bytes[index] ^= flip
                let path = try folder.write(bytes, "bad")
                _ = try? SafeTensorsFile(path: path)
            }
        }
    }

    @Test("what the writer writes is read back, rounded to its type", arguments: FloatType.allCases)
    func roundTrip(_ type: FloatType) throws {
        let folder = try TemporaryFolder()
        let values: [Float] = [0, -0.0, 1, -2.5, 3.14159274, 65504, 1e-7, 1e5, 6.1e-5, -1e-3]
        let expected = values.map { value in
            switch type {
            case .float32: value
            case .float16: Float(Float16(value))
            case .bfloat16: Float(bitPattern: bfloat16(value))
            }
        }
        var writer = try SafeTensorsWriter(
            path: "\(folder.path)/model.safetensors",
            tensors: [
                .init(name: "b", type: type, shape: Shape(2, 3)),
                .init(name: "none", type: type, shape: Shape(0, 3)),
                .init(name: "a", type: type, shape: Shape(4)),
            ])
        try writer.append(Array(values[..<5]))
        try writer.append(Array(values[5...]))
        try writer.finish()
        let store = try WeightStore(component: folder.path)
        #expect(store.names == ["a", "b", "none"])
        let (a, b) = (
            try store.tensor("a", shape: Shape(4)), try store.tensor("b", shape: Shape(2, 3))
        )
        #expect((b.elements + a.elements).map(\.bitPattern) == expected.map(\.bitPattern))
        #expect(try store.tensor("none", shape: Shape(0, 3)).elements.isEmpty)
        #expect(try folder.contents == ["model.safetensors"])
    }

    /// Nearest, ties to even, by trying both neighbours.
    private func bfloat16(_ value: Float) -> UInt32 {
        let low = value.bitPattern & 0xFFFF_0000
        let high = low &+ 0x1_0000
        let (below, above) = (
            abs(Double(value) - Double(Float(bitPattern: low))),
            abs(Double(value) - Double(Float(bitPattern: high)))
        )
        if below == above { return low & 0x1_0000 == 0 ? low : high }
        return below < above ? low : high
    }

    @Test("an abandoned file leaves nothing, and what was there before stays")
    func abandoned() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("before", "x.safetensors")
        do {
            var writer = try SafeTensorsWriter(
                path: path, tensors: [.init(name: "a", type: .float32, shape: Shape(2))])
            try writer.append([1])
        }
        #expect(try folder.contents == ["x.safetensors"])
        #expect(FileManager.default.contents(atPath: path) == Data("before".utf8))
    }

    @Test("a folder that cannot be written to is an error")
    func unwritable() throws {
        expectError("/nowhere/at/all/x", "cannot be written") {
            _ = try SafeTensorsWriter(path: "/nowhere/at/all/x", tensors: [])
        }
    }
}

@Suite("Latent files", .watched)
struct LatentFileTests {
    @Test("a latent survives the file")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        let latent = Latent(
            channels: 2, height: 3, width: 4, values: (0..<24).map { Float($0) / 7 - 1 })
        try LatentFile.write(latent, to: .file("\(folder.path)/l.safetensors"))
        #expect(try LatentFile.read("\(folder.path)/l.safetensors") == latent)
    }

    @Test("anything but one finite float32 tensor named latents is refused with the reason")
    func refused() throws {
        let folder = try TemporaryFolder()
        func refused(_ entries: String, _ data: [UInt8], _ part: String) throws {
            let path = try folder.write(safetensors("{\(entries)}", data: data), "l")
            expectError(path, part) { _ = try LatentFile.read(path) }
        }
        let four: [UInt8] = [0, 0, 0, 0]
        try refused("", [], "found none")
        try refused(
            #""x":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]}"#, four, "found 1: x")
        try refused(
            #""latents":{"dtype":"F32","shape":[1,1,1],"data_offsets":[0,4]}"#, four, "(1, 1, 1)")
        try refused(
            #""latents":{"dtype":"F32","shape":[2,1,1,1],"data_offsets":[0,8]}"#, four + four,
            "(2, 1, 1, 1)")
        try refused(
            #""latents":{"dtype":"F32","shape":[1,4,0,0],"data_offsets":[0,0]}"#, [], "(1, 4, 0, 0)"
        )
        try refused(
            #""latents":{"dtype":"F16","shape":[1,1,1,2],"data_offsets":[0,4]}"#, four, "F16")
        try refused(
            #""latents":{"dtype":"F32","shape":[1,1,1,2],"data_offsets":[0,8]}"#,
            four + [0, 0, 0xC0, 0x7F], "nan at element 1")
        expectError("nothing-here", "missing") { _ = try LatentFile.read("nothing-here") }
        expectError("not a regular file") { _ = try LatentFile.read(folder.path) }
    }
}
