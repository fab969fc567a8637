package import Denoising
package import ImageOutput
package import Tensors

/// What a run reports on its way.
package enum GenerationProgress: Equatable, Sendable {
    /// So many views of the whole plan have been merged.
    case views(done: Int, of: Int)
    /// So many steps are done.
    case step(done: Int, of: Int)
    /// So many tiles of the picture that a phase enlarges are decoded and encoded; in the first
    /// phase, number 0, of the picture that the request starts from are encoded.
    case redrawn(phase: Int, of: Int, tiles: Int, ofTiles: Int)
    /// So many tiles are decoded.
    case tile(done: Int, of: Int)
}

/// From conditioning and noise to a PNG, on whatever executor it is given.
package struct ImageGenerator: Sendable {
    package let picture: PicturePlan
    /// The prompt's, and those of regions, by number.
    package let conditionings: [Conditioning]
    private let openPicture: OpenPicture?

    /// Tiles decoded in one go: whole rows of tiles, at least this many tiles.
    private static let tilesInFlight = 16

    /// `openPicture` opens the picture that the request starts from, where it does.
    package init(
        picture: PicturePlan, conditionings: [Conditioning], openPicture: OpenPicture? = nil
    ) {
        self.picture = picture
        self.conditionings = conditionings
        self.openPicture = openPicture
    }

    private var loop: DenoisingLoop {
        DenoisingLoop(
            plan: picture.plan, conditionings: conditionings, openPicture: openPicture)
    }

    /// The state before the first step, from unit-variance noise of the latent's extents.
    package func initialState(noise: Latent) -> DenoisingState { loop.initialState(noise: noise) }

    /// Whether a run of this picture can go on from there.
    package func isStart(_ state: DenoisingState) -> Bool { loop.isStart(state) }

    /// Runs what remains and returns the finished latent. `onStep` gets the state after every step
    /// and every canvas that was made, for checkpoints, `onTask` the one in the middle of a step,
    /// to be looked at and not held. Throws what the executor and the hooks throw.
    package func denoise(
        from state: DenoisingState,
        with executor: some TaskExecutor,
        onProgress: (GenerationProgress) async throws -> Void,
        onTask: (DenoisingState) async throws -> Void = { _ in },
        onStep: (DenoisingState) async throws -> Void = { _ in }
    ) async throws -> Latent {
        let plan = picture.plan
        let before = (0..<state.nextStep).reduce(0) { $0 + plan.viewCount(ofStep: $1) }
        var done = before
        if let underWay = state.underWay {
            done += plan.viewCount(ofStep: state.nextStep, firstTasks: underWay.mergedTasks)
        }
        try await onProgress(.views(done: done, of: plan.forwardCount))
        return try await loop.run(from: state, with: executor) { event in
            switch event {
            case .merged(let step, let state):
                done +=
                    step.views(
                        ofTask: state.mergedTasks - 1, perTask: plan.request.viewsPerTask
                    ).count
                try await onProgress(.views(done: done, of: plan.forwardCount))
                // With its last task the step is whole.
                if state.mergedTasks < step.taskCount { try await onTask(state) }
            case .advanced(let state):
                try await onStep(state)
                try await onProgress(.step(done: state.nextStep, of: plan.stepCount))
            case .entered(let state): try await onStep(state)
            case .redrawn(let phase, let done, let count):
                try await onProgress(
                    .redrawn(
                        phase: phase, of: plan.phases.count, tiles: done, ofTiles: count))
            }
        }
    }

    /// Decodes the finished latent tile by tile into `stream`, which is finished at the end.
    /// Tiles that `journal` holds are not decoded, and the others are put there. Holds a few rows
    /// of tiles, whatever the picture's height.
    package func decode(
        _ latent: Latent,
        with executor: some TaskExecutor,
        into stream: PNGStream,
        keeping journal: TileJournal? = nil,
        onProgress: (GenerationProgress) async throws -> Void
    ) async throws {
        let grid = picture.tiles
        let count = grid.count
        var blender = TileBlender(
            grid: grid, height: picture.request.height, width: picture.request.width)
        var done = journal?.count ?? 0
        try await onProgress(.tile(done: done, of: count))
        let rowsAtOnce = max(1, (Self.tilesInFlight + grid.columns - 1) / grid.columns)
        var row = 0
        while row < grid.rows {
            let rows = row..<min(row + rowsAtOnce, grid.rows)
            let tiles = try await tiles(
                of: latent, in: rows.lowerBound * grid.columns..<rows.upperBound * grid.columns,
                with: executor, journal: journal,
                onTile: { isRepeated in
                    // One that the journal only seemed to hold is counted already.
                    if !isRepeated { done += 1 }
                    try await onProgress(.tile(done: done, of: count))
                })
            for first in stride(from: 0, to: tiles.count, by: grid.columns) {
                let line = Array(tiles[first..<first + grid.columns])
                try await stream.append(rows: blender.add(rowOfTiles: line))
            }
            row = rows.upperBound
        }
        try await stream.finish()
    }

    /// Some tiles of the grid, which is row-major: out of the journal, or decoded.
    private func tiles(
        of latent: Latent,
        in range: Range<Int>,
        with executor: some TaskExecutor,
        journal: TileJournal?,
        onTile: (_ isRepeated: Bool) async throws -> Void
    ) async throws -> [RGBTile] {
        let grid = picture.tiles
        let scale = grid.scaleFactor
        var tiles: [Int: RGBTile] = [:]
        var (missing, repeated): ([Int], Set<Int>) = ([], [])
        for index in range {
            let window = grid[index]
            let isHeld = journal?.holds(index) ?? false
            if let tile = journal?.tile(
                index, height: window.height * scale, width: window.width * scale)
            {
                tiles[index] = tile
            } else {
                if isHeld { repeated.insert(index) }
                missing.append(index)
            }
        }
        do {
            guard !missing.isEmpty else { return range.compactMap { tiles[$0] } }
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
                tiles[index] = tile
                await journal?.append(tile, index: index)
                try await onTile(repeated.contains(index))
            }
        } catch ComputeError.notFinite(let index, let reason) {
            throw DecodingFailure.notFinite(TilePlace(index, in: grid), reason: reason)
        }
        return try range.map { index throws(DecodingFailure) in
            guard let tile = tiles[index] else { throw .unanswered(tile: index) }
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
