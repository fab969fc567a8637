package import ComputeBackends
internal import Synchronization
package import Tensors

/// The weights of one component (a UNet, an autoencoder, a text encoder): tensors by name, from
/// one safetensors file or several shards. Nothing is copied until a tensor is asked for.
///
/// Tensors that nobody asks for are ignored.
package final class WeightStore: Sendable {
    /// The component's folder, for error messages.
    package let folder: String

    private struct Location: Sendable {
        let file: Int
        let entry: TensorEntry
    }

    private let files: [SafeTensorsFile]
    private let locations: [String: Location]
    private let cachedFingerprint = Mutex<Fingerprint?>(nil)

    /// Maps the given files, which together hold the component.
    ///
    /// Throws ``WeightsError`` when one is missing, damaged, or repeats another's tensor.
    package init(folder: String, files paths: [String]) throws(WeightsError) {
        var files: [SafeTensorsFile] = []
        var locations: [String: Location] = [:]
        for path in paths {
            let file = try SafeTensorsFile(path: path)
            for entry in file.entries {
                let location = Location(file: files.count, entry: entry)
                if let other = locations.updateValue(location, forKey: entry.name) {
                    throw .malformedTensor(
                        path: path, tensor: entry.name,
                        expected: "each tensor in one file of the component",
                        found: "it is in \(files[other.file].path) too")
                }
            }
            files.append(file)
        }
        self.folder = folder
        self.files = files
        self.locations = locations
    }

    /// The names of all tensors, sorted.
    package var names: [String] { locations.keys.sorted() }

    /// Whether the tensor is there, under this name or its older one.
    package func contains(_ name: String) -> Bool { location(of: name) != nil }

    /// The shape of a tensor that is there.
    package func shape(of name: String) -> Shape? { location(of: name)?.entry.shape }

    /// Copies a tensor out, widened to float32.
    ///
    /// Throws ``WeightsError`` naming the file, the tensor, the expected and the found shape.
    package func tensor(_ name: String, shape: Shape) throws(WeightsError) -> Tensor {
        let location = try checked(name, shape: shape)
        let elements = unsafe [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
            let room = unsafe UnsafeMutableBufferPointer(rebasing: buffer[..<shape.count])
            unsafe widen(location, into: room)
            count = shape.count
        }
        return Tensor(shape: shape, elements: elements)
    }

    /// Copies a tensor, widened to float32, into memory of the caller's, which must have room for
    /// exactly `shape.count` elements. Throws as ``tensor(_:shape:)`` does.
    package func read(
        _ name: String,
        shape: Shape,
        into buffer: UnsafeMutableBufferPointer<Float>
    ) throws(WeightsError) {
        precondition(buffer.count == shape.count, "room for \(shape) wanted")
        unsafe widen(try checked(name, shape: shape), into: buffer)
    }

    /// A tensor where it lies in its file, which stays mapped as long as the tensor is kept. Throws
    /// as ``tensor(_:shape:)`` does.
    package func stored(_ name: String, shape: Shape) throws(WeightsError) -> StoredTensor {
        let location = try checked(name, shape: shape)
        guard let tensor = files[location.file].stored(location.entry) else {
            preconditionFailure("the element type was checked, and no network has empty tensors")
        }
        return tensor
    }

    /// Checks that every parameter of a network is there, in its shape and in a type that can be
    /// used. Throws the first that is not, as ``tensor(_:shape:)`` would.
    package func check(_ parameters: [ParameterShape]) throws(WeightsError) {
        for parameter in parameters {
            _ = try checked(parameter.name, shape: parameter.shape)
        }
    }

    private func widen(_ location: Location, into buffer: UnsafeMutableBufferPointer<Float>) {
        guard let type = FloatType(rawValue: location.entry.elementType) else {
            preconditionFailure("the element type was checked before")
        }
        unsafe files[location.file].withBytes(of: location.entry) { bytes in
            unsafe type.widen(bytes, into: buffer)
        }
    }

    private func checked(_ name: String, shape: Shape) throws(WeightsError) -> Location {
        guard let location = location(of: name) else {
            let path = files.count == 1 ? files[0].path : folder
            throw .missingTensor(path: path, tensor: name, expected: shape)
        }
        let path = files[location.file].path
        guard location.entry.shape == shape else {
            throw .wrongShape(
                path: path, tensor: name, expected: shape, found: location.entry.shape)
        }
        guard FloatType(rawValue: location.entry.elementType) != nil else {
            throw .unsupportedType(path: path, tensor: name, found: location.entry.elementType)
        }
        return location
    }

    /// Which of the files holds the tensor of exactly this name.
    func file(of name: String) -> Int? { locations[name]?.file }

    private func location(of name: String) -> Location? {
        if let location = locations[name] { return location }
        return LegacyNames.former(of: name).flatMap { locations[$0] }
    }

    /// The element types that occur, as the format names them.
    package var elementTypes: Set<String> { Set(locations.values.map(\.entry.elementType)) }

    /// A tensor with values that are not finite.
    package struct Damage: Equatable, Sendable {
        package let tensor: String
        /// So many of its elements.
        package let count: Int
        package let of: Int
    }

    /// Tensors with infinities or NaN in them, by name. Reads all weights.
    package var damages: [Damage] {
        names.compactMap { name in
            guard let location = locations[name],
                let type = FloatType(rawValue: location.entry.elementType)
            else { return nil }
            let count = unsafe files[location.file].withBytes(of: location.entry) { bytes in
                unsafe type.countOfNotFinite(bytes)
            }
            guard count > 0 else { return nil }
            return Damage(tensor: name, count: count, of: location.entry.shape.count)
        }
    }

    /// Digest of every tensor's name, shape, type and bytes (by CRC-32C); the files' names and
    /// sharding do not enter. Reads all weights the first time it is asked for.
    package var fingerprint: Fingerprint {
        cachedFingerprint.withLock { cached in
            if let cached { return cached }
            var hash = Fingerprinter()
            for name in names {
                guard let location = locations[name] else { continue }
                hash.add(name)
                hash.add(location.entry.elementType)
                hash.add(location.entry.shape.rank)
                for extent in location.entry.shape.extents { hash.add(extent) }
                let crc = unsafe files[location.file].withBytes(of: location.entry) { bytes in
                    unsafe CRC32C.of(bytes)
                }
                hash.add(UInt64(crc))
            }
            cached = hash.fingerprint
            return hash.fingerprint
        }
    }
}

/// Names that older files of the same format use for the same tensors.
private enum LegacyNames {
    /// The autoencoder's attention before diffusers 0.18 and what became of it.
    private static let attention = [
        (".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ]

    /// The older name, for names that have one.
    static func former(of name: String) -> String? {
        guard name.contains(".attentions.") else { return nil }
        for (new, old) in attention {
            guard let range = name.firstRange(of: new) else { continue }
            return name.replacingCharacters(range, with: old)
        }
        return nil
    }
}

extension String {
    fileprivate func replacingCharacters(_ range: Range<Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
    }
}
