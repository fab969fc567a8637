import ArgumentParser
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import ImageOutput
import Tensors
import TextToImage

/// Times whole pictures, method against method.
struct BenchEndToEndCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end-to-end",
        abstract: "Time whole pictures, by every method, in this process.",
        discussion: """
            Makes the same picture by each method, from noise to a PNG that is thrown away. A \
            forward is one item through the denoising network: two for every view where guidance \
            is on. Direct inference has the fewest and the largest.
            """
    )

    @Option(
        help: ArgumentHelp(
            "Pixels as WxH, or Nx for a square of N times the model's native side.",
            valueName: "size"),
        transform: PictureSize.argument
    )
    var size: PictureSize = .times(2)

    @Option(
        help: ArgumentHelp(
            "A method; may be given several times. All of them if left out: "
                + "\(DenoisingMethods.all.map(\.name).formatted()).")
    )
    var method: [String] = []

    @Option(help: "Denoising steps.")
    var steps = 25

    @Option(help: "Classifier-free guidance; 1 and less turns it off and halves the work.")
    var guidanceScale = 3.0

    @Option(
        help: ArgumentHelp(
            "Seed of the noise; random, or -1, draws one. (default: 0)", valueName: "number|random"),
        transform: { text throws in try SeedOption(text) }
    )
    var seed: SeedOption = .number(0)

    @Option(help: "What the picture shows.")
    var prompt = BenchTextCommand.examplePrompt

    @Option(help: "How many pictures by each method, in turns.")
    var runs = 1

    @OptionGroup var model: ModelOptions
    @OptionGroup var compute: ComputeOptions

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func validate() throws { try BenchOptions.check(runs: runs) }

    mutating func run() async throws {
        let command = self
        try await withInterruption { try await command.measure() }
    }

    /// Everything that can be wrong is found before anything is computed.
    private func measure() async throws {
        let backend = try compute.backend()
        let (folder, opening) = try timed { try model.open() }
        let reporter = RunReporter(json: false)
        let seed = seed.settled()
        if self.seed == .random { reporter.seed(seed) }
        let pictures = try methods.map { try picture(by: $0, of: folder, seed: seed) }
        let (parts, loading) = try timed {
            (
                try LoadedModel(
                    folder: folder, backend: backend, memoryBudget: compute.budget),
                try PromptEncoder(model: folder, backend: backend)
            )
        }
        let conditioning = parts.1.encode(prompt: prompt).conditioning
        let executor = LocalExecutor(model: ModelHost(model: parts.0))
        var seconds: [[PictureSeconds]] = pictures.map { _ in [] }
        for _ in 0..<runs {
            for (index, picture) in pictures.enumerated() {
                reporter.note(picture.request.method)
                seconds[index].append(
                    try await time(
                        ImageGenerator(picture: picture, conditionings: [conditioning]),
                        with: executor, reporter: reporter))
            }
        }
        let report = EndToEndReport(
            version: tesseraVersion, machine: BenchMachine(backend), model: BenchModel(folder),
            threads: backend.threads, width: pictures[0].request.width,
            height: pictures[0].request.height, steps: steps, guidanceScale: guidanceScale,
            loadSeconds: opening + loading, peakMemoryBytes: ProcessFacts.peakMemoryBytes,
            methods: zip(pictures, seconds).map { MethodReport($0, $1) })
        try report.print(json: json)
    }

    private var methods: [String] {
        method.isEmpty ? DenoisingMethods.all.map(\.name) : method
    }

    private func picture(
        by method: String, of folder: ModelFolder, seed: UInt64
    ) throws -> PicturePlan {
        let extent = try size.resolved(nativeSide: folder.nativeSide)
        let request = GenerationRequest(
            prompt: prompt, width: extent.width, height: extent.height, steps: steps,
            guidanceScale: guidanceScale, seed: seed, method: method)
        return try PicturePlan(request: request, model: folder)
    }

    /// Makes one picture as `generate --workers 0` does.
    private func time(
        _ generator: ImageGenerator, with executor: LocalExecutor, reporter: RunReporter
    ) async throws -> PictureSeconds {
        let request = generator.picture.request
        let path = NSTemporaryDirectory() + "tessera-bench-\(UUID().uuidString).png"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let clock = ContinuousClock()
        let start = clock.now
        let noise = try generator.picture.initialNoise(from: nil)
        let latent = try await generator.denoise(
            from: generator.initialState(noise: noise), with: executor,
            onProgress: { reporter.progress($0) })
        let denoised = clock.now
        let stream = try PNGStream(
            to: .file(path), width: request.width, height: request.height, texts: [])
        try await generator.decode(
            latent, with: executor, into: stream, onProgress: { reporter.progress($0) })
        return PictureSeconds(
            denoising: (denoised - start) / .seconds(1),
            decoding: (clock.now - denoised) / .seconds(1))
    }
}

/// What one picture took.
struct PictureSeconds {
    /// From the noise to the finished latent.
    let denoising: Double
    /// From there to the finished file.
    let decoding: Double
}

/// What pictures by one method took.
struct MethodReport: Encodable {
    let method: String
    /// Over all steps.
    let views: Int
    /// Items through the denoising network: views, and their unconditional twins.
    let forwards: Int
    /// Of the widest view, in latent pixels.
    let viewWidth: Int
    let viewHeight: Int
    /// Tiles through the decoder.
    let tiles: Int
    let medianSeconds: Double
    let minSeconds: Double
    let maxSeconds: Double
    /// Medians of the two parts.
    let denoiseSeconds: Double
    let decodeSeconds: Double

    /// From at least one picture.
    init(_ picture: PicturePlan, _ seconds: [PictureSeconds]) {
        let plan = picture.plan
        let timing = Timing(seconds.map { $0.denoising + $0.decoding })
        let widest = plan.groups.map(\.viewExtent).max { $0.area < $1.area }
        method = picture.request.method
        views = plan.forwardCount
        forwards = plan.stages.reduce(0) { sum, stage in
            stage.groups.reduce(sum) { sum, group in
                sum + stage.steps.count * group.viewCount * (group.isGuided ? 2 : 1)
            }
        }
        viewWidth = widest?.width ?? 0
        viewHeight = widest?.height ?? 0
        tiles = picture.tiles.count
        medianSeconds = timing.medianSeconds
        minSeconds = timing.minSeconds
        maxSeconds = timing.maxSeconds
        denoiseSeconds = Timing(seconds.map(\.denoising)).medianSeconds
        decodeSeconds = Timing(seconds.map(\.decoding)).medianSeconds
    }
}

/// What `bench end-to-end` prints.
struct EndToEndReport: BenchReport {
    var benchmark = "end-to-end"
    let version: String
    let machine: BenchMachine
    let model: BenchModel
    let threads: Int
    let width: Int
    let height: Int
    let steps: Int
    let guidanceScale: Double
    let loadSeconds: Double
    let peakMemoryBytes: Int
    let methods: [MethodReport]

    var text: String {
        let facts =
            [("tessera", "\(version), bench \(benchmark)")] + machine.lines + [
                ("model", "\(model.path), \(model.family), native \(model.nativeSide) px"),
                (
                    "picture",
                    "\(width)×\(height), \(steps) steps, guidance \(guidanceScale)"
                ),
                ("threads", "\(threads)"),
                ("memory", "\(peakMemoryBytes >> 20) MiB at most"),
            ]
        var table = TextTable(
            columns: [
                "seconds", "denoising", "decoding", "forwards", "tiles", "view", "method",
            ], wordColumns: 1)
        for method in methods {
            table.add([
                secondsText(method.medianSeconds), secondsText(method.denoiseSeconds),
                secondsText(method.decodeSeconds), "\(method.forwards)", "\(method.tiles)",
                "\(method.viewWidth)×\(method.viewHeight)", method.method,
            ])
        }
        return factsText(facts) + "\n\n" + table.text
    }
}
