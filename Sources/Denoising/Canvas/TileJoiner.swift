internal import Tensors

/// Joins tiles of numbers into rows, as pictures are joined of decoded tiles: every tile fades in
/// over what its left and upper neighbours have in common with it along a linear ramp, from
/// nothing of the new tile at its edge to nothing of the old one behind the old one's.
///
/// Holds two rows of tiles.
struct TileJoiner<Image: Planar>: Sendable {
    private let grid: TileGrid
    /// Elements along each side of a latent's cell.
    private let scale: Int
    private var rowsOfTiles = 0
    /// Rows that the next row of tiles may still change.
    private var pending: Image?

    /// Tiles of `scale` elements per cell of the grid.
    init(grid: TileGrid, scale: Int) {
        self.grid = grid
        self.scale = scale
    }

    /// Takes the next row of tiles, left to right, and gives the rows that are final.
    mutating func add(rowOfTiles tiles: [Image]) -> Image {
        var band = joined(tiles)
        if let pending { band = band.fadedIn(below: pending) }
        let top = grid.rowStarts[rowsOfTiles] * scale
        rowsOfTiles += 1
        guard rowsOfTiles < grid.rows else { return band }
        let end = grid.rowStarts[rowsOfTiles] * scale - top
        pending = band.rows(end..<band.height)
        return band.rows(0..<end)
    }

    private func joined(_ tiles: [Image]) -> Image {
        precondition(tiles.count == grid.columns, "a row of tiles is whole")
        let (channels, height) = (tiles[0].channels, grid.tile.height * scale)
        let width = grid.latent.width * scale
        var values = [Float](repeating: 0, count: channels * height * width)
        var end = 0
        for (tile, start) in zip(tiles, grid.columnStarts) {
            precondition(tile.height == height && tile.channels == channels, "a tile is full")
            let (left, elements) = (start * scale, tile.values)
            let overlap = end - left
            for row in 0..<channels * height {
                let (from, to) = (row * tile.width, row * width + left)
                for x in 0..<tile.width {
                    let new = elements[from + x]
                    values[to + x] = x < overlap ? mix(values[to + x], new, x, of: overlap) : new
                }
            }
            end = left + tile.width
        }
        return Image(channels: channels, height: height, width: width, values: values)
    }
}

extension Planar {
    /// Images of one width, one below the other.
    init(stacking parts: [Self]) {
        precondition(!parts.isEmpty, "nothing cannot be stacked")
        guard parts.count > 1 else {
            self = parts[0]
            return
        }
        let (channels, width) = (parts[0].channels, parts[0].width)
        let height = parts.reduce(0) { $0 + $1.height }
        var values: [Float] = []
        values.reserveCapacity(channels * height * width)
        for channel in 0..<channels {
            for part in parts {
                let plane = part.height * part.width
                values += part.values[channel * plane..<(channel + 1) * plane]
            }
        }
        self.init(channels: channels, height: height, width: width, values: values)
    }

    /// Some of its rows.
    func rows(_ range: Range<Int>) -> Self {
        var part: [Float] = []
        part.reserveCapacity(channels * range.count * width)
        for channel in 0..<channels {
            let first = (channel * height + range.lowerBound) * width
            part += values[first..<first + range.count * width]
        }
        return Self(channels: channels, height: range.count, width: width, values: part)
    }

    /// Some of its rows and columns.
    func part(_ rows: Range<Int>, _ columns: Range<Int>) -> Self {
        var part: [Float] = []
        part.reserveCapacity(channels * rows.count * columns.count)
        for channel in 0..<channels {
            for row in rows {
                let first = (channel * height + row) * width
                part += values[first + columns.lowerBound..<first + columns.upperBound]
            }
        }
        return Self(
            channels: channels, height: rows.count, width: columns.count, values: part)
    }

    /// Fading in over `other`, whose first row lies where this one's does.
    fileprivate func fadedIn(below other: Self) -> Self {
        var mixed = values
        let old = other.values
        for channel in 0..<channels {
            for y in 0..<other.height {
                let (from, to) = (
                    (channel * other.height + y) * width, (channel * height + y) * width
                )
                for x in 0..<width {
                    mixed[to + x] = mix(old[from + x], mixed[to + x], y, of: other.height)
                }
            }
        }
        return Self(channels: channels, height: height, width: width, values: mixed)
    }
}

/// `old·(1 − position/extent) + new·position/extent`.
private func mix(_ old: Float, _ new: Float, _ position: Int, of extent: Int) -> Float {
    let share = Float(position) / Float(extent)
    return old * (1 - share) + new * share
}
