package import Denoising

/// The tiles in which a picture is encoded: all of one size, from the top left in steps of the
/// stride, the last row and column pulled inwards to end with the latent, as ``TileGrid``'s are.
///
/// A tile has a core and, where the picture goes on, a halo around it that the encoder sees and
/// nobody keeps. Neighbouring cores have a quarter of their side in common, over which the later
/// one fades in. Without a halo these are the tiles and ramps of decoding, and the right ones for an
/// autoencoder whose norms and attention look at a tile as a whole: with the shipped model, tiles of
/// the native 16 bring its own pictures back by 39 dB without a halo, by 37 with one of 2, and the
/// whole encoded at once by 30. A halo is for encoders of a bounded reach.
///
/// Extents are in latent pixels, and a latent pixel is ``scaleFactor`` pixels of the picture. A
/// picture whose sides are no multiples of that is continued by its last row and column.
package struct EncodeGrid: Hashable, Sendable {
    /// Rows of the picture, in pixels.
    package let pictureHeight: Int
    /// Columns of the picture, in pixels.
    package let pictureWidth: Int
    /// Extents of the latent that the picture becomes.
    package let latent: Extent
    /// Extents of every tile, halo included: the asked-for side, or the latent's where that is
    /// shorter.
    package let tile: Extent
    /// What every inner edge of a tile loses.
    package let halo: Int
    /// Pixels per latent pixel and side.
    package let scaleFactor: Int
    /// Where the rows of tiles begin, ascending.
    package let rowStarts: [Int]
    /// Where the columns of tiles begin, ascending.
    package let columnStarts: [Int]

    /// A grid over a picture of `height` × `width` pixels. `tile` is a side with its halo on both
    /// ends; traps when less than 2 are left of it.
    package init(height: Int, width: Int, tile: Int, halo: Int, scaleFactor: Int) {
        let core = tile - 2 * halo
        precondition(height > 0 && width > 0 && scaleFactor > 0, "a picture has pixels")
        precondition(halo >= 0 && core >= 2, "a core has a side of at least 2")
        pictureHeight = height
        pictureWidth = width
        self.halo = halo
        self.scaleFactor = scaleFactor
        let extent = Extent(
            height: (height + scaleFactor - 1) / scaleFactor,
            width: (width + scaleFactor - 1) / scaleFactor)
        latent = extent
        self.tile = Extent(height: min(tile, extent.height), width: min(tile, extent.width))
        let stride = core * 3 / 4
        rowStarts = WindowGrid.starts(length: extent.height, window: tile, stride: stride)
        columnStarts = WindowGrid.starts(length: extent.width, window: tile, stride: stride)
    }

    /// Rows of tiles.
    package var rows: Int { rowStarts.count }

    /// Columns of tiles.
    package var columns: Int { columnStarts.count }

    /// The rows of the latent that a row of tiles has a say in.
    package func coreRows(_ row: Int) -> Range<Int> {
        core(row, of: rowStarts, side: tile.height)
    }

    /// The columns of the latent that a column of tiles has a say in.
    package func coreColumns(_ column: Int) -> Range<Int> {
        core(column, of: columnStarts, side: tile.width)
    }

    private func core(_ index: Int, of starts: [Int], side: Int) -> Range<Int> {
        let first = starts[index] + (index == 0 ? 0 : halo)
        return first..<starts[index] + side - (index == starts.count - 1 ? 0 : halo)
    }
}
