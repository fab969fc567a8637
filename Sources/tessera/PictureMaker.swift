import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import FaultInjection
import JobService
import Tensors
import TextToImage

/// Makes the pictures of a coordinator that stays up.
struct PictureMaker: JobMaker {
    let model: ModelFolder
    let weights: Fingerprint
    let backend: CPUBackend
    let coordinator: Coordinator
    let reporter: RunReporter
    let drill: FaultDrill?
    /// The coordinator's own folder.
    let stateDir: String

    func admit(_ order: JobOrder) throws -> (request: GenerationRequest, weights: String) {
        if let meant = order.weights, meant != weights.description {
            throw CommandFailure(
                .badData,
                "the request is for a model with weights \(meant), this coordinator has "
                    + "\(weights); leave --model out, or ask another coordinator")
        }
        guard let size = PictureSize(order.size) else {
            throw CommandFailure(
                .usage, "the size should be like 4096x2048 or 4x, got '\(order.size)'")
        }
        let image = try order.image.map { try PictureFile(reading: $0) }
        let extent = try size.resolved(nativeSide: model.nativeSide, image: image?.extent)
        var request = order.request
        (request.width, request.height) = extent
        request.start(from: image)
        let latents = try order.initialLatents.map(LatentFile.read)
        request.initialLatents = latents?.digestText
        _ = try PictureSetup(
            request: request, initialLatents: latents, image: image, model: model)
        let results = [
            NamedFile("--output", order.output), NamedFile("--save-latents", order.saveLatents),
        ]
        try NamedFile.checkApart(results + [NamedFile("--image", order.image)])
        try NamedFile.check(results, outside: stateDir)
        try AtomicFile.check(order.output, named: "--output")
        if let path = order.saveLatents { try AtomicFile.check(path, named: "--save-latents") }
        return (request, weights.description)
    }

    func perform(
        _ job: JobRecord, folder: String,
        onProgress: @escaping @Sendable (GenerationProgress) -> Void
    ) async throws {
        let latents = try job.order.initialLatents.map(LatentFile.read)
        guard latents?.digestText == job.request.initialLatents else {
            throw CommandFailure(
                .badData,
                "\(job.order.initialLatents ?? "") is another noise than when the job was "
                    + "submitted; submit it again under another id")
        }
        let image = try job.order.image.map { try PictureFile(reading: $0, or: job.request) }
        guard job.request.startsFrom(image) else {
            throw CommandFailure(
                .badData,
                "\(job.order.image ?? "") shows another picture than when the job was submitted; "
                    + "submit it again under another id")
        }
        let setup = try PictureSetup(
            request: job.request, initialLatents: latents, image: image, model: model)
        reporter.planned(setup.picture)
        onProgress(.step(done: 0, of: setup.picture.plan.stepCount))
        let provenance = setup.provenance(weights: weights, backend: backend)
        let checkpoints = try CheckpointFolder(
            path: folder, job: provenance, latentWeights: setup.latentWeights(of: model),
            resume: true,
            beforeWrite: drill?.beforeWrite,
            onEvent: { reporter.state($0) })
        // Whoever takes the job over, its lock lost with a machine, ends this process's writing.
        _ = try checkpoints.beginLife()
        let prepared = try setup.prepared(with: model, backend: backend)
        for note in prepared.notes { reporter.note(note) }
        let run = PictureRun(
            generator: prepared.generator, provenance: provenance,
            output: .file(job.order.output), saveLatents: job.order.saveLatents.map { .file($0) },
            state: checkpoints)
        let known = try await prepared.knownAnswers(of: model, backend: backend)
        do {
            try await run.perform(
                noise: setup.noise, with: coordinator.executor(known: known),
                onEvent: { event in
                    // A job that begins is nothing that goes on.
                    if event != .resumed(afterStep: 0, tasks: 0) {
                        reporter.run(event, drill?.injector)
                    }
                    if case .progress(let progress) = event { onProgress(progress) }
                })
        } catch let failure as PictureRunFailure {
            guard case .folder = failure.latents else { throw failure }
            throw CommandFailure(
                failure.isUnwritable ? .resumable : ExitStatus(of: failure.cause) ?? .bug,
                failure.sentence(goingOn: "submit the very job again with --id \(job.id)"))
        }
    }

    func exitCode(of error: any Error) -> Int? {
        switch error {
        case JobFailure.shutdown, CheckpointError.superseded, is CancellationError: nil
        default: Int((ExitStatus(of: error) ?? .bug).rawValue)
        }
    }
}
