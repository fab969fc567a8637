package import Denoising

/// Joins decoded tiles into rows of the picture: every tile fades in over what its left and upper
/// neighbours have in common with it along a linear ramp, from nothing of the new tile at its edge
/// to nothing of the old one behind the old one's (the ramp of diffusers' tiled decoder, as long
/// as the overlap is).
///
/// Works on 8-bit values with rounded integer weights that add up to one, row by row and left to
/// right, so the result is the same everywhere. Holds two rows of tiles, whatever the picture's
/// height.
package struct TileBlender: Sendable {
    /// Picture extents in pixels; what tiles reach beyond them is cut off.
    package let height: Int
    package let width: Int

    private let grid: TileGrid
    private var rowsOfTiles = 0
    /// Rows of the picture that the next row of tiles may still change.
    private var pending = PixelBand()

    /// A picture of `height` × `width` pixels decoded in the tiles of `grid`, which reach at
    /// least as far.
    package init(grid: TileGrid, height: Int, width: Int) {
        precondition(
            height > 0 && width > 0 && height <= grid.latent.height * grid.scaleFactor
                && width <= grid.latent.width * grid.scaleFactor,
            "a \(width)×\(height) picture does not fit the tile grid"
        )
        self.grid = grid
        self.height = height
        self.width = width
    }

    /// Takes the next row of tiles, left to right, and gives the picture rows that are final:
    /// row-major RGB, whole rows of 3·width bytes.
    package mutating func add(rowOfTiles tiles: [RGBTile]) -> [UInt8] {
        precondition(
            tiles.count == grid.columns && rowsOfTiles < grid.rows,
            "\(grid.rows) rows of \(grid.columns) tiles are expected"
        )
        var band = joined(tiles)
        band.fadeIn(below: pending)
        let starts = grid.rowStarts.map { $0 * grid.scaleFactor }
        let top = starts[rowsOfTiles]
        rowsOfTiles += 1
        let end = rowsOfTiles < grid.rows ? starts[rowsOfTiles] : top + band.height
        pending = band.rows(from: end - top)
        return band.bytes(height: max(0, min(end, height) - top), width: width)
    }

    /// A row of tiles as one band.
    private func joined(_ tiles: [RGBTile]) -> PixelBand {
        let lefts = grid.columnStarts.map { $0 * grid.scaleFactor }
        var band = PixelBand(
            height: grid.tile.height * grid.scaleFactor,
            width: (grid.latent.width + grid.closing) * grid.scaleFactor)
        var end = 0
        for (tile, left) in zip(tiles, lefts) {
            precondition(
                tile.height == band.height && tile.width == grid.tile.width * grid.scaleFactor,
                "every tile is a full one")
            band.fadeIn(tile, at: left, over: end - left)
            end = left + tile.width
        }
        return grid.closing == 0 ? band : band.closed(over: grid.closing * grid.scaleFactor)
    }
}

/// Whole rows of pixels.
private struct PixelBand: Sendable {
    private(set) var height: Int
    let width: Int
    private var bytes: [UInt8]

    /// No rows.
    init() { self.init(height: 0, width: 0) }

    init(height: Int, width: Int) {
        self.height = height
        self.width = width
        bytes = Array(repeating: 0, count: height * width * 3)
    }

    /// Puts a tile of this height at column `left`, fading in over the first `overlap` columns.
    mutating func fadeIn(_ tile: RGBTile, at left: Int, over overlap: Int) {
        let (ramp, length) = (overlap * 3, tile.width * 3)
        for y in 0..<height {
            let (from, to) = (y * length, (y * width + left) * 3)
            for x in 0..<ramp {
                bytes[to + x] = mix(bytes[to + x], tile.bytes[from + x], x / 3, of: overlap)
            }
            bytes.replaceSubrange(
                to + ramp..<to + length, with: tile.bytes[from + ramp..<from + length])
        }
    }

    /// Fades in over `other`, whose first row lies where this one's does.
    mutating func fadeIn(below other: PixelBand) {
        let length = width * 3
        for y in 0..<other.height {
            for index in y * length..<(y + 1) * length {
                bytes[index] = mix(other.bytes[index], bytes[index], y, of: other.height)
            }
        }
    }

    /// A ring: what the last columns show again, the first ones fade in over.
    func closed(over overlap: Int) -> PixelBand {
        var ring = PixelBand(height: height, width: width - overlap)
        let (ramp, length) = (overlap * 3, ring.width * 3)
        for y in 0..<height {
            let (from, to) = (y * width * 3, y * length)
            for x in 0..<ramp {
                ring.bytes[to + x] = mix(
                    bytes[from + length + x], bytes[from + x], x / 3, of: overlap)
            }
            ring.bytes.replaceSubrange(
                to + ramp..<to + length, with: bytes[from + ramp..<from + length])
        }
        return ring
    }

    /// Without its first rows.
    func rows(from first: Int) -> PixelBand {
        var rest = self
        rest.height -= first
        rest.bytes.removeFirst(first * width * 3)
        return rest
    }

    /// The bytes of the first rows and columns.
    func bytes(height rows: Int, width columns: Int) -> [UInt8] {
        (0..<rows).flatMap { (y: Int) -> ArraySlice<UInt8> in
            let first = y * width * 3
            return bytes[first..<first + columns * 3]
        }
    }
}

/// `old·(1 − position/extent) + new·position/extent`, rounded.
private func mix(_ old: UInt8, _ new: UInt8, _ position: Int, of extent: Int) -> UInt8 {
    let sum = Int(old) * (extent - position) + Int(new) * position
    return UInt8((sum + extent / 2) / extent)
}
