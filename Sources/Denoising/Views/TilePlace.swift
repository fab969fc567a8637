/// Where a tile lies in the picture.
package struct TilePlace: Equatable, Sendable, CustomStringConvertible {
    /// Counted from 0.
    package let row: Int
    /// Counted from 0.
    package let column: Int
    /// In pixels.
    package let pixels: Window

    /// The place of a tile of this number.
    package init(_ index: Int, in grid: TileGrid) {
        let (window, scale) = (grid[index], grid.scaleFactor)
        row = index / grid.columns
        column = index % grid.columns
        pixels = Window(
            y: window.y * scale, x: window.x * scale, height: window.height * scale,
            width: window.width * scale)
    }

    /// `the tile in row 1, column 2 (pixels 96…223 from the left, 0…127 from the top)`, counted
    /// from 1, as people do.
    package var description: String {
        "the tile in row \(row + 1), column \(column + 1) (pixels "
            + "\(pixels.x)…\(pixels.x + pixels.width - 1) from the left, "
            + "\(pixels.y)…\(pixels.y + pixels.height - 1) from the top)"
    }

    /// What it means that the autoencoder's answer for the tile holds infinities or what is no
    /// number, and what to do; `reason` says who found it.
    package func sentence(_ reason: String) -> String {
        "\(self): \(reason); its weights are damaged, or it is computed in half precision, in "
            + "which SDXL's own overflows (force_upcast): `tessera doctor` finds damaged weights; "
            + "take a whole file, or one that was mended for half precision, such as "
            + "sdxl-vae-fp16-fix"
    }
}
