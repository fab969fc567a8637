import ClusterCore
import ClusterRuntime
import Locking
import WireCodec

/// A real worker whose coordinator says anything, in any order: the worker goes on or leaves.
///
/// A record is a message (its bytes a ``WireInput``), or, by its tag, something that happens to
/// the worker.
enum WorkerTarget: FuzzTarget {
    static let isRecordStream = true

    private enum Tag {
        static let tick: UInt8 = 0xff
        static let drain: UInt8 = 0xfe
        /// What is being computed is finished first.
        static let settle: UInt8 = 0xfd
    }

    static func run(_ input: [UInt8]) {
        let records = Records(input)
        let model = EchoModel()
        let transport = Transport(records: records, model: model)
        let worker = Worker(
            transport: transport, name: "w", identity: MessageSeeds.identity, model: model,
            version: "1", logger: silent)
        transport.onDrain.withLock { $0 = { worker.drain() } }
        runBlocking { try? await worker.run() }
        transport.letGo()
    }

    private final class Transport: WorkerTransport {
        let endpoint = "fuzz"
        let inbound: Script<Frames>
        let onDrain = Lock<(@Sendable () -> Void)?>(nil)
        private let onTick: Lock<(@Sendable () -> Void)?>
        private let isOver: Occasion

        init(records: Records, model: EchoModel) {
            let (onTick, onDrain, isOver) = (
                Lock<(@Sendable () -> Void)?>(nil), onDrain, Occasion()
            )
            (self.onTick, self.isOver) = (onTick, isOver)
            inbound = Script {
                while let record = records.next() {
                    switch record.tag {
                    case Tag.tick: onTick.withLock { $0 }?()
                    case Tag.drain: onDrain.withLock { $0 }?()
                    case Tag.settle: await model.settle()
                    default: return WireInput.frames(record.bytes)
                    }
                }
                await model.settle()
                isOver.happen()
                return nil
            }
        }

        func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws {
            self.onTick.withLock { $0 = onTick }
            await isOver.wait()
            onTick()
        }

        /// The transport knows the worker, which knows it.
        func letGo() {
            onDrain.withLock { $0 = nil }
            onTick.withLock { $0 = nil }
        }

        /// Whatever a worker says can be read.
        func send(_ frames: Frames, expendable: Bool) {
            do throws(WireError) {
                _ = try WireCodec.decode(frames)
            } catch {
                broken("the worker sent what cannot be read: \(error)")
            }
        }

        func shutdown() { isOver.happen() }
    }

    static var seeds: [String: [UInt8]] {
        let seeds = MessageSeeds.self
        func script(_ messages: WireMessage..., then tags: UInt8...) -> [UInt8] {
            RecordStream.write(
                messages.map { .init(tag: 0, bytes: seeds.wire($0)) }
                    + tags.map { .init(tag: $0, bytes: []) })
        }
        let welcome = WireMessage.welcome(
            Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "1"))
        let open = WireMessage.openJob(JobID(1), conditioning: seeds.digest)
        let asset = WireMessage.asset(seeds.conditioning)
        func task(_ index: UInt32) -> WireMessage {
            .task(seeds.attempt(index), seeds.item(Int(index)), conditioning: seeds.digest)
        }
        let settle = script(then: Tag.settle)
        let begin = script(welcome, open, asset) + settle
        let reopened = WireMessage.openJob(JobID(1), conditioning: ContentDigest(9))
        return [
            "job": begin + script(task(0), task(1), then: Tag.settle, Tag.tick)
                + script(.closeJob(JobID(1)), .goodbye(.leaving)),
            "decode": begin
                + script(
                    .task(seeds.attempt(kind: .decode), seeds.tile, conditioning: seeds.digest),
                    then: Tag.settle, Tag.drain),
            "cancel": begin
                + script(task(0), task(1), .cancel(seeds.attempt(1)), .cancel(seeds.attempt())),
            "drain": begin + script(task(0), task(1), then: Tag.drain, Tag.drain),
            "task-twice": begin + script(task(0), task(0), task(1), task(1)),
            "not-asked": script(task(0), asset, open, .heartbeatAck(3), welcome),
            "unknown-session": begin
                + script(task(0), .reject(Rejection(code: .unknownSession, reason: "?")), welcome),
            "hostile-reopened": begin + script(task(0), task(1), reopened) + settle,
            "hostile-worker-message": script(seeds.hello(), welcome),
        ]
    }
}
