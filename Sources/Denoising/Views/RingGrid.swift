/// Overlapping windows over a canvas whose left and right side join: rows of windows as in a
/// ``WindowGrid``, columns all the way round (the circular padding of diffusers' panorama pipeline).
///
/// Of a canvas of width W there are ⌈W/d⌉ columns, at q·d; the last ones go on behind the right side
/// with the left one. Where d does not divide W the last is closer to the first.
package struct RingGrid: Hashable, Sendable {
    package let canvas: Extent
    package let window: Extent
    /// Distance of neighbouring windows in latents, 1 ... the window's shorter side.
    package let stride: Int

    /// Traps on a window larger than the canvas and on a stride outside 1 ... window.
    package init(canvas: Extent, window: Extent, stride: Int) {
        precondition(
            window.height <= canvas.height && window.width <= canvas.width,
            "a window fits into its canvas")
        precondition(
            (1...min(window.height, window.width)).contains(stride),
            "a stride lies within 1 ... window")
        (self.canvas, self.window, self.stride) = (canvas, window, stride)
    }

    private var rowStarts: [Int] {
        WindowGrid.starts(length: canvas.height, window: window.height, stride: stride)
    }

    private var columnStarts: [Int] { Array(Swift.stride(from: 0, to: canvas.width, by: stride)) }

    /// Number of windows.
    package var count: Int { rowStarts.count * columnStarts.count }

    /// Row-major; the same in every step.
    package var windows: [Window] {
        let columns = columnStarts
        return rowStarts.flatMap { y in
            columns.map { Window(y: y, x: $0, height: window.height, width: window.width) }
        }
    }

    /// What each window sees of the canvas: one part, or two where it goes on on the left.
    var reaches: [[Rectangle]] {
        windows.map { window in
            let rest = window.x + window.width - canvas.width
            let first = Rectangle(
                x: window.x, y: window.y, width: window.width - max(0, rest),
                height: window.height)
            guard rest > 0 else { return [first] }
            return [first, Rectangle(x: 0, y: window.y, width: rest, height: window.height)]
        }
    }
}
