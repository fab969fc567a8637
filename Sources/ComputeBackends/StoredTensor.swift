package import Tensors

/// A tensor as its file has it: in the file's element type, in memory that somebody else keeps
/// alive, usually a mapping of the file that all processes of a machine share.
///
/// `@unchecked Sendable` is sound: the bytes are never written while `owner` lives.
@safe
package struct StoredTensor: @unchecked Sendable {
    /// Extents, outermost first.
    package let shape: Shape
    /// Of the elements, which are little-endian.
    package let type: FloatType
    /// The first element, at any address.
    let bytes: UnsafeRawPointer
    private let owner: any AnyObject & Sendable

    /// `bytes` holds exactly the elements of `shape` and is valid and unchanged as long as `owner`
    /// lives.
    package init(
        shape: Shape,
        type: FloatType,
        bytes: UnsafeRawBufferPointer,
        owner: any AnyObject & Sendable
    ) {
        guard let start = bytes.baseAddress, bytes.count == shape.count * type.byteCount
        else { preconditionFailure("\(bytes.count) bytes are no \(shape) of \(type.rawValue)") }
        self.shape = shape
        self.type = type
        unsafe self.bytes = start
        self.owner = owner
    }

    /// The tensor's own elements.
    package init(_ tensor: DeviceTensor) {
        shape = tensor.shape
        type = .float32
        unsafe bytes = UnsafeRawPointer(tensor.base)
        owner = tensor.memory
    }

    /// The same elements under another shape of the same count.
    package func reshaped(to shape: Shape) -> StoredTensor {
        precondition(shape.count == self.shape.count, "\(self.shape) is no \(shape)")
        return StoredTensor(shape: shape, of: self)
    }

    private init(shape: Shape, of tensor: StoredTensor) {
        self.shape = shape
        type = tensor.type
        unsafe bytes = tensor.bytes
        owner = tensor.owner
    }

    /// A copy in float32.
    package var widened: DeviceTensor {
        unsafe DeviceTensor(shape: shape) { buffer in
            unsafe type.widen(
                UnsafeRawBufferPointer(start: bytes, count: shape.count * type.byteCount),
                into: buffer)
        }
    }

    /// Chosen rows of a table (rows, width) in float32: (1, indices, width). Traps on an index
    /// beyond the table.
    package func rows(_ indices: [Int]) -> DeviceTensor {
        precondition(shape.rank == 2, "\(shape) is no table")
        precondition(
            indices.allSatisfy { (0..<shape[0]).contains($0) }, "an index beyond the table")
        let width = shape[1]
        let size = width * type.byteCount
        return unsafe DeviceTensor(shape: Shape(1, indices.count, width)) { buffer in
            for (row, index) in indices.enumerated() {
                unsafe type.widen(
                    UnsafeRawBufferPointer(start: bytes + index * size, count: size),
                    into: UnsafeMutableBufferPointer(
                        rebasing: buffer[(row * width)..<((row + 1) * width)]))
            }
        }
    }
}
