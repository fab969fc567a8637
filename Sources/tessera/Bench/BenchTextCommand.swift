import ArgumentParser
import ComputeBackends
import Denoising
import DiffusionModels
import Tensors

/// Times the text encoders.
struct BenchTextCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "text",
        abstract: "Time the encoding of a prompt, by all of the model's text encoders.",
        discussion: """
            The batch in the report is 2 where a negative prompt is encoded as well, as models \
            that do not use zeros for none always do.

            --save writes tokens (1, count), tokens_2 where there is a second encoder, output \
            (1, count, width), the prompt's hidden states as the denoising network wants them, \
            and pooled (1, width) where the model has it.
            """
    )

    /// What pictures of examples show.
    static let examplePrompt = "a mountain range at sunset above a lake"

    @Option(help: "The prompt.")
    var prompt = examplePrompt

    @Option(
        help: """
            A negative prompt to encode beside it. Left out, models that say so use zeros instead \
            of an encoded empty text.
            """
    )
    var negativePrompt: String?

    @OptionGroup var model: ModelOptions
    @OptionGroup var output: SaveOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var bench: BenchOptions

    func run() throws {
        try output.check()
        let backend = try compute.backend()
        let watcher = ProfilingBackend(backend)
        let ((folder, encoder), loadSeconds) = try timed {
            let folder = try model.open()
            return (folder, try PromptEncoder(model: folder, backend: watcher))
        }
        let encodesNegative = negativePrompt != nil || !folder.forcesZerosForEmptyPrompt
        let facts = WorkloadFacts(
            benchmark: "text", model: BenchModel(folder), backend: backend,
            preparation: .onTheWay, batch: encodesNegative ? 2 : 1, latent: nil,
            loadSeconds: loadSeconds, textsSeconds: nil, arenaBytes: nil)
        let workload = TextWorkload(
            folder: folder, encoder: encoder, prompt: prompt, negativePrompt: negativePrompt,
            watcher: watcher)
        try ForwardBench(workload: workload, facts: facts, options: bench, output: output).run()
    }
}

/// One prompt to its conditioning.
struct TextWorkload: Workload {
    let folder: ModelFolder
    let encoder: PromptEncoder
    let prompt: String
    let negativePrompt: String?
    /// What the encoder runs on, watched or not.
    let watcher: ProfilingBackend

    func run() { _ = encode() }

    func watchedRun() { run() }

    private func encode() -> PromptEncoder.Result {
        encoder.encode(prompt: prompt, negativePrompt: negativePrompt)
    }

    func runKeeping() throws -> [NamedTensor] {
        let answer = encode().conditioning.prompt
        var tensors: [NamedTensor] = []
        for (index, files) in folder.textEncoders.enumerated() {
            let ids = try BPETokenizer(folder: files.tokenizerFolder)
                .tokenize(prompt, length: files.configuration.positions).ids
            tensors.append(
                (
                    index == 0 ? "tokens" : "tokens_\(index + 1)",
                    Tensor(shape: Shape(1, ids.count), elements: ids.map { Float($0) })
                ))
        }
        tensors.append(("output", Self.alone(answer.hiddenStates)))
        if let pooled = answer.pooled { tensors.append(("pooled", Self.alone(pooled))) }
        return tensors
    }

    /// As the only item of a batch.
    private static func alone(_ tensor: Tensor) -> Tensor {
        Tensor(shape: Shape([1] + tensor.shape.extents), elements: tensor.elements)
    }
}
