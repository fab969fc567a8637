package import Denoising
internal import DiffusionModels
package import DurableFiles
internal import ImageOutput
package import Tensors

/// What a run tells on its way.
package enum PictureRunEvent: Equatable, Sendable {
    /// Something that a person should know, such as what was cut from the prompt.
    case note(String)
    case progress(GenerationProgress)
    /// The run goes on after so many steps and so many tasks of the next; 0 and 0 when it was to go
    /// on and nothing was kept.
    case resumed(afterStep: Int, tasks: Int)
    /// The run goes on with the picture that it starts from, which is encoded already.
    case pictureKept
    /// So many tiles were decoded by an earlier process.
    case tilesKept(Int, of: Int)
}

/// One picture on its way from noise to its file, with what it takes to go on after a kill at
/// any point.
package struct PictureRun: Sendable {
    private let generator: ImageGenerator
    private let provenance: Provenance
    private let output: OutputPlace
    private let saveLatents: OutputPlace?
    private let state: CheckpointFolder?
    private let refuges: [String]

    /// `output` and `saveLatents` are where the results go; `state` is where to keep what a later
    /// process needs to go on. `refuges` are folders for finished latents that nothing keeps and
    /// that cannot be put beside the picture either; the first that takes them gets them.
    package init(
        generator: ImageGenerator,
        provenance: Provenance,
        output: OutputPlace,
        saveLatents: OutputPlace? = nil,
        state: CheckpointFolder? = nil,
        refuges: [String] = []
    ) {
        self.generator = generator
        self.provenance = provenance
        self.output = output
        self.saveLatents = saveLatents
        self.state = state
        self.refuges = refuges
    }

    /// Denoises, from the last checkpoint if there is one, and decodes what is not decoded yet.
    ///
    /// However it ends, what was saved is on disk when it returns, as far as the disk takes it.
    /// Throws ``PictureRunFailure`` when the latents are finished and no picture comes of them,
    /// and what the executor and the state folder throw.
    package func perform(
        noise: Latent,
        with executor: some TaskExecutor,
        onEvent: (PictureRunEvent) -> Void
    ) async throws {
        do {
            let latent = try await denoise(noise, with: executor, onEvent: onEvent)
            let unsaved = await failure { try await writeLatents(latent) }
            let failure = await failure { try await decode(latent, with: executor, onEvent) }
            if failure != nil || unsaved != nil {
                throw await outcome(of: latent, picture: failure, saved: unsaved)
            }
        } catch {
            await state?.settle()
            throw error
        }
        await state?.finish()
    }

    private func denoise(
        _ noise: Latent, with executor: some TaskExecutor, onEvent: (PictureRunEvent) -> Void
    ) async throws -> Latent {
        var start = generator.initialState(noise: noise)
        if let saved = state?.latest(), generator.isStart(saved) {
            start = saved
            let isBegun = saved.nextStep > 0 || saved.mergedTasks > 0
            onEvent(
                isBegun
                    ? .resumed(afterStep: saved.nextStep, tasks: saved.mergedTasks) : .pictureKept)
        } else if state?.isResuming == true {
            onEvent(.resumed(afterStep: 0, tasks: 0))
        }
        var last = start
        do {
            return try await generator.denoise(
                from: start, with: executor, onProgress: { onEvent(.progress($0)) },
                onTask: { try state?.keep($0) },
                onStep: {
                    last = $0
                    try state?.save($0)
                })
        } catch DenoisingError.tileNotFinite(let place, let reason)
            where last.phase != DenoisingState.beforeFirst
        {
            throw await outcome(ofEnlarging: last, .tileNotFinite(place, reason: reason))
        }
    }

    private func writeLatents(_ latent: Latent) async throws {
        guard let saveLatents else { return }
        try await saveLatents.writing { try LatentFile.write(latent, to: saveLatents) }
    }

    private func decode(
        _ latent: Latent, with executor: some TaskExecutor, _ onEvent: (PictureRunEvent) -> Void
    ) async throws {
        let tiles = generator.picture.tiles
        let journal = state?.journal(for: latent, grid: tiles)
        if let journal, journal.count > 0 {
            onEvent(.tilesKept(journal.count, of: tiles.count))
        }
        let request = provenance.request
        let stream = try PNGStream(
            to: output, width: request.width, height: request.height,
            texts: provenance.texts)
        // The thread that wrote last may hold it for a moment, and the process end in that.
        defer { stream.abandon() }
        try await generator.decode(
            latent, with: executor, into: stream, keeping: journal,
            onProgress: { onEvent(.progress($0)) })
    }
}

// MARK: - Failures

extension PictureRun {
    private func failure(_ body: () async throws -> Void) async -> (any Error)? {
        do { try await body() } catch { return error }
        return nil
    }

    /// What failures after the last step mean, to make the picture or to save the latents: they
    /// must not cost the latents.
    private func outcome(
        of latent: Latent, picture: (any Error)?, saved: (any Error)?
    ) async -> any Error {
        let failures = [picture, saved].compactMap { $0 }
        let plan = generator.picture.plan
        let loss = await loss(ofStep: plan.stepCount, phase: plan.phases.count - 1)
        let isKept = state != nil && loss == nil
        for failure in failures {
            let isFinal =
                failure is ImageOutputError || failure is WeightsError || failure is DecodingFailure
            // A run that goes on by itself has its state.
            guard isFinal || !isKept, !(failure is CancellationError) else { return failure }
        }
        // Whoever stops a run wants no more of it, and gives up a reader that it waits for.
        guard !Task.isCancelled, let cause = failures.first else { return CancellationError() }
        return PictureRunFailure(
            cause: cause, unsaved: failures.dropFirst().first,
            latents: place(of: latent, isSaved: saved == nil, loss), stateLoss: loss)
    }

    /// What it means that the autoencoder gave no picture of a phase's last canvas to enlarge.
    private func outcome(
        ofEnlarging last: DenoisingState, _ failure: DenoisingError
    ) async -> any Error {
        guard !Task.isCancelled else { return CancellationError() }
        let phase = generator.picture.plan.phases[last.phase]
        let loss = await loss(ofStep: last.nextStep, phase: last.phase)
        return PictureRunFailure(
            cause: failure, phase: phase.name,
            latents: place(of: last.canvas.cropped(to: phase.latent), isSaved: false, loss),
            stateLoss: loss)
    }

    /// Why the state folder does not keep what there was after this step; nil when it does, and
    /// without a state folder.
    private func loss(ofStep step: Int, phase: Int) async -> StateLoss? {
        // What was removed may have made room for a checkpoint that the disk did not take.
        await state?.settle()
        return state?.loss(ofStep: step, phase: phase)
    }

    /// Where latents are, after an attempt to put them somewhere if they are nowhere. `isSaved` says
    /// whether they are where they were asked for, `loss` why the state folder does not keep them.
    private func place(
        of latent: Latent, isSaved: Bool, _ loss: StateLoss?
    ) -> PictureRunFailure.Latents {
        if let state, loss == nil { return .folder(state.path) }
        if case .file(let path)? = saveLatents, isSaved { return .file(path) }
        let rescued = LatentRescue.write(latent, beside: output, orIn: refuges)
        return rescued.map { .file($0) } ?? .lost
    }
}

/// The latents were finished, or those of a phase, and no picture came of them or they could not be
/// saved.
package struct PictureRunFailure: Error, CustomStringConvertible {
    /// Where the latents are.
    package enum Latents: Equatable, Sendable {
        /// A run that resumes from this state folder only decodes, or goes on with what follows.
        case folder(String)
        /// In this file, asked for or not.
        case file(String)
        case lost
    }

    package let cause: any Error
    /// Why the latents could not be put where they were asked for, when that was not the cause.
    package let unsaved: (any Error)?
    /// The phase that the latents are of; nil when they are the finished ones.
    package let phase: String?
    package let latents: Latents
    /// Why the run's state folder does not keep them; nil when it does, and without one.
    package let stateLoss: StateLoss?

    package init(
        cause: any Error, unsaved: (any Error)? = nil, phase: String? = nil, latents: Latents,
        stateLoss: StateLoss? = nil
    ) {
        self.cause = cause
        self.unsaved = unsaved
        self.phase = phase
        self.latents = latents
        self.stateLoss = stateLoss
    }

    /// Whether it was the disk that did not take the picture, rather than that there is none.
    package var isUnwritable: Bool { cause is ImageOutputError || cause is WeightsError }

    /// What has to be done before another attempt, which may put the picture elsewhere or not.
    private func remedy(movable: Bool) -> String {
        guard isUnwritable else { return "mend that" }
        return "mend that place" + (movable ? " or name another --output" : "")
    }

    private var causes: String {
        "\(cause)" + (unsaved.map { "; the latents could not be saved either: \($0)" } ?? "")
    }

    package var description: String {
        switch latents {
        case .folder(let path):
            sentence(goingOn: "go on with --state-dir \(path) --resume", movable: true)
        case .file(let path) where phase == nil:
            "\(causes); \(what) are in \(path), of which `tessera decode` makes the picture"
                + aboutState
        case .file(let path): "\(causes); \(what) are in \(path)\(aboutState)"
        case .lost where stateLoss != nil: loss
        case .lost:
            "\(causes); \(remedy(movable: true)), and add --state-dir, which keeps \(what) so that --resume \(rest)"
                + (phase == nil ? ", or --save-latents, which writes them before decoding" : "")
        }
    }

    /// The same where a state folder keeps the latents, with what to do to use them. `movable` says
    /// whether the picture may then go elsewhere.
    package func sentence(goingOn: String, movable: Bool) -> String {
        "\(causes); \(what) are kept: \(remedy(movable: movable)), and \(goingOn), which \(rest)"
    }

    /// The same where nothing keeps the latents and nobody can be told an option.
    package var loss: String { "\(causes); \(what) found no place and are lost\(aboutState)" }

    private var aboutState: String { stateLoss.map { "; \($0)" } ?? "" }

    private var what: String {
        phase.map { "the latents of phase \"\($0)\"" } ?? "the finished latents"
    }

    private var rest: String { phase == nil ? "only decodes" : "goes on from there" }
}
