package import Tensors

/// A rectangle of the canvas. It may hang over the edge in compatibility mode: what lies outside
/// reads as zero and is dropped on the way back.
package struct Window: Hashable, Sendable {
    /// Top row, negative when the window hangs over.
    package let y: Int
    /// Leftmost column, negative when the window hangs over.
    package let x: Int
    package let height: Int
    package let width: Int

    package init(y: Int, x: Int, height: Int, width: Int) {
        precondition(height > 0 && width > 0, "a window is not empty")
        self.y = y
        self.x = x
        self.height = height
        self.width = width
    }
}

/// Every `rowStride`-th row and `columnStride`-th column of the canvas, from one phase on: one of
/// the patches that CutDiffusion's stage one denoises. The canvas is a multiple of the strides.
package struct Lattice: Hashable, Sendable {
    /// Phase on the vertical axis, 0 ..< rowStride.
    package let row: Int
    /// Phase on the horizontal axis, 0 ..< columnStride.
    package let column: Int
    /// Distance of neighbouring rows on the canvas.
    package let rowStride: Int
    /// Distance of neighbouring columns on the canvas.
    package let columnStride: Int

    package init(row: Int, column: Int, rowStride: Int, columnStride: Int) {
        precondition((0..<rowStride).contains(row), "a lattice's row is below its stride")
        precondition((0..<columnStride).contains(column), "a lattice's column is below its stride")
        self.row = row
        self.column = column
        self.rowStride = rowStride
        self.columnStride = columnStride
    }

    /// Number of this patch among all of the canvas: row · columnStride + column.
    package var patch: Int { row * columnStride + column }

    /// Where element (row, column) of this patch lies on the canvas: the "pixel relocation" of
    /// the paper is nothing but this address.
    package func relocated(row y: Int, column x: Int) -> (y: Int, x: Int) {
        (y * rowStride + row, x * columnStride + column)
    }
}

/// What one prediction sees of the canvas: gather and scatter in one place.
package enum LatentView: Hashable, Sendable {
    case window(Window)
    /// A window that begins on the canvas, is no larger, and goes on behind its last row and column
    /// with its first.
    case wrapped(Window)
    case lattice(Lattice)

    /// Extents of the view on a canvas.
    package func extent(on canvas: Extent) -> Extent {
        switch self {
        case .window(let window), .wrapped(let window):
            Extent(height: window.height, width: window.width)
        case .lattice(let lattice):
            Extent(
                height: canvas.height / lattice.rowStride,
                width: canvas.width / lattice.columnStride)
        }
    }

    /// Reads the view out of a canvas. `table` exchanges elements between the lattices of a step;
    /// windows ignore it.
    package func gather(from canvas: Latent, through table: InteractionTable? = nil) -> Latent {
        let extent = extent(on: Extent(height: canvas.height, width: canvas.width))
        var view = Latent(zeros: canvas.channels, height: extent.height, width: extent.width)
        forEachRun(
            channels: canvas.channels, on: Extent(height: canvas.height, width: canvas.width),
            through: table
        ) { run in
            var source = run.canvasStart
            for index in run.viewStart..<run.viewStart + run.count {
                view.values[index] = canvas.values[source]
                source += run.canvasStride
            }
        }
        return view
    }

    /// Writes the view back: the inverse of ``gather(from:through:)`` inside the canvas.
    package func scatter(
        _ view: Latent, into canvas: inout Latent, through table: InteractionTable? = nil
    ) {
        forEachRun(
            channels: canvas.channels, on: Extent(height: canvas.height, width: canvas.width),
            through: table
        ) { run in
            var target = run.canvasStart
            for index in run.viewStart..<run.viewStart + run.count {
                canvas.values[target] = view.values[index]
                target += run.canvasStride
            }
        }
    }
}

/// Elements of a view that lie at equal distances on the canvas.
struct ViewRun {
    /// First element in the view's values.
    let viewStart: Int
    /// First element in the canvas's values.
    let canvasStart: Int
    let canvasStride: Int
    let count: Int
    let channel: Int
    /// First element's row within the view, and its column.
    let row: Int
    let column: Int
}

extension LatentView {
    /// Visits all elements of the view that lie on the canvas, channel by channel, row by row.
    func forEachRun(
        channels: Int,
        on canvas: Extent,
        through table: InteractionTable?,
        _ visit: (ViewRun) -> Void
    ) {
        switch self {
        case .window(let window):
            Self.forEachRun(of: window, channels: channels, on: canvas, visit)
        case .wrapped(let window):
            Self.forEachRun(wrapping: window, channels: channels, on: canvas, visit)
        case .lattice(let lattice):
            Self.forEachRun(
                of: lattice, channels: channels, on: canvas, through: table, visit)
        }
    }

    private static func forEachRun(
        of window: Window, channels: Int, on canvas: Extent, _ visit: (ViewRun) -> Void
    ) {
        let rows = max(0, -window.y)..<min(window.height, canvas.height - window.y)
        let first = max(0, -window.x)
        let count = min(window.width, canvas.width - window.x) - first
        for channel in 0..<channels {
            for row in rows {
                visit(
                    ViewRun(
                        viewStart: (channel * window.height + row) * window.width + first,
                        canvasStart: (channel * canvas.height + window.y + row) * canvas.width
                            + window.x + first,
                        canvasStride: 1, count: count, channel: channel, row: row, column: first))
            }
        }
    }

    /// Two runs per row where the canvas's last column lies within.
    private static func forEachRun(
        wrapping window: Window, channels: Int, on canvas: Extent, _ visit: (ViewRun) -> Void
    ) {
        let left = window.x % canvas.width
        let first = min(window.width, canvas.width - left)
        for channel in 0..<channels {
            for row in 0..<window.height {
                let viewStart = (channel * window.height + row) * window.width
                let line =
                    (channel * canvas.height + (window.y + row) % canvas.height) * canvas.width
                for (column, start, count) in [(0, left, first), (first, 0, window.width - first)]
                where count > 0 {
                    visit(
                        ViewRun(
                            viewStart: viewStart + column, canvasStart: line + start,
                            canvasStride: 1, count: count, channel: channel, row: row,
                            column: column))
                }
            }
        }
    }

    private static func forEachRun(
        of lattice: Lattice,
        channels: Int,
        on canvas: Extent,
        through table: InteractionTable?,
        _ visit: (ViewRun) -> Void
    ) {
        let height = canvas.height / lattice.rowStride
        let width = canvas.width / lattice.columnStride
        for channel in 0..<channels {
            for row in 0..<height {
                let viewStart = (channel * height + row) * width
                let blockStart =
                    (channel * canvas.height + row * lattice.rowStride) * canvas.width
                guard let table else {
                    visit(
                        ViewRun(
                            viewStart: viewStart,
                            canvasStart: blockStart + lattice.row * canvas.width + lattice.column,
                            canvasStride: lattice.columnStride, count: width, channel: channel,
                            row: row, column: 0))
                    continue
                }
                for column in 0..<width {
                    let source = table.source(
                        patch: lattice.patch, channel: channel, cell: row * width + column)
                    let (sourceRow, sourceColumn) =
                        source.quotientAndRemainder(dividingBy: lattice.columnStride)
                    visit(
                        ViewRun(
                            viewStart: viewStart + column,
                            canvasStart: blockStart + sourceRow * canvas.width
                                + column * lattice.columnStride + sourceColumn,
                            canvasStride: 1, count: 1, channel: channel, row: row, column: column))
                }
            }
        }
    }
}
