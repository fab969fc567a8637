internal import ComputeBackends
package import DurableFiles
package import Tensors

/// Latents in a file: one safetensors tensor `latents` of shape (1, C, h, w), float32.
package enum LatentFile {
    static let tensorName = "latents"

    /// Reads a latent. Throws ``WeightsError`` when the file is missing, damaged, holds anything
    /// but that one tensor, or a value that is not finite.
    package static func read(_ path: String) throws(WeightsError) -> Latent {
        try readWithMetadata(path).latent
    }

    /// Reads a latent, and what its file says about it. Throws as ``read(_:)`` does.
    package static func readWithMetadata(
        _ path: String
    ) throws(WeightsError) -> (latent: Latent, metadata: [String: String]) {
        let file = try SafeTensorsFile(path: path)
        guard file.entries.count == 1, let entry = file.entries.first, entry.name == tensorName
        else {
            let names = file.entries.prefix(4).map(\.name).joined(separator: ", ")
            throw .malformed(
                path: path,
                reason: "expected one tensor named \(tensorName), found "
                    + (file.entries.isEmpty ? "none" : "\(file.entries.count): \(names)"))
        }
        let shape = entry.shape
        guard shape.rank == 4, shape[0] == 1, shape.count > 0 else {
            throw .malformedTensor(
                path: path, tensor: tensorName, expected: "shape (1, channels, height, width)",
                found: "\(shape)")
        }
        guard entry.elementType == FloatType.float32.rawValue else {
            throw .malformedTensor(
                path: path, tensor: tensorName, expected: "element type F32",
                found: entry.elementType)
        }
        let values = unsafe [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
            let room = unsafe UnsafeMutableBufferPointer(rebasing: buffer[..<shape.count])
            unsafe file.withBytes(of: entry) { unsafe FloatType.float32.widen($0, into: room) }
            count = shape.count
        }
        if let bad = values.firstIndex(where: { !$0.isFinite }) {
            throw .malformedTensor(
                path: path, tensor: tensorName, expected: "finite values",
                found: "\(values[bad]) at element \(bad)")
        }
        let latent = Latent(
            channels: shape[1], height: shape[2], width: shape[3], values: values)
        return (latent, file.metadata)
    }

    /// Writes a latent; a file appears complete or not at all. The channels of `more`, which has
    /// the same height and width, come after its own. Throws
    /// ``WeightsError/unwritable(path:reason:)``.
    package static func write(
        _ latent: Latent, followedBy more: Latent? = nil, to place: OutputPlace,
        metadata: [(key: String, value: String)] = []
    ) throws(WeightsError) {
        let channels = latent.channels + (more?.channels ?? 0)
        var writer = try SafeTensorsWriter(
            to: place,
            tensors: [
                .init(
                    name: tensorName, type: .float32,
                    shape: Shape(1, channels, latent.height, latent.width))
            ],
            metadata: metadata)
        try writer.append(latent.values)
        if let more { try writer.append(more.values) }
        try writer.finish()
    }
}
