import ArgumentParser
import ComputeBackends
import DiffusionModels
import Tensors

/// Times the network that paints.
struct BenchVAECommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vae",
        abstract: "Time the decoding of one latent tile to pixels.",
        discussion: """
            --save writes latent (1, channels, height, width), already divided by the scaling \
            factor, and output (1, 3, height, width) in pixels.
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var input: LatentOptions
    @OptionGroup var output: SaveOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var bench: BenchOptions

    func run() throws {
        try output.check()
        let backend = try compute.backend()
        let ((folder, decoder, preparation), loadSeconds) = try timed {
            let folder = try model.open()
            var budget = compute.budget
            let preparation = budget.preparation(for: folder.vae.decoderParameters)
            let decoder = try VAEDecoder(
                configuration: folder.vae, weights: folder.vaeWeights, backend: backend,
                preparation: preparation)
            return (folder, decoder, preparation)
        }
        let size = input.size(for: folder)
        try checkMemory(
            decoder.workingBytes(positions: size.width * size.height),
            for: "\(size.width)×\(size.height) latent pixels")
        let workload = try VAEWorkload(
            decoder: decoder, latent: latent(for: folder, size), backend: backend)
        let facts = WorkloadFacts(
            benchmark: "vae", model: BenchModel(folder), backend: backend,
            preparation: preparation, batch: 1,
            latent: .init(
                channels: folder.vae.latentChannels, height: size.height, width: size.width),
            loadSeconds: loadSeconds, textsSeconds: nil,
            arenaBytes: workload.forward.plan.arenaBytes)
        try ForwardBench(workload: workload, facts: facts, options: bench, output: output).run()
    }

    /// A made-up latent, divided by the scaling factor.
    private func latent(for folder: ModelFolder, _ size: LatentSize) -> Tensor {
        let noise = SyntheticInput.gaussians(
            Shape(1, folder.vae.latentChannels, size.height, size.width), seed: 1)
        let scale = Float(folder.vae.scalingFactor)
        return Tensor(shape: noise.shape, elements: noise.elements.map { $0 / scale })
    }
}

/// One latent tile to pixels.
struct VAEWorkload: Workload {
    /// Laid out ahead, as pictures are made.
    let forward: VAEDecoder.Forward
    let watcher: ProfilingBackend
    private let decoder: VAEDecoder
    private let backend: CPUBackend
    /// (1, channels, height, width), divided by the scaling factor.
    private let latent: Tensor
    /// (1, height, width, channels)
    private let tile: DeviceTensor

    /// Lays out a decoding of a latent (1, channels, height, width).
    init(decoder: VAEDecoder, latent: Tensor, backend: CPUBackend) throws {
        guard
            let forward = try VAEDecoder.Forward(
                decoder, items: 1, height: latent.shape[2], width: latent.shape[3], on: backend)
        else { preconditionFailure("this backend lays out forwards") }
        self.decoder = decoder
        self.latent = latent
        self.backend = backend
        self.forward = forward
        watcher = ProfilingBackend(backend)
        tile = backend.channelsLast(DeviceTensor(latent))
    }

    func run() { decode { _ in } }

    func runKeeping() -> [NamedTensor] {
        let output = decode { pixels in
            let planes = backend.channelsFirst(pixels)
            return Tensor(shape: planes.shape, elements: planes.elements)
        }
        return [("latent", latent), ("output", output)]
    }

    private func decode<Answer: Sendable>(_ read: (DeviceTensor) -> Answer) -> Answer {
        forward.decode(
            latents: { _ = $0.update(fromContentsOf: latent.elements) }, read: read)
    }

    func watchedRun() { _ = decoder.decode(tile, on: watcher) }

    func operations() -> [OperationRecord] {
        backend.recordedOperations { recorder, counter in
            _ = decoder.decode(recorder.input(tile.shape), on: counter)
        }
    }
}
