import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import ImageOutput
import Synchronization
import Tensors
import TestSupport
import TextToImage

/// Answers at once, by a formula: predictions are half the sample, and tiles have pixels that say
/// where they are. Counts what it is asked.
final class ToyExecutor: TaskExecutor {
    private let isReversed: Bool
    private let onAnswer: @Sendable (WorkItem) async throws -> Void
    private let asked = Mutex<[WorkItem]>([])

    /// Delivers the answers of a batch in reverse order when `isReversed`; `onAnswer` runs before
    /// each.
    init(
        isReversed: Bool = false,
        onAnswer: @escaping @Sendable (WorkItem) async throws -> Void = { _ in }
    ) {
        self.isReversed = isReversed
        self.onAnswer = onAnswer
    }

    /// The tiles it was asked to decode, in order.
    var decoded: [Int] {
        asked.withLock { items in
            items.compactMap { item in
                if case .decode(let task) = item { task.index } else { nil }
            }
        }
    }

    /// The denoising tasks it was asked, in order.
    var denoised: [DenoiseTask] {
        asked.withLock { items in
            items.compactMap { item in
                if case .denoise(let task) = item { task } else { nil }
            }
        }
    }

    /// The steps it was asked tasks of, each once.
    var steps: [Int] { Set(denoised.map(\.step)).sorted() }

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        let positions = Array(0..<items.count)
        for position in isReversed ? positions.reversed() : positions {
            let item = items[position]
            try await onAnswer(item)
            asked.withLock { $0.append(item) }
            try await deliver(position, Self.answer(item))
        }
    }

    private static func answer(_ item: WorkItem) -> WorkAnswer {
        switch item {
        case .denoise(let task):
            return .denoise(task.views.map { $0.sample.mapValues { $0 / 2 } })
        case .encode(let task): return .encode(ToyAutoencoder.latent(of: task.pixels))
        case .decode(let task) where task.format == .floats:
            return .pixels(ToyAutoencoder.picture(of: task.tile))
        case .decode(let task):
            let bytes = ToyAutoencoder.magnified(task.tile) {
                [UInt8](repeating: UInt8(max(0, min(255, 128 + 40 * $0))), count: 3 * 8)
            }
            return .decode(
                RGBTile(height: task.tile.height * 8, width: task.tile.width * 8, bytes: bytes))
        }
    }
}

/// Pixels that are their cell's first channel, and latents that are their cell's first pixel.
private enum ToyAutoencoder {
    static func picture(of tile: Latent) -> RGBImage {
        let values = magnified(tile) {
            [Float](repeating: min(max($0 / 8 + 0.5, 0), 1), count: 8)
        }
        return RGBImage(
            height: tile.height * 8, width: tile.width * 8, values: values + values + values)
    }

    /// The rows of a picture of eight by eight pixels a cell: `pixels` makes a cell's part of a row.
    /// Rows are copied, because a loop over pixels that is not optimised takes long.
    static func magnified<Element>(
        _ tile: Latent, _ pixels: (Float) -> [Element]
    ) -> [Element] {
        let cells = tile.values
        var rows: [Element] = []
        for y in 0..<tile.height {
            let row = (0..<tile.width).flatMap { pixels(cells[y * tile.width + $0]) }
            for _ in 0..<8 { rows += row }
        }
        return rows
    }

    static func latent(of pixels: RGBImage) -> Latent {
        let (height, width) = (pixels.height / 8, pixels.width / 8)
        let all = pixels.values
        let values = (0..<height * width).map { cell in
            8 * all[cell / width * 8 * pixels.width + cell % width * 8] - 4
        }
        return Latent(
            channels: 4, height: height, width: width, values: values + values + values + values)
    }
}

/// A small model and what is made with it, in a folder that goes away with it.
final class ToyStudio: Sendable {
    let folder = NSTemporaryDirectory() + "tessera-studio-\(UUID().uuidString)"
    let model: ModelFolder

    init() throws {
        try ModelSynthesizer(preset: .tiny).write(to: folder + "/model")
        model = try ModelFolder(path: folder + "/model")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String) -> String { folder + "/" + name }

    func generator(
        width: Int = 256, height: Int = 256, seed: UInt64 = 5, method: String = "cutdiffusion",
        guidanceScale: Double = 1
    ) throws -> ImageGenerator {
        let request = GenerationRequest(
            prompt: "hills", width: width, height: height, steps: 3, guidanceScale: guidanceScale,
            seed: seed, method: method)
        return try generator(of: try PicturePlan(request: request, model: model))
    }

    /// Of a picture that starts from a file.
    func generator(from file: PictureFile, width: Int, height: Int) throws -> ImageGenerator {
        var request = GenerationRequest(
            prompt: "hills", width: width, height: height, steps: 3, guidanceScale: 1, seed: 5,
            method: "upscale")
        request.start(from: file)
        return try generator(
            of: try PicturePlan(request: request, model: model), opening: file.opening)
    }

    func generator(
        of picture: PicturePlan, opening openPicture: OpenPicture? = nil
    ) throws -> ImageGenerator {
        let embedding = PromptEmbedding(
            hiddenStates: Tensor(zeros: Shape(77, 4)), pooled: Tensor(zeros: Shape(4)))
        return ImageGenerator(
            picture: picture,
            conditionings: Array(
                repeating: Conditioning(prompt: embedding, negative: embedding),
                count: picture.plan.promptCount),
            openPicture: openPicture)
    }

    /// A PNG that is another one in every pixel; gives its path.
    func photo(
        width: Int, height: Int, shift: Int = 0, text: String = "a comment"
    ) async throws -> String {
        let path = path("photo-\(width)-\(height)-\(shift)-\(text.count).png")
        let stream = try PNGStream(
            to: .file(path), width: width, height: height,
            texts: [PNGText(keyword: "Comment", text: text)])
        let bytes = (0..<3 * width * height).map { UInt8(($0 * 7 + $0 / 13 + shift) % 251) }
        try await stream.append(rows: bytes)
        try await stream.finish()
        return path
    }

    func job(_ generator: ImageGenerator, weights: UInt64 = 2) -> Provenance {
        Provenance(
            request: generator.picture.request, plan: generator.picture.fingerprint,
            weights: Fingerprint(value: weights), computeClass: "toy")
    }

    /// What a run left behind besides its picture.
    struct Report {
        var events: [PictureRunEvent] = []
        var stateEvents: [StateEvent] = []
        var failure: (any Error)?
    }

    /// Runs as one process does, to the end or to its failure.
    func run(
        _ generator: ImageGenerator,
        to output: String,
        state: String? = nil,
        resume: Bool = false,
        keepingEvery interval: Duration = .seconds(3600),
        saveLatents: String? = nil,
        refuges: [String] = [],
        job: Provenance? = nil,
        latentWeights: Fingerprint? = nil,
        autoencoderPhase: Int? = nil,
        with executor: ToyExecutor = ToyExecutor(),
        beforeWrite: StateWriteHook? = nil,
        stateLog: EventLog<StateEvent> = EventLog(),
        onEvent: @Sendable (PictureRunEvent) -> Void = { _ in }
    ) async throws -> Report {
        let folder = try state.map {
            try CheckpointFolder(
                path: $0, job: job ?? self.job(generator), latentWeights: latentWeights,
                autoencoderPhase: autoencoderPhase,
                resume: resume, keepingEvery: interval, beforeWrite: beforeWrite,
                onEvent: { stateLog.add($0) })
        }
        if let folder { _ = try folder.beginLife() }
        let run = PictureRun(
            generator: generator, provenance: job ?? self.job(generator),
            output: .file(output), saveLatents: saveLatents.map { .file($0) }, state: folder,
            refuges: refuges)
        var report = Report()
        do {
            try await run.perform(
                noise: try generator.picture.initialNoise(from: nil), with: executor,
                onEvent: {
                    report.events.append($0)
                    onEvent($0)
                })
        } catch {
            report.failure = error
        }
        report.stateEvents = stateLog.all
        return report
    }
}

/// Events in the order of their coming, from any thread.
final class EventLog<Event: Sendable>: Sendable {
    private let events = Watched<[Event]>([])

    var all: [Event] { events.value }

    func add(_ event: Event) { events.change { $0.append(event) } }

    /// Returns when such an event has come. Throws `CancellationError`.
    func wait(for isIt: @escaping @Sendable (Event) -> Bool) async throws {
        try await events.wait { $0.contains(where: isIt) }
    }
}

/// The bytes of a file; empty when it is not there.
func bytes(of path: String) -> Data { FileManager.default.contents(atPath: path) ?? Data() }

func names(in folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

/// Every file of a folder with its bytes.
func snapshot(of folder: String) -> [String: Data] {
    Dictionary(uniqueKeysWithValues: names(in: folder).map { ($0, bytes(of: folder + "/" + $0)) })
}

/// Puts a folder in the state of a snapshot.
func restore(_ snapshot: [String: Data], to folder: String) throws {
    try? FileManager.default.removeItem(atPath: folder)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, bytes) in snapshot {
        try bytes.write(to: URL(fileURLWithPath: folder + "/" + name))
    }
}
