package import Denoising
package import ImageOutput
package import Tensors

/// What a run reports on its way.
package enum GenerationProgress: Equatable, Sendable {
    /// So many views of the whole plan have been merged.
    case views(done: Int, of: Int)
    /// So many steps are done.
    case step(done: Int, of: Int)
    /// So many tiles are decoded.
    case tile(done: Int, of: Int)
}

/// From conditioning and noise to a PNG, on whatever executor it is given.
package struct ImageGenerator: Sendable {
    package let picture: PicturePlan
    package let conditioning: Conditioning

    /// Tiles decoded in one go: whole rows of tiles, at least this many tiles.
    private static let tilesInFlight = 16

    package init(picture: PicturePlan, conditioning: Conditioning) {
        self.picture = picture
        self.conditioning = conditioning
    }

    private var loop: DenoisingLoop {
        DenoisingLoop(
            plan: picture.plan, scheduler: picture.scheduler, conditioning: conditioning)
    }

    /// The state before the first step, from unit-variance noise of the latent's extents.
    package func initialState(noise: Latent) -> DenoisingState { loop.initialState(noise: noise) }

    /// Runs the remaining steps and returns the finished latent. `onStep` gets the state after
    /// every step, for checkpoints. Throws what the executor and the hooks throw.
    package func denoise(
        from state: DenoisingState,
        with executor: some TaskExecutor,
        onProgress: (GenerationProgress) async throws -> Void,
        onStep: (DenoisingState) async throws -> Void = { _ in }
    ) async throws -> Latent {
        let plan = picture.plan
        var done = (0..<state.nextStep).reduce(0) { $0 + plan.stage(at: $1).viewCount }
        try await onProgress(.views(done: done, of: plan.forwardCount))
        return try await loop.run(
            from: state,
            with: executor,
            onTask: { step, merged in
                let before = (merged - 1) * plan.request.viewsPerTask
                done += min(plan.request.viewsPerTask, step.views.count - before)
                try await onProgress(.views(done: done, of: plan.forwardCount))
            },
            onStep: { state in
                try await onStep(state)
                try await onProgress(.step(done: state.nextStep, of: plan.stepCount))
            }
        )
    }

    /// Decodes the finished latent tile by tile into `stream`, which is finished at the end.
    /// Holds a few rows of tiles, whatever the picture's height.
    package func decode(
        _ latent: Latent,
        with executor: some TaskExecutor,
        into stream: PNGStream,
        onProgress: (GenerationProgress) async throws -> Void
    ) async throws {
        let grid = picture.tiles
        var blender = TileBlender(
            grid: grid, height: picture.request.height, width: picture.request.width)
        try await onProgress(.tile(done: 0, of: grid.rows * grid.columns))
        let rowsAtOnce = max(1, (Self.tilesInFlight + grid.columns - 1) / grid.columns)
        var row = 0
        while row < grid.rows {
            let rows = row..<min(row + rowsAtOnce, grid.rows)
            let tiles = try await decodedTiles(
                of: latent, rows: rows, with: executor, onProgress: onProgress)
            for first in stride(from: 0, to: tiles.count, by: grid.columns) {
                let line = Array(tiles[first..<first + grid.columns])
                try stream.append(rows: blender.add(rowOfTiles: line))
            }
            row = rows.upperBound
        }
        try stream.finish()
    }

    /// The tiles of some rows of the grid, row-major.
    private func decodedTiles(
        of latent: Latent,
        rows: Range<Int>,
        with executor: some TaskExecutor,
        onProgress: (GenerationProgress) async throws -> Void
    ) async throws -> [RGBTile] {
        let grid = picture.tiles
        let first = rows.lowerBound * grid.columns
        let windows = grid.tiles[first..<rows.upperBound * grid.columns]
        let items = windows.enumerated().map { index, window in
            WorkItem.decode(
                DecodeTask(
                    index: index, tile: LatentView.window(window).gather(from: latent)))
        }
        var tiles: [RGBTile?] = Array(repeating: nil, count: items.count)
        var done = 0
        try await executor.execute(items, conditioning: conditioning) { index, answer in
            tiles[index] = try checked(answer, for: windows[first + index], index: first + index)
            done += 1
            try await onProgress(.tile(done: first + done, of: grid.rows * grid.columns))
        }
        return try tiles.enumerated().map { index, tile in
            guard let tile else { throw DecodingFailure.unanswered(tile: first + index) }
            return tile
        }
    }

    private func checked(
        _ answer: WorkAnswer, for window: Window, index: Int
    ) throws(DecodingFailure) -> RGBTile {
        let scale = picture.tiles.scaleFactor
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
    /// The answer for a tile is no picture of the right size.
    case unsuitable(tile: Int, expected: Extent)

    package var description: String {
        switch self {
        case .unanswered(let tile): "tile \(tile) was not decoded"
        case .unsuitable(let tile, let expected):
            "the answer for tile \(tile) is no picture of \(expected) pixels"
        }
    }
}
