import ClusterCore
import Denoising
import FaultInjection
import Logging
import Locking
import Tensors
import WireCodec

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

let someIdentity = ModelIdentity(
    weights: ContentDigest(0xabcd),
    computeClass: MachineClass(
        backend: "toy", instructionSet: "none", blasCore: "none", precision: "f32"))

let someConditioning = Conditioning(
    prompt: PromptEmbedding(
        hiddenStates: Tensor(shape: Shape(2, 2), elements: [1, 2, 3, 4]), pooled: nil),
    negative: PromptEmbedding(
        hiddenStates: Tensor(shape: Shape(2, 2), elements: [4, 3, 2, 1]), pooled: nil))

/// Limits that make minutes seconds.
func quickLimits() -> Limits {
    var limits = Limits()
    limits.heartbeatInterval = .milliseconds(50)
    limits.suspectAfter = .milliseconds(500)
    limits.lostAfter = .seconds(2)
    limits.tickInterval = .milliseconds(20)
    limits.minimumLease = .milliseconds(400)
    limits.noWorkerTimeout = .seconds(300)
    limits.helloInterval = .milliseconds(50)
    limits.orphanTimeout = .seconds(20)
    limits.quarantine = .milliseconds(200)
    return limits
}

func item(_ index: Int, step: Int = 0) -> WorkItem {
    .denoise(
        DenoiseTask(
            index: index, step: step, timestep: 900, guidanceScale: 5,
            views: [
                ViewInput(
                    sample: Latent(
                        channels: 1, height: 4, width: 4,
                        values: (0..<16).map { Float($0 + index) }),
                    microConditioning: MicroConditioning(timeIDs: [4, 4, 0, 0, 4, 4]))
            ]))
}

/// Doubles what it is given, and counts.
final class DoublingModel: ComputeModel {
    private let calls = Lock((prepared: 0, computed: 0))
    var preparedCount: Int { calls.withLock { $0.prepared } }
    var computedCount: Int { calls.withLock { $0.computed } }

    func prepare(_ conditioning: Conditioning) async throws { calls.withLock { $0.prepared += 1 } }

    func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer {
        calls.withLock { $0.computed += 1 }
        switch item {
        case .denoise(let task):
            let predictions = task.views.map { view in
                var sample = view.sample
                for index in sample.values.indices { sample.values[index] *= 2 }
                return sample
            }
            return .denoise(predictions)
        case .decode(let task):
            return .decode(
                RGBTile(
                    height: task.tile.height, width: task.tile.width,
                    bytes: (0..<task.tile.plane * 3).map { UInt8($0 % 251) }))
        case .encode(let task):
            let pixels = task.pixels
            return .encode(
                Latent(
                    channels: 3, height: pixels.height, width: pixels.width,
                    values: pixels.values))
        }
    }
}

func injector(_ text: String, seed: UInt64 = 1) throws -> FaultInjector {
    FaultInjector(spec: try FaultSpec(text), seed: seed)
}

let someHeader = WireHeader(
    sequence: 1, life: CoordinatorLife(realm: Realm(3), epoch: Epoch(1)), incarnation: 9)

func attempt(_ index: UInt32, step: UInt32 = 0) -> AttemptID {
    AttemptID(
        task: TaskID(job: JobID(5), round: 1, step: step, index: index, kind: .denoise), number: 1)
}

func resultFrames(_ index: UInt32, step: UInt32 = 0, value: Float = 1) throws -> Frames {
    try WireCodec.encode(
        .result(
            attempt(index, step: step),
            .denoise([
                Latent(
                    channels: 1, height: 4, width: 4,
                    values: (0..<16).map { Float($0) * value })
            ]),
            question: ContentDigest(UInt64(index)), computeTime: .milliseconds(5)),
        header: someHeader)
}

func heartbeatFrames(_ number: UInt64) throws -> Frames {
    try WireCodec.encode(
        .heartbeat(Heartbeat(number: number, inHand: [], progress: 3)), header: someHeader)
}
