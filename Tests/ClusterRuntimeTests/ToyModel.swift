import ClusterCore
import ClusterRuntime
import Denoising
import Logging
import Locking
import Tensors
import TestSupport

/// A model that costs nothing and whose answers depend on everything in the question.
final class ToyModel: ComputeModel {
    enum Behaviour: Sendable {
        case sound
        /// Answers with a value that is not finite; says so of pixels, which have none.
        case notANumber
        /// Answers with plausible wrong values, from the given answer on.
        case lying(from: Int)
        /// Throws an error that may not happen elsewhere.
        case failing
        /// Throws ``ComputeError/unsuitable(_:)``.
        case unsuitable
        /// Holds each computation until the gate opens.
        case held(Gate)
    }

    let behaviour: Behaviour
    private let prepared = Lock<Set<Fingerprint>>([])
    private let answered = Lock(0)

    init(_ behaviour: Behaviour = .sound) { self.behaviour = behaviour }

    var answerCount: Int { answered.withLock { $0 } }

    func prepare(_ conditioning: Conditioning) async throws {
        prepared.withLock { _ = $0.insert(conditioning.fingerprint) }
    }

    /// Lets the model forget, as a real one does that needs room.
    func forgetAll() { prepared.withLock { $0.removeAll() } }

    func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer {
        guard prepared.withLock({ $0.contains(conditioning) }) else {
            throw ComputeError.unknownConditioning(conditioning)
        }
        switch behaviour {
        case .failing: throw ToyFailure()
        case .unsuitable: throw ComputeError.unsuitable("the toy takes no such item")
        case .held(let gate): try await gate.pass()
        case .sound, .notANumber, .lying: break
        }
        let number = answered.withLock { count in
            count += 1
            return count
        }
        switch item {
        case .denoise(let task):
            var predictions = task.views.map { predict($0, task, conditioning) }
            if case .lying(let from) = behaviour, number >= from {
                predictions[0].values[0] += 0.001
            }
            return .denoise(predictions)
        case .decode(let task):
            if case .notANumber = behaviour {
                throw ComputeError.notFinite(index: task.index, "the toy's tile is not finite")
            }
            let tile = task.tile
            guard task.format == .bytes else {
                return .pixels(
                    RGBImage(
                        height: tile.height * 2, width: tile.width * 2,
                        values: (0..<tile.plane * 12).map {
                            tile.values[$0 % tile.values.count] / 2
                        }))
            }
            let bytes = (0..<tile.plane * 4 * 3).map {
                UInt8(truncatingIfNeeded: Int(tile.values[$0 % tile.values.count] * 100) &+ $0)
            }
            return .decode(RGBTile(height: tile.height * 2, width: tile.width * 2, bytes: bytes))
        case .encode(let task):
            let pixels = task.pixels
            return .encode(
                Latent(
                    channels: 4, height: pixels.height / 2, width: pixels.width / 2,
                    values: (0..<pixels.height * pixels.width).map { pixels.values[$0] * 3 }))
        }
    }

    private func predict(
        _ view: ViewInput,
        _ task: DenoiseTask,
        _ conditioning: Fingerprint
    ) -> Latent {
        let bias = Float(conditioning.value % 1000) / 1000 + Float(view.microConditioning.cropTop)
        var result = view.sample.mapValues {
            $0 * Float(task.guidanceScale) + Float(task.timestep) / 1000 + bias
        }
        if case .notANumber = behaviour { result.values[0] = .nan }
        return result
    }
}

struct ToyFailure: Error, CustomStringConvertible {
    var description: String { "the toy broke" }
}

/// The local twin: a function call.
struct LocalExecutor: TaskExecutor {
    let model: any ComputeModel

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        for conditioning in conditionings { try await model.prepare(conditioning) }
        for position in 0..<items.count {
            let item = items[position]
            let answer = try await model.compute(
                item, conditioning: conditionings[item.conditioning].fingerprint)
            try await deliver(position, answer)
        }
    }
}

/// Quiet limits that make failure tests quick; the relations between the timers are kept.
func quickLimits() -> Limits {
    var limits = Limits()
    limits.heartbeatInterval = .milliseconds(50)
    limits.suspectAfter = .milliseconds(700)
    limits.lostAfter = .milliseconds(2000)
    limits.tickInterval = .milliseconds(10)
    limits.noWorkerTimeout = .seconds(300)
    limits.helloInterval = .milliseconds(50)
    limits.orphanTimeout = .seconds(30)
    limits.linger = .milliseconds(500)
    return limits
}

let toyIdentity = ModelIdentity(
    weights: ContentDigest(0xabcd),
    computeClass: MachineClass(
        backend: "toy", instructionSet: "none", blasCore: "none", precision: "f32")
)

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func toyConditioning(_ seed: Float = 0) -> Conditioning {
    func embedding(_ value: Float) -> PromptEmbedding {
        PromptEmbedding(
            hiddenStates: Tensor(
                shape: Shape(7, 5), elements: (0..<35).map { Float($0) * value }),
            pooled: Tensor(shape: Shape(3), elements: [value, 1, 2]))
    }
    return Conditioning(prompt: embedding(1 + seed), negative: embedding(-seed))
}

/// Items whose indices are not their positions, asked with so many texts in turn.
func toyItems(step: Int, count: Int, size: Int = 8, texts: Int = 1) -> [WorkItem] {
    (0..<count).map { position in
        let views = (0..<2).map { view in
            ViewInput(
                sample: Latent(
                    channels: 4, height: size, width: size,
                    values: (0..<4 * size * size).map {
                        Float($0 &* 31 % 97 + position + view) / 50
                    }
                ),
                microConditioning: MicroConditioning(
                    timeIDs: [size, size, position, view, size, size]))
        }
        return .denoise(
            DenoiseTask(
                index: count - 1 - position, step: step, timestep: 981.5 - Double(step),
                guidanceScale: 7.5, guidanceRescale: 0.25, conditioning: position % texts,
                views: views))
    }
}

func toyTiles(count: Int) -> [WorkItem] {
    (0..<count).map { position in
        .decode(
            DecodeTask(
                index: position,
                tile: Latent(
                    channels: 4, height: 6, width: 5,
                    values: (0..<120).map { Float($0 + position) / 64 })))
    }
}

/// Questions of an enlargement: tiles decoded to floats, and pieces of a picture.
func toyRedrawing(count: Int) -> [WorkItem] {
    toyTiles(count: count).flatMap { item -> [WorkItem] in
        guard case .decode(let task) = item else { return [] }
        let pixels = RGBImage(
            height: 4, width: 10,
            values: task.tile.values.map { $0 / 3 - 0.25 * Float(task.index) })
        return [
            .decode(DecodeTask(index: 2 * task.index, tile: task.tile, format: .floats)),
            .encode(EncodeTask(index: 2 * task.index + 1, pixels: pixels)),
        ]
    }
}

/// All answers by index; fails the order of nothing, duplicates trap.
func answers(
    from executor: some TaskExecutor,
    to items: [WorkItem],
    conditioning: Conditioning, others: [Conditioning] = []
) async throws -> [Int: WorkAnswer] {
    let collected = Lock<[Int: WorkAnswer]>([:])
    try await executor.execute(WorkList(items), conditionings: [conditioning] + others) {
        position, answer in
        let index = items[position].index
        collected.withLock { answers in
            precondition(answers[index] == nil, "item \(index) was answered twice")
            answers[index] = answer
        }
    }
    return collected.withLock { $0 }
}
