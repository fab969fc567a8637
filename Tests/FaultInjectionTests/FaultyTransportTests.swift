import ClusterCore
import ClusterRuntime
import Denoising
import FaultInjection
import Locking
import Tensors
import TestSupport
import Testing
import WireCodec

private struct UnexpectedMessage: Error {}

/// A worker's end that keeps what is sent, and says what it is told to.
private final class LoopTransport: WorkerTransport {
    let endpoint = "loop"
    let inbound: AsyncStream<Frames>
    private let sink: AsyncStream<Frames>.Continuation
    private let life = AsyncStream.makeStream(of: Never.self)
    private let outbox = Lock<[Frames]>([])
    let sent: AsyncStream<Frames>
    private let sentSink: AsyncStream<Frames>.Continuation

    init() {
        (inbound, sink) = AsyncStream.makeStream()
        (sent, sentSink) = AsyncStream.makeStream()
    }

    var all: [Frames] { outbox.withLock { $0 } }
    func say(_ frames: Frames) { sink.yield(frames) }

    func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws {
        for await _ in life.stream {}
        sink.finish()
        sentSink.finish()
    }

    func send(_ frames: Frames, expendable: Bool) {
        outbox.withLock { $0.append(frames) }
        sentSink.yield(frames)
    }

    func shutdown() { life.continuation.finish() }
}

@Suite("Faulty transports", .watched, .timeLimit(.minutes(10)))
struct FaultyTransportTests {
    private func sent(_ text: String, _ messages: [Frames]) throws -> [Frames] {
        let base = LoopTransport()
        let faulty = FaultyWorkerTransport(base, injector: try injector(text))
        for message in messages { faulty.send(message, expendable: false) }
        return base.all
    }

    @Test("messages are dropped and doubled by kind, in order")
    func dropAndDouble() throws {
        let results = try (0..<4).map { try resultFrames($0) }
        let heart = try heartbeatFrames(1)
        let found = try sent(
            "result:drop@2;result:dup@3;heartbeat:drop@2", results + [heart, heart])
        #expect(found == [results[0], results[2], results[2], results[3], heart])
    }

    @Test("rules of a step hit that step's messages only")
    func steps() throws {
        let messages = try [0, 3, 4, 3].map { try resultFrames($0, step: $0) }
        #expect(try sent("result:drop@step3", messages) == [messages[0], messages[2]])
    }

    @Test("a flipped bit is noticed by a checksum, in the tensor or in the body")
    func corrupt() throws {
        for message in [try resultFrames(0), try heartbeatFrames(1)] {
            let found = try sent("any:corrupt", [message])
            #expect(found.count == 1 && found[0] != message)
            #expect(found[0].map(\.count) == message.map(\.count))
            let error = #expect(throws: WireError.self) { try WireCodec.decode(found[0]) }
            guard case .checksum? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    private func answer(_ frames: Frames) throws -> (AttemptID, WorkAnswer) {
        let (header, message) = try WireCodec.decode(frames)
        #expect(header == someHeader)
        guard case .result(let attempt, let answer, _, _) = message else {
            throw UnexpectedMessage()
        }
        return (attempt, answer)
    }

    @Test("a swapped answer is the one before, under the new name and with valid checksums")
    func swap() throws {
        let first = try resultFrames(0, value: 1)
        let second = try resultFrames(1, value: 2)
        let found = try sent("result:swap", [first, second])
        // There is nothing yet that the first could be swapped with.
        #expect(found[0] == first)
        let (attempt, swapped) = try answer(found[1])
        #expect(attempt == (try answer(second).0))
        #expect(swapped == (try answer(first).1))
    }

    @Test("a lie has another order of the same values, a wrong shape a row less")
    func lieAndShape() throws {
        let message = try resultFrames(3)
        guard case .denoise(let sound) = try answer(message).1,
            case .denoise(let lie) = try answer(try sent("result:lie", [message])[0]).1,
            case .denoise(let short) = try answer(try sent("result:shape", [message])[0]).1
        else { throw UnexpectedMessage() }
        #expect(lie[0].values == sound[0].values.reversed())
        #expect(short[0].height == sound[0].height - 1 && short[0].width == sound[0].width)
        #expect(short[0].values == Array(sound[0].values.dropLast(4)))
    }

    @Test("bytes that are no message of ours pass untouched and uncounted")
    func foreign() throws {
        let base = LoopTransport()
        let injector = try injector("any:drop")
        let faulty = FaultyWorkerTransport(base, injector: injector)
        faulty.send([[1, 2, 3]], expendable: true)
        #expect(base.all == [[[1, 2, 3]]])
        #expect(injector.counts[0].seen == 0)
    }

    @Test("a late message is overtaken, in both directions, and none is lost")
    func delay() async throws {
        let base = LoopTransport()
        let faulty = FaultyWorkerTransport(
            base, injector: try injector("result:delay=200ms@1;ack:delay=200ms@1"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await faulty.run(tickInterval: .seconds(1)) {} }
            let late = try resultFrames(0)
            let early = try heartbeatFrames(7)
            faulty.send(late, expendable: false)
            faulty.send(early, expendable: false)
            var sent = base.sent.makeAsyncIterator()
            #expect(await sent.next() == early)
            #expect(await sent.next() == late)

            let acks = try [1, 2].map {
                try WireCodec.encode(.heartbeatAck($0), header: someHeader)
            }
            for ack in acks { base.say(ack) }
            var received = faulty.inbound.makeAsyncIterator()
            #expect(await received.next() == acks[1])
            #expect(await received.next() == acks[0])
            faulty.shutdown()
            #expect(await received.next() == nil)
            try await group.waitForAll()
        }
    }

    @Test("a coordinator's messages are hit over all its peers, and losses are still told")
    func coordinator() async throws {
        let network = InMemoryNetwork()
        let injector = try injector("heartbeat:drop@2;task:drop")
        let faulty = FaultyCoordinatorTransport(
            network.coordinatorTransport(), injector: injector)
        let workers = [network.workerTransport(), network.workerTransport()]
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await faulty.run(tickInterval: .seconds(1)) {} }
            for (number, worker) in workers.enumerated() {
                worker.send(try heartbeatFrames(UInt64(number)), expendable: true)
            }
            network.disconnect(workers[1].peer)
            var inbound = faulty.inbound.makeAsyncIterator()
            guard case .received(_, let peer)? = await inbound.next() else {
                Issue.record("the first heartbeat did not come")
                return
            }
            #expect(peer == workers[0].peer)
            guard case .lost(let gone)? = await inbound.next() else {
                Issue.record("the loss was not told")
                return
            }
            #expect(gone == workers[1].peer)
            faulty.shutdown()
            try await group.waitForAll()
        }
        #expect(injector.counts.map(\.injected) == [1, 0])
    }

    /// What a cluster whose workers have these faults answers, and how many each of them did. With
    /// `firstFails`, the others come when the first has had a fault: else they might do it all.
    private func answers(
        _ specs: [String], items: [WorkItem], limits: Limits = quickLimits(),
        firstFails: Bool = false
    ) async throws -> (answers: [Int: WorkAnswer], injected: [Int]) {
        let network = InMemoryNetwork()
        let coordinator = Coordinator(
            transport: network.coordinatorTransport(), expected: someIdentity, version: "test",
            limits: limits, logger: quietLogger)
        let injectors = try specs.map { try $0.isEmpty ? nil : injector($0) }
        let found = Lock<[Int: WorkAnswer]>([:])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await coordinator.run() }
            for (number, injector) in injectors.enumerated() {
                let plain = network.workerTransport()
                let transport: any WorkerTransport =
                    injector.map { FaultyWorkerTransport(plain, injector: $0) } ?? plain
                let model: any ComputeModel =
                    injector.map { FaultyModel(DoublingModel(), injector: $0) } ?? DoublingModel()
                let worker = Worker(
                    transport: transport, name: "w\(number)", identity: someIdentity, model: model,
                    version: "test", limits: limits, logger: quietLogger)
                group.addTask {
                    while firstFails, number > 0, injectors[0]?.injectedCount == 0 {
                        guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return }
                    }
                    try? await worker.run()
                }
            }
            try await coordinator.executor.execute(
                WorkList(items), conditionings: [someConditioning]
            ) { position, answer in
                found.withLock { $0[items[position].index] = answer }
            }
            coordinator.shutdown()
            group.cancelAll()
            try await group.waitForAll()
        }
        let injected = injectors.map { $0?.injectedCount ?? 0 }
        return (found.withLock { $0 }, injected)
    }

    @Test(
        "a cluster of faulty workers gives the answers of a sound one",
        arguments: [
            "result:drop@1/3", "result:dup@1/2", "result:delay=50ms..150ms@1/2",
            "result:corrupt@1/4", "result:shape@1/4", "task:drop@1/3", "task:delay=50ms@1/3",
            "heartbeat:drop@2/3;compute:delay=100ms", "welcome:drop@1", "asset:drop@1",
            "ready:drop@1",
            "hello:drop@1..2", "compute:nan@1/4", "compute:fail@1/4", "compute:forget@1/3",
            "compute:slow=5x", "compute:delay=30ms@1/2",
        ])
    func faultyCluster(spec: String) async throws {
        let items = (0..<24).map { item($0, step: 1) }
        let expected = try await answers([""], items: items).answers
        // Two workers that find no finite number for one task end its job (matrix row 23).
        let isAlone = spec.hasPrefix("compute:nan")
        let (found, injected) = try await answers(
            [spec, isAlone ? "" : spec], items: items, firstFails: isAlone)
        #expect(found == expected)
        #expect(isAlone ? injected[0] > 0 : injected.contains { $0 > 0 })
    }
}

extension FaultInjector {
    fileprivate var injectedCount: Int { counts.reduce(0) { $0 + $1.injected } }
}
