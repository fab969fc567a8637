import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import FaultInjection
import Foundation
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
        let inputs = try PictureInputs(initialLatents: order.initialLatents, image: order.image)
        let request = try order.request.resolved(
            size: size, with: inputs, nativeSide: model.nativeSide)
        _ = try PictureSetup(request: request, inputs: inputs, model: model)
        let results = [
            NamedFile("--output", order.output), NamedFile("--save-latents", order.saveLatents),
        ]
        let inputFiles = [
            NamedFile("--image", order.image), NamedFile("--initial-latents", order.initialLatents),
        ]
        try NamedFile.checkApart(results + inputFiles)
        try NamedFile.check(results, outside: stateDir)
        try AtomicFile.check(order.output, named: "--output")
        if let path = order.saveLatents { try AtomicFile.check(path, named: "--save-latents") }
        return (request, weights.description)
    }

    func perform(
        _ job: JobRecord, folder: String,
        onProgress: @escaping @Sendable (GenerationProgress) -> Void
    ) async throws {
        let setup = try PictureSetup(
            request: job.request, inputs: try inputs(of: job), model: model)
        reporter.planned(setup.picture)
        onProgress(.step(done: 0, of: setup.picture.plan.stepCount))
        let session = PictureSession(setup, weights: weights, backend: backend)
        // Whoever takes the job over, its lock lost with a machine, ends this process's writing.
        let (checkpoints, _) = try session.open(
            StatePlace(path: folder, resumes: true, beforeWrite: drill?.beforeWrite),
            onEvent: { reporter.state($0) })
        do {
            try await session.make(
                on: ClusterComputing { [coordinator] in try await $0(coordinator) },
                to: PictureResults(
                    output: .file(job.order.output),
                    saveLatents: job.order.saveLatents.map { .file($0) },
                    refuges: [NSTemporaryDirectory()]),
                keeping: checkpoints,
                onEvent: { event in
                    // A job that begins is nothing that goes on.
                    if event != .resumed(afterStep: 0, tasks: 0) {
                        reporter.run(event, drill?.injector)
                    }
                    if case .progress(let progress) = event { onProgress(progress) }
                })
        } catch let failure as PictureRunFailure {
            // The job is not over: the coordinator's next life, or another, goes on with it.
            guard exitCode(of: failure.cause) != nil else { throw failure.cause }
            let status = ExitStatus(of: failure.cause) ?? .bug
            switch failure.latents {
            case .folder:
                throw CommandFailure(
                    failure.isUnwritable ? .resumable : status,
                    failure.sentence(
                        // One id is one job, with its output.
                        goingOn: "submit the very job again with --id \(job.id)", movable: false))
            case .file: throw failure
            case .lost: throw CommandFailure(status, failure.loss)
            }
        }
    }

    /// The files of an order, which have to be what they were when it was submitted.
    private func inputs(of job: JobRecord) throws -> PictureInputs {
        let order = job.order
        let inputs = try PictureInputs(
            initialLatents: order.initialLatents, image: order.image, kept: job.request)
        guard inputs.hasNoise(of: job.request) else {
            throw CommandFailure(
                .badData,
                "\(order.initialLatents ?? "") is another noise than when the job was submitted; "
                    + "submit it again under another id")
        }
        guard inputs.hasImage(of: job.request) else {
            throw CommandFailure(
                .badData,
                "\(order.image ?? "") shows another picture than when the job was submitted; "
                    + "submit it again under another id")
        }
        return inputs
    }

    func exitCode(of error: any Error) -> Int? {
        switch error {
        case JobFailure.shutdown, CheckpointError.superseded, is CancellationError: nil
        default: Int((ExitStatus(of: error) ?? .bug).rawValue)
        }
    }
}
