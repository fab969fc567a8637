import ArgumentParser
import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import Tensors
import TextToImage

/// Makes a picture of latents that were kept.
struct DecodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Make the picture of latents that were kept.",
        discussion: """
            Takes the latents that generate --save-latents wrote, or that were put beside the place \
            of a picture which could not be written, and decodes them in tiles, as generate does: \
            in this process, in workers, or both. Nothing is denoised again. Another --model with an \
            autoencoder of the same family gives another rendering of the same picture.

            The file says nothing of the picture's request: name its --size where that is no multiple \
            of the model's cells, and --panorama where it was one.

            EXAMPLES
              tessera decode --latents lake.latents.safetensors --output lake.png
              tessera decode --latents big.latents.safetensors --model sdxl --workers 2 \\
                --output big.png
            """
    )

    @Option(
        help: ArgumentHelp(
            "The latents: a safetensors file of one tensor, latents, as diffusers writes it.",
            valueName: "file"))
    var latents: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Where the PNG goes; as generate's --output.", valueName: "file"))
    var output: String

    @Option(
        help: ArgumentHelp(
            "Pixels of the picture as WxH. All that the latents show if left out.",
            valueName: "size"),
        transform: PictureSize.argument)
    var size: PictureSize?

    @Flag(help: "The picture's left and right sides join.")
    var panorama = false

    @OptionGroup var model: ModelOptions
    @OptionGroup(title: "Computing") var compute: ComputeOptions
    @OptionGroup(title: "Workers") var cluster: ClusterOptions

    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    mutating func run() async throws {
        let command = self
        try await withInterruption { try await command.decode() }
    }

    /// Everything that can be wrong is found before anything is computed.
    private func decode() async throws {
        let reporter = RunReporter(json: json)
        try NamedFile.checkApart([
            NamedFile("--output", output), NamedFile("--latents", latents),
            NamedFile("--key", cluster.security.key),
            NamedFile("--join", cluster.listen == nil ? nil : cluster.join),
            NamedFile("--event-log", cluster.eventLog),
        ])
        try await cluster.checkAddress(stateDir: nil)
        try await cluster.checkFiles()
        let place = try await OutputPlace.ofPicture(output, json: json)
        let folder = try model.open()
        let backend = try compute.backend(sharing: cluster.workers)
        let kept = try KeptLatents(
            reading: latents, extent: try extent, isRing: panorama, model: folder, backend: backend)
        let weights = try folder.fingerprint()

        let clock = ContinuousClock()
        let start = clock.now
        if cluster.isRemote {
            try await decodeOnWorkers(kept, of: folder, weights, backend, to: place, reporter)
        } else {
            try compute.budget.checkRoom(for: folder)
            let loaded = try LoadedModel(
                folder: folder, backend: backend, memoryBudget: compute.budget)
            try await kept.decode(
                with: LocalExecutor(model: ModelHost(model: loaded)), to: place,
                onProgress: { reporter.progress($0) })
        }
        reporter.finished(
            output: place.isStandardOutput ? nil : output, took: clock.now - start,
            weights: weights.description)
    }

    private func decodeOnWorkers(
        _ kept: KeptLatents, of folder: ModelFolder, _ weights: Fingerprint, _ backend: CPUBackend,
        to place: OutputPlace, _ reporter: RunReporter
    ) async throws {
        // Before any worker is started or heard.
        let known = try await kept.trialAnswers(on: backend).map {
            KnownAnswer(item: $0.item, answer: $0.answer)
        }
        try await cluster.withWorkers(
            of: folder,
            identity: ModelIdentity(weights: weights, computeClass: backend.computeClass),
            life: CoordinatorLife(realm: .random(), epoch: Epoch(1)),
            threads: backend.threads,
            memoryBudget: compute.memoryBudget,
            stateDir: nil,
            reporter: reporter,
            drill: nil,
            workerFaults: { _ in [] }
        ) { coordinator in
            try await kept.decode(
                with: coordinator.executor(known: known), to: place,
                onProgress: { reporter.progress($0) })
        }
    }

    private var extent: Extent? {
        get throws {
            switch size {
            case nil: return nil
            case .pixels(let width, let height): return Extent(height: height, width: width)
            case .times:
                throw CommandFailure(
                    .usage,
                    "--size should be pixels here, such as 4096x2048: the latents say the rest")
            }
        }
    }
}
