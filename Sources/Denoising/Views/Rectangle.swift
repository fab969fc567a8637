/// A part of a picture or of a canvas, in pixels or in latents.
package struct Rectangle: Hashable, Sendable, Codable {
    /// Leftmost column.
    package let x: Int
    /// Top row.
    package let y: Int
    package let width: Int
    package let height: Int

    /// Neither side need be positive: what people write is checked elsewhere.
    package init(x: Int, y: Int, width: Int, height: Int) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    /// All of an extent.
    package init(_ extent: Extent) {
        self.init(x: 0, y: 0, width: extent.width, height: extent.height)
    }

    /// The columns in it. Traps on a negative width.
    package var columns: Range<Int> { x..<x + width }

    /// The rows in it. Traps on a negative height.
    package var rows: Range<Int> { y..<y + height }

    /// Whether the two have a position in common.
    func meets(_ other: Rectangle) -> Bool {
        columns.overlaps(other.columns) && rows.overlaps(other.rows)
    }

    /// Whether every position of it is in one of `others`: looked at where their sides cut it.
    func isCovered(by others: [Rectangle]) -> Bool {
        let near = others.filter(meets)
        let lefts = cuts(of: columns, by: near.map(\.columns))
        let tops = cuts(of: rows, by: near.map(\.rows))
        return tops.allSatisfy { top in
            lefts.allSatisfy { left in
                near.contains { $0.columns.contains(left) && $0.rows.contains(top) }
            }
        }
    }

    /// Where the parts begin that the ends of other ranges cut a range into.
    private func cuts(of range: Range<Int>, by others: [Range<Int>]) -> Set<Int> {
        let ends = others.flatMap { [$0.lowerBound, $0.upperBound] }
        return Set([range.lowerBound] + ends.filter { range.contains($0) })
    }
}
