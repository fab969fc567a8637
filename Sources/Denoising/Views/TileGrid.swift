/// The tiles in which a latent is decoded, laid as diffusers' `AutoencoderKL.tiled_decode` lays
/// them: from the top left in steps of the stride, the last ones smaller rather than pulled back.
package struct TileGrid: Hashable, Sendable {
    /// Extents of the latent.
    package let latent: Extent
    /// Side of a full tile in latents: the model's native side.
    package let tile: Int
    /// Distance of neighbouring tiles in latents: three quarters of the tile.
    package let stride: Int
    /// Pixels per latent.
    package let scaleFactor: Int

    /// Traps on a tile smaller than 2.
    package init(latent: Extent, tile: Int, scaleFactor: Int) {
        precondition(tile >= 2 && scaleFactor >= 1, "a tile has a side of at least 2")
        self.latent = latent
        self.tile = tile
        self.stride = tile * 3 / 4
        self.scaleFactor = scaleFactor
    }

    /// Rows of tiles.
    package var rows: Int { isWhole ? 1 : (latent.height + stride - 1) / stride }

    /// Columns of tiles.
    package var columns: Int { isWhole ? 1 : (latent.width + stride - 1) / stride }

    /// A latent that fits into one tile is decoded whole. As soon as one axis does not, both are
    /// cut at every multiple of the stride, slivers included.
    private var isWhole: Bool { latent.height <= tile && latent.width <= tile }

    /// The tiles, row-major.
    package var tiles: [Window] {
        (0..<rows * columns).map { index in
            let (y, x) = (index / columns * stride, index % columns * stride)
            return Window(
                y: y, x: x,
                height: min(tile, latent.height - y), width: min(tile, latent.width - x))
        }
    }

    /// Length of the ramp along which a tile fades in over its upper and left neighbour, in
    /// pixels: a quarter of a full tile.
    package var blendExtent: Int { tile * scaleFactor / 4 }

    /// Distance of neighbouring tiles in pixels: what is kept of a tile that has a neighbour
    /// behind it.
    package var pixelStride: Int { stride * scaleFactor }

    /// The share of the new tile at each position of a ramp, the neighbour has the rest: 0 at
    /// the first position, (e−1)/e at the last.
    package static func ramp(_ extent: Int) -> [Float] {
        (0..<extent).map { Float($0) / Float(extent) }
    }
}
