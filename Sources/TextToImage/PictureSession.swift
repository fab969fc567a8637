package import ComputeBackends
internal import Denoising
internal import DiffusionModels
package import DurableFiles
package import Tensors

/// Makes one picture: from a request that is worked out, on whoever computes, to its file.
///
/// Life: ``open(_:onEvent:)`` where there is a state folder, then ``make(on:to:keeping:onEvent:)``,
/// once. `tessera generate`, a coordinator's jobs and tests go this way, and differ in who computes
/// and who listens.
package struct PictureSession: Sendable {
    /// What the picture says about itself.
    package let provenance: Provenance
    private let setup: PictureSetup
    private let backend: any ComputeBackend

    /// `weights` is the model's fingerprint. The prompt is encoded on `backend`.
    package init(_ setup: PictureSetup, weights: Fingerprint, backend: any ComputeBackend) {
        self.setup = setup
        self.backend = backend
        provenance = Provenance(
            request: setup.picture.request, plan: setup.picture.fingerprint, weights: weights,
            computeClass: "\(backend.computeClass)")
    }

    /// Holds a state folder for this picture and begins a life in it, before anything of this
    /// process can be heard by workers. `onEvent` is called from any thread. Throws
    /// ``CheckpointError``, and `WeightsError` when the model cannot be read.
    package func open(
        _ place: StatePlace, onEvent: @escaping @Sendable (StateEvent) -> Void
    ) throws -> (folder: CheckpointFolder, life: StateLife) {
        let folder = try CheckpointFolder(
            path: place.path, job: provenance, latentWeights: setup.model.latentFingerprint(),
            autoencoderPhase: setup.autoencoderPhase,
            resume: place.resumes, keepingEvery: place.interval, beforeWrite: place.beforeWrite,
            onEvent: onEvent)
        return (folder, try folder.beginLife())
    }

    /// Encodes the prompt, has `computing` lend an executor, and runs to the end.
    ///
    /// Throws ``PictureRunFailure`` when latents are finished and no picture comes of them,
    /// `WeightsError` when the prompt or a trial has no finite answer, and what those who compute
    /// and the state folder throw. However it ends, what was saved is on disk when it returns.
    package func make(
        on computing: some PictureComputing, to results: PictureResults,
        keeping state: CheckpointFolder? = nil,
        onEvent: @escaping @Sendable (PictureRunEvent) -> Void
    ) async throws {
        let (prepared, notes) = try prepare()
        for note in notes { onEvent(.note(note)) }
        let run = PictureRun(
            generator: prepared.generator, provenance: provenance, output: results.output,
            saveLatents: results.saveLatents, state: state, refuges: results.refuges)
        try await computing.compute(prepared) { [noise = setup.noise] executor in
            try await run.perform(noise: noise, with: executor, onEvent: onEvent)
        }
    }

    /// The picture with its prompt encoded, and what of the prompts has no effect, in sentences.
    private func prepare() throws -> (PreparedPicture, notes: [String]) {
        let (model, request) = (setup.model, setup.picture.request)
        let encoded = try PromptEncoder(model: model, backend: backend)
            .encode(
                prompt: request.prompt, regions: request.regions.map(\.text),
                negativePrompt: request.negativePrompt)
        guard encoded.conditionings.allSatisfy(\.isFinite) else {
            throw WeightsError.malformed(
                path: model.path,
                reason: "its text encoders make no finite numbers of the prompt; "
                    + "`tessera doctor` looks for damaged weights")
        }
        let generator = ImageGenerator(
            picture: setup.picture, conditionings: encoded.conditionings,
            openPicture: setup.image?.opening)
        return (
            PreparedPicture(generator: generator, model: model, backend: backend),
            encoded.truncations.map { "\($0)" } + setup.picture.ignoredPrompt
        )
    }
}

/// Where a picture's state is kept, and how.
package struct StatePlace: Sendable {
    package let path: String
    /// Whether to go on with what is there.
    package let resumes: Bool
    /// See ``CheckpointFolder/keep(_:)``.
    package let interval: Duration
    /// For injected faults.
    package let beforeWrite: StateWriteHook?

    package init(
        path: String, resumes: Bool, interval: Duration = CheckpointFolder.usualInterval,
        beforeWrite: StateWriteHook? = nil
    ) {
        self.path = path
        self.resumes = resumes
        self.interval = interval
        self.beforeWrite = beforeWrite
    }
}

/// Where a picture's results go.
package struct PictureResults: Sendable {
    package let output: OutputPlace
    package let saveLatents: OutputPlace?
    /// Folders for finished latents that find no other place: see ``PictureRun``.
    package let refuges: [String]

    package init(
        output: OutputPlace, saveLatents: OutputPlace? = nil, refuges: [String] = []
    ) {
        self.output = output
        self.saveLatents = saveLatents
        self.refuges = refuges
    }
}
