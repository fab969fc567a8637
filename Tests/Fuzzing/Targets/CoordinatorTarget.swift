import ClusterCore
import ClusterRuntime
import Locking
import Denoising
import Tensors
import WireCodec

/// A real coordinator with a job, one honest greeting, and peers that say anything: it takes each
/// answer at most once, and never one that does not fit its question.
///
/// A record is a message (its bytes a ``WireInput``) from the peer of the tag's low two bits, or,
/// by its tag, something that happens to the coordinator.
enum CoordinatorTarget: FuzzTarget {
    static let isRecordStream = true

    private enum Tag {
        static let tick: UInt8 = 0xff
        /// The connection of the peer of the tag's low two bits is lost.
        static let lost: UInt8 = 0xf0
        static let firstMessageless: UInt8 = 0xf0
    }

    /// Two views in a task and a tile; small enough that a script can answer all.
    private static let items = [MessageSeeds.item(0), MessageSeeds.item(1), MessageSeeds.tile]

    static func run(_ input: [UInt8]) {
        let transport = Transport(records: Records(input))
        let coordinator = Coordinator(
            transport: transport, expected: MessageSeeds.identity, version: "1", logger: silent)
        transport.onEnd.withLock { $0 = { coordinator.shutdown() } }
        runBlocking {
            await withTaskGroup { group in
                group.addTask { try? await coordinator.run() }
                group.addTask { try? await ask(coordinator.executor) }
            }
        }
        transport.letGo()
    }

    private static func ask(_ executor: RemoteExecutor) async throws {
        var answered: Set<Int> = []
        try await executor.execute(WorkList(items), conditionings: [MessageSeeds.conditioning]) {
            position, answer in
            let index = items[position].index
            switch answer {
            case .denoise(let predictions):
                guard predictions.count == 1,
                    predictions[0].hasSameExtents(as: MessageSeeds.latent),
                    predictions[0].values.allSatisfy(\.isFinite)
                else { broken("\(answer) was taken for a prediction") }
                guard answered.insert(index).inserted || index == 0 else {
                    broken("task \(index) was answered twice")
                }
            case .decode(let tile):
                guard index == 0, tile.width == 2 * tile.height else {
                    broken("\(tile.height)×\(tile.width) pixels were taken for task \(index)")
                }
            case .pixels, .encode: broken("\(answer) was taken for an answer to task \(index)")
            }
        }
    }

    private final class Transport: CoordinatorTransport {
        let endpoint = "fuzz"
        let inbound: Script<CoordinatorTransportEvent>
        let onEnd = Lock<(@Sendable () -> Void)?>(nil)
        private let job: Lock<JobID?>
        private let onTick: Lock<(@Sendable () -> Void)?>
        private let isOver: Occasion
        private let hasJob: Occasion

        init(records: Records) {
            let (onEnd, isOver, hasJob) = (onEnd, Occasion(), Occasion())
            let (onTick, job) = (Lock<(@Sendable () -> Void)?>(nil), Lock<JobID?>(nil))
            (self.onTick, self.job, self.isOver, self.hasJob) = (onTick, job, isOver, hasJob)
            let hasGreeted = Lock(false)
            inbound = Script {
                let isFirst = hasGreeted.withLock { greeted in
                    defer { greeted = true }
                    return !greeted
                }
                if isFirst {
                    let greeting = WireInput.frames(MessageSeeds.wire(MessageSeeds.hello()))
                    return .received(greeting, from: Self.peer(0))
                }
                await hasJob.wait()
                while let record = records.next() {
                    let peer = Self.peer(record.tag & 3)
                    if record.tag == Tag.tick {
                        onTick.withLock { $0 }?()
                    } else if record.tag >= Tag.firstMessageless {
                        return .lost(peer)
                    } else {
                        let frames = WireInput.frames(record.bytes)
                        return .received(
                            Self.renamed(frames, job: job.withLock { $0 }), from: peer)
                    }
                }
                onEnd.withLock { $0 }?()
                return nil
            }
        }

        private static func peer(_ number: UInt8) -> PeerID { PeerID(bytes: [number + 1]) }

        func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws {
            self.onTick.withLock { $0 = onTick }
            await isOver.wait()
        }

        func shutdown() {
            hasJob.happen()
            isOver.happen()
        }

        /// The transport knows the coordinator, which knows it.
        func letGo() {
            onEnd.withLock { $0 = nil }
            onTick.withLock { $0 = nil }
        }

        /// Whatever a coordinator says can be read.
        func send(_ frames: Frames, to peer: PeerID) {
            do throws(WireError) {
                guard case .openJob(let id, _) = try WireCodec.decode(frames).message else {
                    return
                }
                job.withLock { $0 = id }
                hasJob.happen()
            } catch {
                broken("the coordinator sent what cannot be read: \(error)")
            }
        }

        /// Jobs have random names: in a script the job is number 1.
        private static func renamed(_ frames: Frames, job: JobID?) -> Frames {
            guard let job, let (header, message) = try? WireCodec.decode(frames) else {
                return frames
            }
            func named(_ id: JobID) -> JobID { id == JobID(1) ? job : id }
            func named(_ attempt: AttemptID) -> AttemptID {
                let task = attempt.task
                return AttemptID(
                    task: TaskID(
                        job: named(task.job), round: task.round, step: task.step,
                        index: task.index, kind: task.kind), number: attempt.number)
            }
            let renamed: WireMessage =
                switch message {
                case .jobReady(let id, let problem): .jobReady(named(id), problem: problem)
                case .result(let attempt, let answer, let question, let time):
                    .result(named(attempt), answer, question: question, computeTime: time)
                case .failure(let attempt, let failure): .failure(named(attempt), failure)
                case .heartbeat(let beat):
                    .heartbeat(
                        Heartbeat(
                            number: beat.number, inHand: beat.inHand.map(named),
                            progress: beat.progress))
                default: message
                }
            return (try? WireCodec.encode(renamed, header: header)) ?? frames
        }
    }

    static var seeds: [String: [UInt8]] {
        let seeds = MessageSeeds.self
        func script(from peer: UInt8 = 0, _ messages: WireMessage...) -> [UInt8] {
            RecordStream.write(messages.map { .init(tag: peer, bytes: seeds.wire($0)) })
        }
        func result(_ index: UInt32, number: UInt32 = 1) -> WireMessage {
            .result(
                seeds.attempt(index, number: number), seeds.denoised, question: ContentDigest(0),
                computeTime: .seconds(1))
        }
        let ready = WireMessage.jobReady(JobID(1), problem: nil)
        let painted = WireMessage.result(
            seeds.attempt(2, kind: .decode), seeds.painted, question: ContentDigest(0),
            computeTime: .zero)
        let failure = WireMessage.failure(
            seeds.attempt(), TaskFailure(code: .compute, reason: "no"))
        let tick = RecordStream.write([.init(tag: Tag.tick, bytes: [])])
        let lost = RecordStream.write([.init(tag: Tag.lost, bytes: [])])
        let beat = WireMessage.heartbeat(
            Heartbeat(number: 1, inHand: [seeds.attempt(), seeds.attempt(1)], progress: 5))
        return [
            "job": script(.assetRequest(seeds.digest), ready, result(0), beat, result(1), painted),
            "two-workers": script(from: 1, seeds.hello(), ready) + script(ready, result(0))
                + script(from: 1, result(1), painted) + tick,
            "twice": script(ready, result(0), result(0), result(1), result(1), painted),
            "failures": script(ready, failure, result(0, number: 2)) + lost
                + script(seeds.hello(), ready, .goodbye(.draining), .goodbye(.leaving)),
            "refused": script(.jobReady(JobID(1), problem: "no")),
            "hostile-stranger": script(from: 2, result(0), beat, failure, painted),
            "hostile-never-issued": script(
                ready, result(0, number: 0), result(0, number: 4_000_000_000)),
            "hostile-slots": script(from: 1, seeds.hello(slots: Int(UInt32.max))),
            "hostile-wrong-answer": script(
                ready,
                .result(
                    seeds.attempt(), seeds.painted, question: ContentDigest(0), computeTime: .zero)),
            "hostile-coordinator-message": script(
                .heartbeatAck(1), .cancel(seeds.attempt()), .goodbye(.leaving)),
        ]
    }
}
