package import Tensors

/// A dense float32 array in memory that kernels may touch: shape and row-major elements.
///
/// Activations are items first and channels last: (items, height, width, channels) for images and
/// (items, tokens, channels) for texts. An image and its tokens are the same memory, so
/// ``reshaped(to:)`` costs nothing.
///
/// Elements are written by the initialiser or by the one operation that makes the tensor, before
/// anyone else sees it, and never again. The exception is what a ``ForwardPlan`` lends to its
/// reader, whose memory the plan's next run writes again.
///
/// While a ``PlanRecorder`` records, a tensor has a shape but no elements: reading it traps.
package struct DeviceTensor: Sendable {
    /// Extents, outermost first.
    package let shape: Shape
    /// How many there are; `shape.count` works it out anew.
    let count: Int
    let storage: Storage
    /// Floats of the storage before the first element.
    let offset: Int

    /// Where the elements are.
    enum Storage: Sendable {
        case memory(HostBuffer)
        /// Nowhere yet: the plan being recorded will have a place for them.
        case planned(PlannedValue)
    }

    /// An array of the given shape whose `shape.count` elements `fill` has to write; rethrows
    /// what `fill` throws.
    package init<Failure: Error>(
        shape: Shape,
        filling fill: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Void
    ) throws(Failure) {
        self.init(shape: shape, storage: HostBuffer(count: shape.count))
        unsafe try fill(UnsafeMutableBufferPointer(start: base, count: count))
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
        self.init(shape: shape, storage: .memory(storage), offset: offset)
    }

    /// A tensor of a plan that is being recorded.
    init(shape: Shape, planned value: PlannedValue) {
        self.init(shape: shape, storage: .planned(value), offset: 0)
    }

    private init(shape: Shape, storage: Storage, offset: Int) {
        self.shape = shape
        count = shape.count
        self.storage = storage
        self.offset = offset
    }

    /// The first element, for kernels.
    var base: UnsafeMutablePointer<Float> { unsafe memory.base + offset }

    /// What the elements lie in. Traps on a planned tensor, which has none before its plan runs.
    var memory: HostBuffer {
        guard case .memory(let buffer) = storage else {
            preconditionFailure("a planned tensor has no elements before its plan runs")
        }
        return buffer
    }

    /// The same elements under another shape of the same count.
    package func reshaped(to shape: Shape) -> DeviceTensor {
        precondition(shape.count == count, "\(self.shape) is no \(shape)")
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
        unsafe Array(UnsafeBufferPointer(start: base, count: count))
    }

    /// Lets `body` read the elements in place.
    package func withElements<Result>(
        _ body: (UnsafeBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        unsafe try body(UnsafeBufferPointer(start: base, count: count))
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
