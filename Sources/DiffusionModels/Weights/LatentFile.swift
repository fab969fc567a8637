internal import ComputeBackends
package import DurableFiles
package import Tensors

/// Latents in a file: one safetensors tensor `latents` of shape (1, C, h, w), float32, and in a
/// checkpoint others beside it.
package enum LatentFile {
    /// A latent and what its tensor is called.
    package struct Part: Equatable, Sendable {
        package let name: String
        package let latent: Latent

        package init(_ name: String, _ latent: Latent) {
            self.name = name
            self.latent = latent
        }
    }

    package static let tensorName = "latents"

    /// Reads a latent. Throws ``WeightsError`` when the file is missing, damaged, holds anything
    /// but that one tensor, or a value that is not finite.
    package static func read(_ path: String) throws(WeightsError) -> Latent {
        let file = try SafeTensorsFile(path: path)
        guard file.entries.count == 1, let entry = file.entries.first, entry.name == tensorName
        else {
            let names = file.entries.prefix(4).map(\.name).joined(separator: ", ")
            throw .malformed(
                path: path,
                reason: "expected one tensor named \(tensorName), found "
                    + (file.entries.isEmpty ? "none" : "\(file.entries.count): \(names)"))
        }
        return try latent(of: entry, in: file, path: path)
    }

    /// Reads all latents of a file, and what it says about them. Throws ``WeightsError`` when it is
    /// missing, damaged, or holds anything but latents of finite values.
    package static func readParts(
        _ path: String
    ) throws(WeightsError) -> (parts: [Part], metadata: [String: String]) {
        let file = try SafeTensorsFile(path: path)
        var parts: [Part] = []
        for entry in file.entries {
            parts.append(Part(entry.name, try latent(of: entry, in: file, path: path)))
        }
        return (parts, file.metadata)
    }

    private static func latent(
        of entry: TensorEntry, in file: SafeTensorsFile, path: String
    ) throws(WeightsError) -> Latent {
        let shape = entry.shape
        guard shape.rank == 4, shape[0] == 1, shape.count > 0 else {
            throw .malformedTensor(
                path: path, tensor: entry.name, expected: "shape (1, channels, height, width)",
                found: "\(shape)")
        }
        guard entry.elementType == FloatType.float32.rawValue else {
            throw .malformedTensor(
                path: path, tensor: entry.name, expected: "element type F32",
                found: entry.elementType)
        }
        let values = unsafe [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
            let room = unsafe UnsafeMutableBufferPointer(rebasing: buffer[..<shape.count])
            unsafe file.withBytes(of: entry) { unsafe FloatType.float32.widen($0, into: room) }
            count = shape.count
        }
        if let bad = values.firstIndex(where: { !$0.isFinite }) {
            throw .malformedTensor(
                path: path, tensor: entry.name, expected: "finite values",
                found: "\(values[bad]) at element \(bad)")
        }
        return Latent(channels: shape[1], height: shape[2], width: shape[3], values: values)
    }

    /// Writes a latent; a file appears complete or not at all. Throws
    /// ``WeightsError/unwritable(path:reason:)``.
    package static func write(
        _ latent: Latent, to place: OutputPlace
    ) throws(WeightsError) {
        try write([Part(tensorName, latent)], to: place)
    }

    /// Writes latents of different names likewise.
    package static func write(
        _ parts: [Part], to place: OutputPlace, metadata: [(key: String, value: String)] = []
    ) throws(WeightsError) {
        var writer = try SafeTensorsWriter(
            to: place,
            tensors: parts.map { part in
                .init(name: part.name, type: .float32, shape: part.latent.shape)
            },
            metadata: metadata)
        for part in parts { try writer.append(part.latent.values) }
        try writer.finish()
    }
}
