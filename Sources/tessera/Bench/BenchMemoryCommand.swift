import ArgumentParser
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import ImageOutput
import Sampling
import Tensors
import TextToImage

/// Measures what a coordinator holds for a picture of any size.
struct BenchMemoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory",
        abstract: "Measure the memory that a picture takes beside its networks, of any size.",
        discussion: """
            Goes through a whole picture as a coordinator does, from noise to a PNG that is thrown \
            away: views are cut out and merged, canvases enlarged, tiles joined and written. Only \
            the networks are left out; whatever they are asked is answered at once by numbers of \
            the right shape. So the largest picture takes minutes, and no worker.

            The report says the peak beyond what the program took before, and what of it the \
            latent of the picture is.

            EXAMPLES
              tessera bench memory --size 16384x16384
              tessera bench memory --model sdxl --size 65536x65536 --steps 25 --json
            """
    )

    @Option(
        help: ArgumentHelp(
            "Pixels as WxH, or Nx for a square of N times the model's native side.",
            valueName: "size"),
        transform: PictureSize.argument
    )
    var size: PictureSize = .times(8)

    @Option(
        help: ArgumentHelp(
            "The method: \(DenoisingMethods.all.map(\.name).formatted()).")
    )
    var method = DenoisingMethods.recommended

    @Option(help: "Denoising steps.")
    var steps = 25

    @OptionGroup var model: ModelOptions

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    mutating func run() async throws {
        let command = self
        try await withInterruption { try await command.measure() }
    }

    private func measure() async throws {
        let backend = try CPUBackend(instructionSet: InstructionSet.chosen(), threads: 1)
        let folder = try model.open()
        let extent = try size.resolved(nativeSide: folder.nativeSide)
        let picture = try PicturePlan(
            request: GenerationRequest(
                prompt: "", width: extent.width, height: extent.height, steps: steps,
                guidanceScale: 1, seed: 0, method: method),
            model: folder)
        let empty = PromptEmbedding(
            hiddenStates: Tensor(shape: Shape(1, 1), elements: [0]), pooled: nil)
        let generator = ImageGenerator(
            picture: picture, conditionings: [Conditioning(prompt: empty, negative: empty)])
        let before = ProcessFacts.peakMemoryBytes
        let seconds = try await run(
            generator,
            with: AnswerlessExecutor(
                scale: folder.vae.scaleFactor, channels: picture.plan.request.model.channels))
        let latent = picture.plan.latent
        let report = MemoryReport(
            version: tesseraVersion, machine: BenchMachine(backend), model: BenchModel(folder),
            method: method, width: extent.width, height: extent.height, steps: steps,
            views: picture.plan.forwardCount, tiles: picture.tiles.count,
            latentBytes: 4 * picture.plan.request.model.channels * latent.area,
            bytesBefore: before, peakBytes: ProcessFacts.peakMemoryBytes, seconds: seconds)
        try report.print(json: json)
    }

    private func run(
        _ generator: ImageGenerator, with executor: AnswerlessExecutor
    ) async throws -> Double {
        let reporter = RunReporter(json: false)
        let start = ContinuousClock.now
        let picture = generator.picture
        let latent = try await generator.denoise(
            from: generator.initialState(noise: try picture.initialNoise(from: nil)),
            with: executor, onProgress: { reporter.progress($0) })
        let stream = try PNGStream(
            to: try await OutputPlace.named("/dev/null", by: "--output"),
            width: picture.request.width, height: picture.request.height, texts: [])
        defer { stream.abandon() }
        try await generator.decode(
            latent, with: executor, into: stream, onProgress: { reporter.progress($0) })
        return (ContinuousClock.now - start) / .seconds(1)
    }
}

/// Answers of the right shape, as many under way at a time as a coordinator of two workers has, and
/// the last asked first.
private struct AnswerlessExecutor: TaskExecutor {
    /// Pixels a side of a latent's cell.
    let scale: Int
    /// Of the latent.
    let channels: Int

    func execute(
        _ items: WorkList, conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        guard items.count > 0 else { return }
        let underWay = items[0].countUnderWay(workers: 2)
        for start in stride(from: 0, to: items.count, by: underWay) {
            try Task.checkCancellation()
            let positions = start..<min(start + underWay, items.count)
            let answers = positions.map { answer(to: items[$0]) }
            for (position, answer) in zip(positions, answers).reversed() {
                try await deliver(position, answer)
            }
        }
    }

    private func answer(to item: WorkItem) -> WorkAnswer {
        switch item {
        case .denoise(let task):
            // Not the sample itself, which would share its memory.
            .denoise(task.views.map { $0.sample.mapValues { $0 / 2 } })
        case .decode(let task): decoded(task)
        case .encode(let task):
            .encode(
                Latent(
                    zeros: channels, height: task.pixels.height / scale,
                    width: task.pixels.width / scale))
        }
    }

    private func decoded(_ task: DecodeTask) -> WorkAnswer {
        let (height, width) = (task.tile.height * scale, task.tile.width * scale)
        return switch task.format {
        case .bytes:
            .decode(
                RGBTile(
                    height: height, width: width,
                    bytes: Array(repeating: 128, count: 3 * height * width)))
        case .floats:
            .pixels(
                RGBImage(
                    height: height, width: width,
                    values: Array(repeating: 0.5, count: 3 * height * width)))
        }
    }
}

/// What `bench memory` prints.
private struct MemoryReport: BenchReport {
    let benchmark = "memory"
    let version: String
    let machine: BenchMachine
    let model: BenchModel
    let method: String
    let width: Int
    let height: Int
    let steps: Int
    let views: Int
    let tiles: Int
    /// Of the picture's latent, in 32-bit floats.
    let latentBytes: Int
    /// The program's peak before the picture was begun.
    let bytesBefore: Int
    let peakBytes: Int
    let seconds: Double

    /// What the picture took, in latents.
    private var latents: Double { Double(peakBytes - bytesBefore) / Double(latentBytes) }

    var text: String {
        factsText(
            machine.lines + [
                ("model", "\(model.path), native side \(model.nativeSide)"),
                ("picture", "\(width)×\(height), \(method), \(steps) steps"),
                ("work", "\(views) views, \(tiles) tiles, none of them computed"),
                ("latent", "\(latentBytes >> 20) MiB"),
                (
                    "peak",
                    "\(peakBytes >> 20) MiB, \(bytesBefore >> 20) of them before; what came with "
                        + "the picture is \(String(format: "%.2f", latents)) times its latent"
                ),
                ("time", secondsText(seconds)),
            ])
    }
}
