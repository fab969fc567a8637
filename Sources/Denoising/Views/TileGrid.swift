/// The tiles in which a latent is decoded: from the top left in steps of the stride, the last row
/// and column pulled inwards to end with the latent, as windows are.
///
/// Every tile is a full one. diffusers' `AutoencoderKL.tiled_decode` makes the last ones smaller
/// instead; the autoencoder's norms and its attention look at a tile as a whole, so that a sliver
/// comes out in another tone than what it is joined to.
///
/// Around a ring, whose left and right side join, tiles go on on the left for as far as neighbours
/// overlap, so that the first tile has the last one for a neighbour.
package struct TileGrid: Hashable, Sendable {
    /// Extents of the latent.
    package let latent: Extent
    /// Extents of every tile in latents: the model's native side, or the latent's where that is
    /// shorter.
    package let tile: Extent
    /// Distance of neighbouring tiles in latents, the last ones apart: three quarters of the
    /// model's native side.
    package let stride: Int
    /// Pixels per latent.
    package let scaleFactor: Int
    /// Columns of latents behind the last one that are the first ones again; 0 unless it is a ring.
    package let closing: Int
    /// Where the rows of tiles begin, in latents, ascending.
    package let rowStarts: [Int]
    /// Where the columns of tiles begin, in latents, ascending.
    package let columnStarts: [Int]

    /// A grid of tiles with a side of `tile` latents. Traps on one smaller than 2.
    package init(latent: Extent, tile: Int, scaleFactor: Int, isRing: Bool = false) {
        precondition(tile >= 2 && scaleFactor >= 1, "a tile has a side of at least 2")
        self.latent = latent
        self.tile = Extent(height: min(tile, latent.height), width: min(tile, latent.width))
        self.scaleFactor = scaleFactor
        stride = tile * 3 / 4
        rowStarts = WindowGrid.starts(length: latent.height, window: tile, stride: stride)
        closing = isRing ? min(tile - stride, self.tile.width) : 0
        columnStarts = WindowGrid.starts(
            length: latent.width + closing, window: self.tile.width, stride: stride)
    }

    /// Tiles of the model's native side: its autoencoder's norms and attention make another picture
    /// of larger ones.
    package init(latent: Extent, model: ModelGeometry) {
        self.init(latent: latent, tile: model.nativeSide, scaleFactor: model.scaleFactor)
    }

    /// Extents in pixels.
    package var pixels: Extent {
        Extent(height: latent.height * scaleFactor, width: latent.width * scaleFactor)
    }

    /// Rows of tiles.
    package var rows: Int { rowStarts.count }

    /// Columns of tiles.
    package var columns: Int { columnStarts.count }

    /// Number of tiles.
    package var count: Int { rows * columns }

    /// The tile of a number, which counts row by row.
    package subscript(index: Int) -> Window {
        Window(
            y: rowStarts[index / columns], x: columnStarts[index % columns], height: tile.height,
            width: tile.width)
    }

    /// The same as it is cut out of a latent.
    package func view(_ index: Int) -> LatentView {
        closing > 0 ? .wrapped(self[index]) : .window(self[index])
    }

    /// The tiles, row-major.
    package var tiles: [Window] { (0..<count).map { self[$0] } }
}
