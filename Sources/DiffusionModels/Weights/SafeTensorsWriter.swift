package import ComputeBackends
package import Tensors

/// Writes a safetensors file tensor by tensor, so that a file of any size needs the memory of
/// one piece. The file appears under its name when ``finish()`` returns, complete and on disk.
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

    private var file: AtomicFile
    private let declarations: [Declaration]
    private var current = 0
    private var elementsOfCurrent = 0

    /// Starts the file; its tensors follow through ``append(_:)``, in the declared order.
    ///
    /// Throws ``WeightsError/unwritable(path:reason:)``. Traps when two tensors have one name.
    package init(path: String, tensors: [Declaration]) throws(WeightsError) {
        let file = try AtomicFile(path: path)
        try file.write(Self.header(tensors))
        self.file = file
        declarations = tensors
        skipFinished()
    }

    /// Appends elements, converted to the type of the tensor they belong to. One call gives a
    /// whole tensor, part of one, or several.
    package mutating func append(_ elements: [Float]) throws(WeightsError) {
        var position = 0
        while position < elements.count {
            precondition(current < declarations.count, "more elements than declared")
            let declaration = declarations[current]
            let room = declaration.shape.count - elementsOfCurrent
            let count = min(room, elements.count - position)
            try file.write(declaration.type.encode(elements[position..<(position + count)]))
            position += count
            elementsOfCurrent += count
            skipFinished()
        }
    }

    /// Completes the file. Traps when declared elements were not appended.
    package consuming func finish() throws(WeightsError) {
        precondition(current == declarations.count, "fewer elements than declared")
        try file.commit()
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
    private static func header(_ tensors: [Declaration]) -> [UInt8] {
        var object = JSONObject()
        var offset = 0
        precondition(object.insert(["format": "pt"], for: "__metadata__"))
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
