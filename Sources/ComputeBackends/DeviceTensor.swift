package import Tensors

/// A dense float32 array in memory that kernels may touch: shape and row-major elements.
///
/// Activations are items first and channels last: (items, height, width, channels) for images and
/// (items, tokens, channels) for texts. An image and its tokens are the same memory, so
/// ``reshaped(to:)`` costs nothing.
///
/// Elements are written by the initialiser or by the one operation that makes the tensor, before
/// anyone else sees it, and never again.
package struct DeviceTensor: Sendable {
    /// Extents, outermost first.
    package let shape: Shape
    private let storage: HostBuffer
    /// Floats of the storage before the first element.
    private let offset: Int

    /// An array of the given shape whose `shape.count` elements `fill` has to write; rethrows
    /// what `fill` throws.
    package init<Failure: Error>(
        shape: Shape,
        filling fill: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Void
    ) throws(Failure) {
        self.init(shape: shape, storage: HostBuffer(count: shape.count))
        unsafe try fill(UnsafeMutableBufferPointer(start: base, count: shape.count))
    }

    /// A copy of a tensor's elements.
    package init(_ tensor: Tensor) {
        unsafe self.init(shape: tensor.shape) { buffer in
            unsafe _ = buffer.update(fromContentsOf: tensor.elements)
        }
    }

    init(shape: Shape, storage: HostBuffer, offset: Int = 0) {
        precondition(
            offset >= 0 && storage.capacity - offset >= shape.count,
            "a buffer too small for \(shape)")
        self.shape = shape
        self.storage = storage
        self.offset = offset
    }

    /// The first element, for kernels.
    var base: UnsafeMutablePointer<Float> { unsafe storage.base + offset }

    /// The same elements under another shape of the same count.
    package func reshaped(to shape: Shape) -> DeviceTensor {
        precondition(shape.count == self.shape.count, "\(self.shape) is no \(shape)")
        return DeviceTensor(shape: shape, storage: storage, offset: offset)
    }

    /// Some consecutive items; shares the memory.
    package func items(_ range: Range<Int>) -> DeviceTensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= items, "no such items")
        let one = shape.extents.dropFirst().reduce(1, *)
        return DeviceTensor(
            shape: Shape([range.count] + shape.extents.dropFirst()), storage: storage,
            offset: offset + range.lowerBound * one)
    }

    /// The elements, row-major, copied.
    package var elements: [Float] {
        unsafe Array(UnsafeBufferPointer(start: base, count: shape.count))
    }

    /// Lets `body` read the elements in place.
    package func withElements<Result>(
        _ body: (UnsafeBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        unsafe try body(UnsafeBufferPointer(start: base, count: shape.count))
    }

    /// First axis: how many pictures or texts.
    package var items: Int { shape[0] }
    /// Last axis.
    package var channels: Int { shape[shape.rank - 1] }
    /// Everything between the first and the last axis: pixels or tokens of one item.
    package var positions: Int { shape.extents[1..<(shape.rank - 1)].reduce(1, *) }
    /// Rows of an image of rank 4.
    package var height: Int { shape[1] }
    /// Columns of an image of rank 4.
    package var width: Int { shape[2] }

    /// The same shape with another last axis.
    package func shape(channels: Int) -> Shape { Shape(shape.extents.dropLast() + [channels]) }
}
