package import Denoising

/// Joins decoded tiles into rows of the picture, as diffusers' tiled decoder does: every tile
/// fades in over its upper and left neighbour along a linear ramp, the neighbour's own blends
/// included, and the part of a tile that the next one overlaps is cut off
/// (AutoencoderKL.tiled_decode in diffusers 0.42).
///
/// Works on 8-bit values with rounded integer weights, so the result is the same everywhere.
/// Holds two rows of tiles, whatever the picture's height.
package struct TileBlender: Sendable {
    /// Picture extents in pixels; what tiles reach beyond them is cut off.
    package let height: Int
    package let width: Int

    private let grid: TileGrid
    private var above: [BlendTile] = []
    private var rowsOfTiles = 0
    private var rowsEmitted = 0

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
        var row: [BlendTile] = []
        for (column, tile) in tiles.enumerated() {
            var blended = BlendTile(tile)
            if rowsOfTiles > 0 {
                blended.fadeIn(below: above[column], extent: grid.blendExtent)
            }
            if let left = row.last {
                blended.fadeIn(rightOf: left, extent: grid.blendExtent)
            }
            row.append(blended)
        }
        above = row
        rowsOfTiles += 1
        return emit(row)
    }

    /// A tile with a neighbour behind it gives one stride of itself, the last one all of itself.
    private mutating func emit(_ row: [BlendTile]) -> [UInt8] {
        let tallest = rowsOfTiles == grid.rows ? row[0].height : grid.pixelStride
        let count = max(0, min(tallest, height - rowsEmitted))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * width * 3)
        for y in 0..<count {
            var remaining = width
            for (column, tile) in row.enumerated() {
                let widest = column == row.count - 1 ? tile.width : grid.pixelStride
                let columns = min(widest, remaining)
                let start = y * tile.width * 3
                bytes.append(contentsOf: tile.bytes[start..<start + columns * 3])
                remaining -= columns
            }
            precondition(remaining == 0, "the tiles do not reach the picture's right edge")
        }
        rowsEmitted += count
        return bytes
    }
}

/// A tile whose edges are being blended.
private struct BlendTile: Sendable {
    let height: Int
    let width: Int
    var bytes: [UInt8]

    init(_ tile: RGBTile) {
        height = tile.height
        width = tile.width
        bytes = tile.bytes
    }

    mutating func fadeIn(below other: BlendTile, extent: Int) {
        let extent = min(extent, height, other.height)
        let length = min(width, other.width) * 3
        for y in 0..<extent {
            let from = (other.height - extent + y) * other.width * 3
            let to = y * width * 3
            for x in 0..<length {
                bytes[to + x] = mix(other.bytes[from + x], bytes[to + x], y, of: extent)
            }
        }
    }

    mutating func fadeIn(rightOf other: BlendTile, extent: Int) {
        let extent = min(extent, width, other.width)
        for y in 0..<min(height, other.height) {
            let from = (y * other.width + other.width - extent) * 3
            let to = y * width * 3
            for x in 0..<extent * 3 {
                bytes[to + x] = mix(other.bytes[from + x], bytes[to + x], x / 3, of: extent)
            }
        }
    }
}

/// `old·(1 − position/extent) + new·position/extent`, rounded.
private func mix(_ old: UInt8, _ new: UInt8, _ position: Int, of extent: Int) -> UInt8 {
    let sum = Int(old) * (extent - position) + Int(new) * position
    return UInt8((sum + extent / 2) / extent)
}
