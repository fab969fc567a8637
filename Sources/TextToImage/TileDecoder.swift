package import Denoising
internal import ImageOutput
internal import Tensors

/// From a finished latent to a PNG, tile by tile.
struct TileDecoder: Sendable {
    let tiles: TileGrid
    /// Extents of the picture in pixels, at most the tiles'.
    let height: Int
    let width: Int
    /// What executors want to be given; decoding takes nothing of them.
    let conditionings: [Conditioning]

    /// Tiles decoded in one go: whole rows of tiles, at least this many tiles.
    private static let tilesInFlight = 16

    /// Decodes a finished latent tile by tile into `stream`, which is finished at the end.
    /// Tiles that `journal` holds are not decoded, and the others are put there. Holds a few rows
    /// of tiles, whatever the picture's height.
    func decode(
        _ latent: Latent,
        with executor: some TaskExecutor,
        into stream: PNGStream,
        keeping journal: TileJournal? = nil,
        onProgress: (GenerationProgress) async throws -> Void
    ) async throws {
        let grid = tiles
        let count = grid.count
        var blender = TileBlender(grid: grid, height: height, width: width)
        var done = journal?.count ?? 0
        try await onProgress(.tile(done: done, of: count))
        let rowsAtOnce = max(1, (Self.tilesInFlight + grid.columns - 1) / grid.columns)
        var row = 0
        while row < grid.rows {
            let rows = row..<min(row + rowsAtOnce, grid.rows)
            let decoded = try await decoded(
                of: latent, in: rows.lowerBound * grid.columns..<rows.upperBound * grid.columns,
                with: executor, journal: journal,
                onTile: { isRepeated in
                    // One that the journal only seemed to hold is counted already.
                    if !isRepeated { done += 1 }
                    try await onProgress(.tile(done: done, of: count))
                })
            for first in stride(from: 0, to: decoded.count, by: grid.columns) {
                let line = Array(decoded[first..<first + grid.columns])
                try await stream.append(rows: blender.add(rowOfTiles: line))
            }
            row = rows.upperBound
        }
        try await stream.finish()
    }

    /// Some tiles of the grid, which is row-major: out of the journal, or decoded.
    private func decoded(
        of latent: Latent,
        in range: Range<Int>,
        with executor: some TaskExecutor,
        journal: TileJournal?,
        onTile: (_ isRepeated: Bool) async throws -> Void
    ) async throws -> [RGBTile] {
        let grid = tiles
        let scale = grid.scaleFactor
        var found: [Int: RGBTile] = [:]
        var (missing, repeated): ([Int], Set<Int>) = ([], [])
        for index in range {
            let window = grid[index]
            let isHeld = journal?.holds(index) ?? false
            if let tile = journal?.tile(
                index, height: window.height * scale, width: window.width * scale)
            {
                found[index] = tile
            } else {
                if isHeld { repeated.insert(index) }
                missing.append(index)
            }
        }
        do {
            guard !missing.isEmpty else { return range.compactMap { found[$0] } }
            let asked = missing
            let items = WorkList(count: asked.count) { position in
                let tile = grid.view(asked[position]).gather(from: latent)
                return .decode(DecodeTask(index: asked[position], tile: tile))
            }
            try await executor.execute(items, conditionings: conditionings) { position, answer in
                guard asked.indices.contains(position) else {
                    throw DecodingFailure.unasked(tile: position)
                }
                let index = asked[position]
                let tile = try checked(answer, for: grid[index], index: index)
                found[index] = tile
                await journal?.append(tile, index: index)
                try await onTile(repeated.contains(index))
            }
        } catch ComputeError.notFinite(let index, let reason) {
            throw DecodingFailure.notFinite(TilePlace(index, in: grid), reason: reason)
        }
        return try range.map { index throws(DecodingFailure) in
            guard let tile = found[index] else { throw .unanswered(tile: index) }
            return tile
        }
    }

    private func checked(
        _ answer: WorkAnswer, for window: Window, index: Int
    ) throws(DecodingFailure) -> RGBTile {
        let scale = tiles.scaleFactor
        guard case .decode(let tile) = answer, tile.height == window.height * scale,
            tile.width == window.width * scale
        else {
            throw .unsuitable(
                tile: index,
                expected: Extent(
                    height: window.height * scale, width: window.width * scale))
        }
        return tile
    }
}

/// Why decoding could not go on.
package enum DecodingFailure: Error, Equatable, CustomStringConvertible {
    /// The executor returned before every tile was decoded.
    case unanswered(tile: Int)
    /// The executor answered for a tile that it was not asked for.
    case unasked(tile: Int)
    /// The answer for a tile is no picture of the right size.
    case unsuitable(tile: Int, expected: Extent)
    /// The autoencoder's answer for a tile holds infinities or what is no number; `reason` says
    /// who found it.
    case notFinite(TilePlace, reason: String)

    package var description: String {
        switch self {
        case .unanswered(let tile): "tile \(tile) was not decoded"
        case .unasked(let tile): "tile \(tile) was decoded without being asked for"
        case .unsuitable(let tile, let expected):
            "the answer for tile \(tile) is no picture of \(expected) pixels"
        case .notFinite(let place, let reason): place.sentence(reason)
        }
    }
}
