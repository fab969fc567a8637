@testable import DiffusionModels
import Glibc
import Tensors

/// Any file: it is refused, or everything it lists lies inside it and can be used.
enum SafeTensorsTarget: FuzzTarget {
    /// One file without a name, written anew for each input.
    private static let descriptor: Int32 = {
        var name = Array("/tmp/tessera-fuzz-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        unlink(name)
        return descriptor
    }()
    private static let path = "/proc/self/fd/\(descriptor)"

    static func run(_ input: [UInt8]) {
        guard ftruncate(descriptor, 0) == 0,
            pwrite(descriptor, input, input.count, 0) == input.count
        else { broken("the system has no room for \(input.count) bytes") }
        _ = try? LatentFile.read(path)
        guard let store = try? WeightStore(folder: "/proc/self/fd", files: [path]) else { return }
        _ = store.fingerprint
        for name in store.names {
            guard let shape = store.shape(of: name) else { broken("\(name) has no shape") }
            guard let tensor = try? store.tensor(name, shape: shape) else { continue }
            guard tensor.elements.count == shape.count else { broken("\(name) is not \(shape)") }
            if shape.count > 0 { _ = try? store.stored(name, shape: shape) }
        }
    }

    static var seeds: [String: [UInt8]] {
        func file(_ header: String, data: Int) -> [UInt8] {
            let length = UInt64(header.utf8.count)
            return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
                + Array(header.utf8) + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
        }
        func entry(_ text: String, data: Int) -> [UInt8] { file(#"{"a":{\#(text)}}"#, data: data) }
        return [
            "latents": file(
                #"{"latents":{"dtype":"F32","shape":[1,1,1,2],"data_offsets":[0,8]}}"#, data: 8),
            "types": file(
                #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,1],"#
                    + #""data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[],"#
                    + #""data_offsets":[4,6]},"c":{"dtype":"I64","shape":[0],"#
                    + #""data_offsets":[6,6]},"d":{"dtype":"X","shape":[7],"#
                    + #""data_offsets":[6,8]}}"#, data: 8),
            "hostile-header-length": Array(repeating: 0xff, count: 8) + Array("{}".utf8),
            "hostile-shape": entry(
                #""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]"#, data: 4),
            "hostile-offsets": entry(
                #""dtype":"U8","shape":[9],"data_offsets":[9223372036854775807,9]"#, data: 4),
            "hostile-zero-times-much": entry(
                #""dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]"#, data: 0),
            "hostile-nesting": file(String(repeating: #"{"a":"#, count: 50), data: 0),
        ]
    }
}
