/// A dense float32 array as a value: shape and row-major elements.
package struct Tensor: Equatable, Sendable {
    package let shape: Shape

    /// Row-major elements; always `shape.count` of them.
    package private(set) var elements: [Float]

    /// Traps when the element count does not fit the shape.
    package init(shape: Shape, elements: [Float]) {
        precondition(
            shape.count == elements.count,
            "shape \(shape) wants \(shape.count) elements, got \(elements.count)"
        )
        self.shape = shape
        self.elements = elements
    }

    package init(zeros shape: Shape) {
        self.init(shape: shape, elements: Array(repeating: 0, count: shape.count))
    }
}
