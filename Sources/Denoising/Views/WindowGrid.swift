internal import Sampling

/// What happens at the edge of the canvas when windows are jittered.
package enum EdgeRule: String, Hashable, Sendable {
    /// Windows stay inside the canvas; edge windows do not move towards or away from their edge.
    case clamped
    /// Edge windows may move outwards over the canvas, into zeros (the published code).
    case zeroPadded = "zero-padded"
}

/// Which windows move when they are jittered.
package enum JitterRule: String, Hashable, Sendable {
    /// None.
    case none
    /// Each by itself, up to (k − d)/4: neighbours can part.
    case each
    /// Rows and columns of windows together, up to k − d; the outermost ones stay at the edges.
    case together
}

/// Overlapping windows of one size over a canvas, shifted afresh in every step.
///
/// Per axis of length L with window k and stride d there are n(L) = ⌈(L−k)/d⌉ + 1 windows at
/// min(q·d, L−k); the last one is pulled back to end exactly at L. Row-major over both axes.
package struct WindowGrid: Hashable, Sendable {
    package let canvas: Extent
    package let window: Extent
    /// Distance of neighbouring windows in latents, 1 ... the window's shorter side.
    package let stride: Int
    package let moving: JitterRule
    package let edge: EdgeRule

    /// Traps on a window larger than the canvas and on a stride outside 1 ... window.
    package init(
        canvas: Extent, window: Extent, stride: Int, moving: JitterRule = .none,
        edge: EdgeRule = .clamped
    ) {
        let side = min(window.height, window.width)
        precondition(
            window.height <= canvas.height && window.width <= canvas.width,
            "a window fits into its canvas")
        precondition((1...side).contains(stride), "a stride lies within 1 ... window")
        self.canvas = canvas
        self.window = window
        self.stride = stride
        self.moving = moving
        self.edge = edge
    }

    /// Largest shift in latents; 0 for fixed windows.
    package var jitter: Int {
        let overlap = min(window.height, window.width) - stride
        return switch moving {
        case .none: 0
        case .each: overlap / 4
        case .together: overlap
        }
    }

    /// Where the windows of one axis begin.
    package static func starts(length: Int, window: Int, stride: Int) -> [Int] {
        guard length > window else { return [0] }
        let count = (length - window + stride - 1) / stride + 1
        return (0..<count).map { min($0 * stride, length - window) }
    }

    /// Rows of windows.
    package var rowStarts: [Int] {
        Self.starts(length: canvas.height, window: window.height, stride: stride)
    }

    /// Columns of windows.
    package var columnStarts: [Int] {
        Self.starts(length: canvas.width, window: window.width, stride: stride)
    }

    /// Number of windows, V.
    package var count: Int { rowStarts.count * columnStarts.count }

    /// What each window may see of the canvas, whatever it draws.
    var reaches: [Rectangle] {
        let columns = columnStarts.map { reach(from: $0, window.width, on: canvas.width) }
        return rowStarts.flatMap { start in
            let rows = reach(from: start, window.height, on: canvas.height)
            return columns.map {
                Rectangle(
                    x: $0.lowerBound, y: rows.lowerBound, width: $0.count, height: rows.count)
            }
        }
    }

    private func reach(from start: Int, _ window: Int, on length: Int) -> Range<Int> {
        max(0, start - jitter)..<min(length, start + window + jitter)
    }

    /// The windows of one step. Their shifts depend on nothing but seed, step and a window's number.
    package func windows(seed: UInt64, step: Int) -> [Window] {
        let (rows, columns) = starts(seed: seed, step: step)
        var windows: [Window] = []
        windows.reserveCapacity(rows.count * columns.count)
        for row in rows.indices {
            for column in columns.indices {
                var (y, x) = (rows[row], columns[column])
                if moving == .each, jitter > 0 {
                    var random = PhiloxGenerator(
                        seed: seed, purpose: .jitter, step: step, index: windows.count)
                    y = shifted(
                        y, at: row, of: rows.count, limit: canvas.height - window.height, &random)
                    x = shifted(
                        x, at: column, of: columns.count, limit: canvas.width - window.width,
                        &random)
                }
                windows.append(Window(y: y, x: x, height: window.height, width: window.width))
            }
        }
        return windows
    }

    /// Where rows and columns begin in a step, before windows move by themselves.
    private func starts(seed: UInt64, step: Int) -> (rows: [Int], columns: [Int]) {
        guard moving == .together else { return (rowStarts, columnStarts) }
        var random = PhiloxGenerator(seed: seed, purpose: .jitter, step: step, index: 0)
        let rows = moved(rowStarts, &random)
        return (rows, moved(columnStarts, &random))
    }

    /// All but the outermost moved by one shift, which takes none of them to an outermost one's place.
    private func moved(_ starts: [Int], _ random: inout PhiloxGenerator) -> [Int] {
        guard starts.count > 2 else { return starts }
        let last = starts.count - 1
        let room = starts[last] - starts[last - 1] - 1
        let shift = random.uniform(in: max(-jitter, 1 - starts[1])...min(jitter, room))
        return starts.indices.map { $0 == 0 || $0 == last ? starts[$0] : starts[$0] + shift }
    }

    /// The shifts a window may draw on one axis, both ends included: edge windows only outwards,
    /// a window that touches both edges not at all, so that every position stays covered.
    package func jitterRange(at position: Int, of count: Int) -> ClosedRange<Int> {
        let lower = position == count - 1 ? 0 : -jitter
        let upper = position == 0 ? 0 : jitter
        return count == 1 ? 0...0 : lower...upper
    }

    private func shifted(
        _ start: Int, at position: Int, of count: Int, limit: Int,
        _ random: inout PhiloxGenerator
    ) -> Int {
        let moved = start + random.uniform(in: jitterRange(at: position, of: count))
        return edge == .clamped ? min(max(moved, 0), limit) : moved
    }
}

extension WindowGrid {
    /// What the windows at each position of one axis cover whatever they draw: parts that tile
    /// the axis without gap or overlap. Window q covers at least start + jitter up to the next
    /// one's start + jitter, because stride + 2·jitter never exceeds the window.
    private func cores(length: Int, starts: [Int]) -> [Range<Int>] {
        starts.indices.map { index in
            let lower = index == 0 ? 0 : starts[index] + jitter
            let upper = index == starts.count - 1 ? length : starts[index + 1] + jitter
            return lower..<upper
        }
    }

    /// The parts of the canvas that belong to each window, row-major like the windows.
    private func cores() -> [(rows: Range<Int>, columns: Range<Int>)] {
        let columns = cores(length: canvas.width, starts: columnStarts)
        return cores(length: canvas.height, starts: rowStarts).flatMap { rows in
            columns.map { (rows, $0) }
        }
    }

    /// The first of a step's windows that is not where it has to be for every position of the
    /// canvas to be covered; nil when all are.
    func firstMisplaced(of windows: [Window]) -> Int? {
        guard moving != .together else { return firstGap(in: windows) }
        let margin = edge == .clamped ? 0 : jitter
        return zip(windows, cores()).enumerated().first { _, pair in
            let (window, core) = pair
            let isInside =
                window.y >= -margin && window.y + window.height <= canvas.height + margin
                && window.x >= -margin && window.x + window.width <= canvas.width + margin
            let coversCore =
                window.y <= core.rows.lowerBound
                && window.y + window.height >= core.rows.upperBound
                && window.x <= core.columns.lowerBound
                && window.x + window.width >= core.columns.upperBound
            return !(isInside && coversCore)
        }?.offset
    }

    /// Of windows that form rows and columns: the first one behind a gap, or out of its row.
    private func firstGap(in windows: [Window]) -> Int? {
        let columns = columnStarts.count
        let tops = Swift.stride(from: 0, to: windows.count, by: columns).map { windows[$0].y }
        let lefts = windows.prefix(columns).map(\.x)
        guard Self.covers(tops, window.height, canvas.height),
            Self.covers(lefts, window.width, canvas.width)
        else { return 0 }
        return windows.indices.first {
            windows[$0].y != tops[$0 / columns] || windows[$0].x != lefts[$0 % columns]
        }
    }

    private static func covers(_ starts: [Int], _ window: Int, _ length: Int) -> Bool {
        starts.first == 0 && starts.last == length - window
            && zip(starts, starts.dropFirst()).allSatisfy { $0 < $1 && $1 <= $0 + window }
    }
}
