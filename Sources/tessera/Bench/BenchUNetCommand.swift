import ArgumentParser
import ComputeBackends
import DiffusionModels

/// Times the network that says what noise is in a view.
struct BenchUNetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unet",
        abstract: "Time one evaluation of the denoising network.",
        discussion: """
            One forward of --batch items, each with a text of its own. What the texts need once \
            per picture is done before, and reported as texts_seconds.

            --save writes sample (N, channels, height, width), timestep (1), hidden_states \
            (N, tokens, width), pooled (N, width) where the model has it, time_ids (N, 6) and \
            output (N, channels, height, width), so that another program can be given the same \
            and be compared.
            """
    )

    @OptionGroup var model: ModelOptions

    @Option(help: "Items in one evaluation.")
    var batch = 1

    @OptionGroup var input: LatentOptions
    @OptionGroup var output: SaveOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var bench: BenchOptions

    func validate() throws {
        if !(1...1024).contains(batch) {
            throw ValidationError("--batch should be from 1 to 1024, got \(batch)")
        }
    }

    func run() throws {
        try output.check()
        let backend = try compute.backend()
        let ((folder, unet, preparation), loadSeconds) = try timed {
            let folder = try model.open()
            var budget = compute.budget
            let preparation = budget.preparation(for: folder.unet.parameters)
            let unet = try UNet(
                configuration: folder.unet, weights: folder.unetWeights, backend: backend,
                preparation: preparation)
            return (folder, unet, preparation)
        }
        let size = input.size(for: folder)
        try checkMemory(
            unet.workingBytes(positions: batch * size.width * size.height),
            for: "\(batch) × \(size.width)×\(size.height) latent pixels")
        let inputs = UNetInputs(folder: folder, batch: batch, size: size)
        let (texts, textsSeconds) = timed { inputs.texts(of: unet, on: backend) }
        let workload = try UNetWorkload(
            unet: unet, inputs: inputs, texts: texts, backend: backend)
        let facts = WorkloadFacts(
            benchmark: "unet", model: BenchModel(folder), backend: backend,
            preparation: preparation, batch: batch,
            latent: .init(
                channels: folder.unet.inChannels, height: size.height, width: size.width),
            loadSeconds: loadSeconds, textsSeconds: textsSeconds,
            arenaBytes: workload.forward.plan.arenaBytes)
        try ForwardBench(workload: workload, facts: facts, options: bench, output: output).run()
    }
}

/// Refuses what would not fit into this machine.
func checkMemory(_ bytes: Double, for what: String) throws(CommandFailure) {
    let limit = ProcessFacts.machineMemoryBytes
    guard bytes > limit else { return }
    throw CommandFailure(
        .usage,
        "\(what) need about \(Int(bytes / 0x1p30)) GiB of memory, this machine has "
            + "\(Int(limit / 0x1p30)) GiB; ask for less with --latent-size or --batch")
}
