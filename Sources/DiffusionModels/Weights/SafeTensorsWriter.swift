package import ComputeBackends
package import DurableFiles
package import Tensors

/// Writes a safetensors file tensor by tensor, so that a file of any size needs the memory of
/// one piece. The file appears under its name when ``finish()`` returns, complete and on disk; a
/// stream gets it as it comes.
package struct SafeTensorsWriter: ~Copyable {
    /// One tensor that the file will hold.
    package struct Declaration: Sendable {
        /// Unique in its file.
        package let name: String
        /// What elements are rounded to.
        package let type: FloatType
        /// Row-major.
        package let shape: Shape

        /// A promise that `shape.count` elements will be appended.
        package init(name: String, type: FloatType, shape: Shape) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        var byteCount: Int { shape.count * type.byteCount }
    }

    /// Elements encoded in one go: what a large tensor costs in memory beside itself.
    private static let piece = 1 << 18

    private var file: AtomicFile
    private let declarations: [Declaration]
    private var current = 0
    private var elementsOfCurrent = 0

    /// Starts the file; its tensors follow through ``append(_:)``, in the declared order.
    ///
    /// Takes the room for all of it at once, so that a full disk shows here. `metadata` is what
    /// the header's `__metadata__` says beside the format. Throws
    /// ``WeightsError/unwritable(path:reason:)``. Traps when two tensors have one name.
    package init(
        to place: OutputPlace, tensors: [Declaration],
        metadata: [(key: String, value: String)] = []
    ) throws(WeightsError) {
        let header = Self.header(tensors, metadata: metadata)
        do {
            let file = try AtomicFile(place)
            try file.preallocate(header.count + tensors.reduce(0) { $0 + $1.byteCount })
            try file.write(header)
            self.file = file
        } catch {
            throw WeightsError(error)
        }
        declarations = tensors
        skipFinished()
    }

    /// Starts a file that is no stream.
    package init(
        path: String, tensors: [Declaration], metadata: [(key: String, value: String)] = []
    ) throws(WeightsError) {
        try self.init(to: .file(path), tensors: tensors, metadata: metadata)
    }

    /// Appends elements, converted to the type of the tensor they belong to. One call gives a
    /// whole tensor, part of one, or several.
    package mutating func append(_ elements: [Float]) throws(WeightsError) {
        var position = 0
        while position < elements.count {
            precondition(current < declarations.count, "more elements than declared")
            let declaration = declarations[current]
            let room = declaration.shape.count - elementsOfCurrent
            let count = min(room, elements.count - position, Self.piece)
            let bytes = declaration.type.encode(elements[position..<(position + count)])
            do { try file.write(bytes) } catch { throw WeightsError(error) }
            position += count
            elementsOfCurrent += count
            skipFinished()
        }
    }

    /// Completes the file. Traps when declared elements were not appended.
    package consuming func finish() throws(WeightsError) {
        precondition(current == declarations.count, "fewer elements than declared")
        do { try file.commit() } catch { throw WeightsError(error) }
    }

    private mutating func skipFinished() {
        while current < declarations.count,
            elementsOfCurrent == declarations[current].shape.count
        {
            current += 1
            elementsOfCurrent = 0
        }
    }

    /// Length and JSON, padded with spaces so that the data starts at a multiple of 8.
    private static func header(
        _ tensors: [Declaration], metadata: [(key: String, value: String)]
    ) -> [UInt8] {
        var object = JSONObject()
        var offset = 0
        var about: JSONObject = ["format": "pt"]
        for (key, value) in metadata {
            precondition(about.insert(.string(value), for: key), "\(key) is said twice")
        }
        precondition(object.insert(.object(about), for: "__metadata__"))
        for tensor in tensors {
            let end = offset + tensor.byteCount
            let isNew = object.insert(
                [
                    "dtype": .string(tensor.type.rawValue),
                    "shape": .array(tensor.shape.extents.map { .integer($0) }),
                    "data_offsets": [.integer(offset), .integer(end)],
                ], for: tensor.name)
            precondition(isNew, "tensor \(tensor.name) is declared twice")
            offset = end
        }
        var json = Array(JSONValue.object(object).text.utf8)
        json += Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
        let length = UInt64(json.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> UInt64(8 * $0)) } + json
    }
}
