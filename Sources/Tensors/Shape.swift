/// The extents of a dense, row-major array.
package struct Shape: Hashable, Sendable, CustomStringConvertible {
    /// Extent per axis, outermost first; every extent is at least 0.
    package let extents: [Int]

    /// Traps on a negative extent and on a product that does not fit in `Int`.
    package init(_ extents: [Int]) {
        var count = 1
        for extent in extents {
            precondition(extent >= 0, "an extent is negative in \(extents)")
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            precondition(!overflow, "the element count of \(extents) overflows")
            count = product
        }
        self.extents = extents
    }

    package init(_ extents: Int...) { self.init(extents) }

    /// Number of axes.
    package var rank: Int { extents.count }

    /// Number of elements.
    package var count: Int { extents.reduce(1, *) }

    package subscript(axis: Int) -> Int { extents[axis] }

    /// `(1, 4, 64, 64)`
    package var description: String {
        "(" + extents.map(String.init).joined(separator: ", ") + ")"
    }
}
