import ArgumentParser
import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import Foundation
import ImageOutput
import Tensors
import TextToImage

/// Makes one picture.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Make a picture.",
        discussion: """
            Computes in this process (--workers 0), in worker processes on this machine \
            (--workers N), on workers of other machines that connect to --listen, or on both. \
            The picture is the same to the byte, however many compute and whichever of them die.

            EXAMPLES
              tessera generate --prompt "a lake at dawn" --size 4x --output lake.png
              tessera generate --prompt "a lake at dawn" --size 4x --workers 2 --output lake.png
              tessera generate --prompt "a lake at dawn" --size 4096x4096 --model sdxl \\
                --listen tcp://10.0.0.1:5570 --insecure --join lake.join --output lake.png
              (elsewhere) tessera worker --join lake.join --model sdxl
            """
    )

    @OptionGroup(title: "Request") var options: RequestOptions
    @OptionGroup(title: "Computing") var compute: ComputeOptions
    @OptionGroup(title: "Workers") var cluster: ClusterOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Where the PNG goes; it appears there when it is whole.", valueName: "file")
    )
    var output: String

    @Option(
        help: ArgumentHelp(
            "Also write the final latents, as diffusers' output_type=\"latent\" gives them.",
            valueName: "file"
        )
    )
    var saveLatents: String?

    @OptionGroup(title: "Resuming") var state: StateOptions

    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    func validate() throws {
        if options.prompt == nil {
            throw ValidationError("--prompt is missing: say what the picture shows")
        }
    }

    mutating func run() async throws {
        let command = self
        do {
            try await withInterruption { try await command.generate() }
        } catch let interruption as Interrupted {
            throw command.state.failure(after: interruption)
        }
    }

    /// Everything that can be wrong is found before anything is computed.
    private func generate() async throws {
        let reporter = RunReporter(json: json)
        try cluster.checkAddress()
        try PNGStream.checkWritable(output)
        if let saveLatents { try PNGStream.checkWritable(saveLatents) }
        let model = try options.model.open()
        let latents = try options.readInitialLatents()
        let request = options.request(for: model, initialLatents: latents)
        let picture = try PicturePlan(request: request, model: model)
        let noise = try picture.initialNoise(from: latents)
        let weights = try model.fingerprint()
        reporter.planned(picture)

        let backend = try compute.backend(sharing: cluster.workers)
        let encoded = try PromptEncoder(model: model, backend: backend)
            .encode(prompt: request.prompt, negativePrompt: request.negativePrompt)
        for truncation in encoded.truncations { reporter.note("\(truncation)") }

        let generator = ImageGenerator(picture: picture, conditioning: encoded.conditioning)
        let provenance = Provenance(
            request: request, plan: picture.fingerprint, weights: weights,
            computeClass: "\(backend.computeClass)")
        let run = PictureRun(
            generator: generator, provenance: provenance, output: output, saveLatents: saveLatents,
            checkpoints: try state.open(for: provenance))
        let clock = ContinuousClock()
        let start = clock.now
        if cluster.isRemote {
            try await cluster.withWorkers(
                of: model,
                identity: ModelIdentity(weights: weights, computeClass: backend.computeClass),
                threads: backend.threads,
                memoryBudget: compute.memoryBudget,
                reporter: reporter
            ) { executor in
                try await run.perform(noise: noise, with: executor, reporter: reporter)
            }
        } else {
            let host = ModelHost(
                model: try LoadedModel(
                    folder: model, backend: backend, memoryBudget: compute.budget))
            try await run.perform(
                noise: noise, with: LocalExecutor(model: host), reporter: reporter)
        }
        reporter.finished(
            output: output, took: clock.now - start, weights: weights.description)
    }
}

/// One picture on its way from noise to its file.
struct PictureRun: Sendable {
    let generator: ImageGenerator
    let provenance: Provenance
    let output: String
    let saveLatents: String?
    let checkpoints: CheckpointFolder?

    /// Denoises, from the last checkpoint if there is one, and decodes.
    func perform(
        noise: Latent,
        with executor: some TaskExecutor,
        reporter: RunReporter
    ) async throws {
        var state = generator.initialState(noise: noise)
        if let saved = try checkpoints?.latest() {
            reporter.note("resuming after step \(saved.nextStep)")
            state = saved
        }
        let latent = try await generator.denoise(
            from: state, with: executor, onProgress: { reporter.progress($0) },
            onStep: { try checkpoints?.save($0) })
        if let saveLatents { try LatentFile.write(latent, to: saveLatents) }
        let request = provenance.request
        let stream = try PNGStream(
            path: output, width: request.width, height: request.height,
            texts: provenance.texts)
        try await generator.decode(
            latent, with: executor, into: stream, onProgress: { reporter.progress($0) })
        checkpoints?.finish()
    }
}
