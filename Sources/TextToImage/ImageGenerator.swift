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

    /// Decodes the finished latent into `stream`, as ``TileDecoder`` does.
    package func decode(
        _ latent: Latent,
        with executor: some TaskExecutor,
        into stream: PNGStream,
        keeping journal: TileJournal? = nil,
        onProgress: (GenerationProgress) async throws -> Void
    ) async throws {
        let decoder = TileDecoder(
            tiles: picture.tiles, height: picture.request.height, width: picture.request.width,
            conditionings: conditionings)
        try await decoder.decode(
            latent, with: executor, into: stream, keeping: journal, onProgress: onProgress)
    }
}
