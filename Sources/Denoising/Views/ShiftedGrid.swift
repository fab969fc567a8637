internal import Sampling

/// Windows that tile a canvas without overlap, shifted together by a random offset in every step;
/// what leaves the canvas comes in again from the opposite side (SpotDiffusion, arXiv 2407.15507).
/// An axis with a single window is not shifted.
package struct ShiftedGrid: Hashable, Sendable {
    /// A multiple of the window on both axes.
    package let canvas: Extent
    package let window: Extent

    /// Traps when windows do not tile the canvas.
    package init(canvas: Extent, window: Extent) {
        precondition(
            canvas.height % window.height == 0 && canvas.width % window.width == 0,
            "windows tile a canvas that is a multiple of them")
        self.canvas = canvas
        self.window = window
    }

    /// Number of windows.
    package var count: Int { canvas.area / window.area }

    /// The windows of one step, row-major; they go on behind the canvas's last row and column with
    /// its first. The shift depends on nothing but seed and step.
    package func windows(seed: UInt64, step: Int) -> [Window] {
        var random = PhiloxGenerator(seed: seed, purpose: .jitter, step: step, index: 0)
        let rows = Self.starts(canvas.height, window.height, &random)
        let columns = Self.starts(canvas.width, window.width, &random)
        return rows.flatMap { y in
            columns.map { Window(y: y, x: $0, height: window.height, width: window.width) }
        }
    }

    private static func starts(
        _ length: Int, _ window: Int, _ random: inout PhiloxGenerator
    ) -> [Int] {
        guard length > window else { return [0] }
        let shift = random.uniform(in: 0...window - 1)
        return stride(from: shift, to: length + shift, by: window).map { $0 }
    }
}
