internal import Denoising
package import Tensors

/// Lays encoded tiles into one latent: every core fades in over what its left and upper neighbours
/// have in common with it along a linear ramp, from nothing of the new tile at its edge to nothing
/// of the old one behind the old one's, as decoded tiles do.
///
/// Row by row and left to right, so the result is the same everywhere.
package struct LatentAssembler: Sendable {
    /// What was laid so far; whole when every row of tiles was added.
    package private(set) var latent: Latent

    private let grid: EncodeGrid
    private var rowsOfTiles = 0

    /// A latent of `channels` channels and the grid's extents.
    package init(grid: EncodeGrid, channels: Int) {
        self.grid = grid
        latent = Latent(
            zeros: channels, height: grid.latent.height, width: grid.latent.width)
    }

    /// Takes the next row of encoded tiles, left to right. Traps on tiles of other extents or
    /// channels and on more rows than the grid has.
    package mutating func add(rowOfTiles tiles: [Latent]) {
        precondition(
            tiles.count == grid.columns && rowsOfTiles < grid.rows,
            "\(grid.rows) rows of \(grid.columns) tiles are expected")
        precondition(
            tiles.allSatisfy {
                $0.channels == latent.channels && $0.height == grid.tile.height
                    && $0.width == grid.tile.width
            }, "every tile is a full one")
        let rows = grid.coreRows(rowsOfTiles)
        let end = rowsOfTiles == 0 ? 0 : grid.coreRows(rowsOfTiles - 1).upperBound
        for channel in 0..<latent.channels {
            for y in rows {
                let line = joined(
                    tiles, channel: channel, row: y - grid.rowStarts[rowsOfTiles])
                fadeIn(line, channel: channel, row: y, from: rows.lowerBound, to: end)
            }
        }
        rowsOfTiles += 1
    }

    /// One row of a row of tiles.
    private func joined(_ tiles: [Latent], channel: Int, row: Int) -> [Float] {
        var line = [Float](repeating: 0, count: latent.width)
        var end = 0
        for (column, tile) in tiles.enumerated() {
            let core = grid.coreColumns(column)
            let start = (channel * tile.height + row) * tile.width - grid.columnStarts[column]
            for x in core {
                line[x] = mix(
                    line[x], tile.values[start + x], x - core.lowerBound, of: end - core.lowerBound)
            }
            end = core.upperBound
        }
        return line
    }

    /// Lays a row, which fades in between the rows `start` and `end`.
    private mutating func fadeIn(
        _ line: [Float], channel: Int, row: Int, from start: Int, to end: Int
    ) {
        let offset = (channel * latent.height + row) * latent.width
        for x in 0..<latent.width {
            latent.values[offset + x] = mix(
                latent.values[offset + x], line[x], row - start, of: end - start)
        }
    }
}

/// `old·(1 − position/extent) + new·position/extent`, and the new one behind the extent.
private func mix(_ old: Float, _ new: Float, _ position: Int, of extent: Int) -> Float {
    guard position < extent else { return new }
    return old + (new - old) * (Float(position) / Float(extent))
}
