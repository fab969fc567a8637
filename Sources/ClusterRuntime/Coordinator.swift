package import ClusterCore
internal import Denoising
package import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import WireCodec

/// The coordinator as a service: takes workers in, hands tasks out, brings answers back.
///
/// Life: `run()` returns when it is over; `shutdown()`, or the service group's graceful shutdown,
/// says goodbye to all workers first; cancelling the task that runs it ends it at once. Questions
/// are asked through ``executor``, which waits until `run()` is running.
package final class Coordinator: Service {
    /// Where workers connect to, with the real port.
    package let endpoint: String

    /// Workers joining, leaving, and being turned away, the latest 256 unread ones. To be
    /// iterated once; ends with the coordinator.
    package let workerEvents: AsyncStream<WorkerEvent>

    private let transport: any CoordinatorTransport
    private let limits: Limits
    private let logger: Logger
    private let clock = MonotonicClock()
    private let eventSink: AsyncStream<WorkerEvent>.Continuation
    private let desk: Mutex<Desk>

    /// Works over a transport that is ready; see also the initialiser that binds an endpoint.
    package init(
        transport: any CoordinatorTransport,
        expected: ModelIdentity,
        version: String,
        epoch: Epoch = Epoch(1),
        limits: Limits = .standard,
        logger: Logger
    ) {
        self.transport = transport
        self.endpoint = transport.endpoint
        self.limits = limits
        self.logger = logger
        (workerEvents, eventSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
        desk = Mutex(
            Desk(
                state: CoordinatorState(
                    expected: expected, epoch: epoch, version: version, limits: limits)))
    }

    /// What the denoising loop and the decode phase ask.
    package var executor: RemoteExecutor { RemoteExecutor(coordinator: self, limits: limits) }

    /// Workers that are in and not leaving.
    package var liveWorkers: Int { desk.withLock { $0.state.liveWorkers } }

    /// Once in a coordinator's life.
    package func run() async throws {
        defer {
            handle(.shutdown)
            eventSink.finish()
        }
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await self.transport.run(tickInterval: self.limits.tickInterval) {
                        self.handle(.tick)
                    }
                }
                await receive(from: transport)
                try await group.waitForAll()
            }
        } onGracefulShutdown: {
            self.shutdown()
        }
    }

    /// Fails what is open, says goodbye to all workers, and lets `run()` return.
    package func shutdown() {
        handle(.shutdown)
        transport.shutdown()
    }

    // MARK: Messages in

    private func receive(from transport: some CoordinatorTransport) async {
        for await event in transport.inbound {
            switch event {
            case .lost(let peer): handle(.disconnected(peer))
            case .received(let frames, let peer): receive(frames, from: peer)
            }
        }
    }

    private func receive(_ frames: Frames, from peer: PeerID) {
        do throws(WireError) {
            let (_, message) = try WireCodec.decode(frames, limits: limits)
            receive(message, from: peer)
        } catch .incompatible(let version) {
            handle(.incompatible(version, from: peer))
        } catch .unknownMessage {
            logger.debug("a message of a later version was ignored", metadata: ["peer": "\(peer)"])
        } catch {
            handle(.malformed(reason: "\(error)", from: peer))
        }
    }

    private func receive(_ message: WireMessage, from peer: PeerID) {
        switch message {
        case .hello(let hello): handle(.received(.hello(hello), from: peer))
        case .assetRequest(let digest): handle(.received(.assetRequest(digest), from: peer))
        case .jobReady(let job, let problem):
            handle(.received(.jobReady(job, problem: problem), from: peer))
        case .result(let attempt, let answer, let time):
            receive(answer, of: attempt, computeTime: time, from: peer)
        case .failure(let attempt, let failure):
            handle(.received(.failure(attempt, failure), from: peer))
        case .heartbeat(let heartbeat): handle(.received(.heartbeat(heartbeat), from: peer))
        case .goodbye(let reason): handle(.received(.goodbye(reason), from: peer))
        case .welcome, .reject, .openJob, .asset, .closeJob, .task, .cancel, .heartbeatAck:
            handle(.malformed(reason: "it sent what only a coordinator sends", from: peer))
        }
    }

    private func receive(
        _ answer: WorkAnswer,
        of attempt: AttemptID,
        computeTime: Duration,
        from peer: PeerID
    ) {
        // An item that is gone was answered before: the state calls the result stale.
        let item = desk.withLock { $0.items[attempt.task] }
        if let item, let problem = AnswerCheck.problem(of: answer, to: item) {
            handle(.unsound(attempt, reason: problem, from: peer))
        } else {
            handle(.received(.result(attempt, computeTime: computeTime), from: peer), answer)
        }
    }

    // MARK: Questions in

    /// Opens a batch; its answers, by position, or its failure come out of the stream.
    func begin(_ items: [WorkItem], conditioning: Conditioning) -> Batch {
        let digest = ContentDigest(conditioning.fingerprint)
        return desk.withLock { desk in
            let (answers, sink) = AsyncThrowingStream.makeStream(of: Batch.Answer.self)
            let job = job(for: digest, desk: &desk)
            let batch = Batch(job: job, round: desk.nextRound(), answers: answers)
            desk.conditionings[digest] = conditioning
            desk.sinks[batch.key] = sink
            let tasks = items.indices.map { batch.task(items[$0], position: $0) }
            for (task, item) in zip(tasks, items) { desk.items[task] = item }
            handle(.submit(job, tasks), nil, desk: &desk)
            return batch
        }
    }

    /// The open job for this conditioning; a new one closes those that nobody asks any more.
    private func job(for digest: ContentDigest, desk: inout Desk) -> JobID {
        if let open = desk.jobs[digest] { return open }
        let busy = Set(desk.sinks.keys.map(\.job))
        for (old, job) in desk.jobs where !busy.contains(job) {
            desk.jobs[old] = nil
            handle(.close(job), nil, desk: &desk)
            desk.conditionings[old] = nil
        }
        let job = JobID(UInt64.random(in: 1...UInt64.max))
        desk.jobs[digest] = job
        handle(.open(job, conditioning: digest), nil, desk: &desk)
        return job
    }

    /// The loop has taken one answer.
    func consumed(_ batch: Batch) { handle(.consumed(batch.job)) }

    /// The batch is over. When answers are missing nobody wants them: the job is closed.
    func end(_ batch: Batch, isComplete: Bool) {
        desk.withLock { desk in
            desk.sinks.removeValue(forKey: batch.key)?.finish()
            guard !isComplete else { return }
            desk.forget(batch.job)
            handle(.close(batch.job), nil, desk: &desk)
        }
    }

    // MARK: Decisions

    private func handle(_ event: CoordinatorEvent, _ answer: WorkAnswer? = nil) {
        desk.withLock { handle(event, answer, desk: &$0) }
    }

    /// Effects only put things into queues, so they are carried out under the lock, in order.
    private func handle(_ event: CoordinatorEvent, _ answer: WorkAnswer?, desk: inout Desk) {
        for effect in desk.state.handle(event, at: clock.now) {
            switch effect {
            case .send(let message, let peer): send(message, to: peer, desk: &desk)
            case .deliver(let attempt):
                guard let answer else { preconditionFailure("delivery without an answer") }
                desk.deliver(answer, of: attempt)
            case .fail(let job, let failure):
                logger.debug("job failed", metadata: ["job": "\(job)", "reason": "\(failure)"])
                desk.fail(job, failure)
            case .worker(let event):
                log(event)
                eventSink.yield(event)
            case .note(let note):
                logger.debug("\(note)")
            }
        }
    }

    private func send(_ message: CoordinatorMessage, to peer: PeerID, desk: inout Desk) {
        guard let wire = desk.wireMessage(message) else { return }
        let header = WireHeader(
            sequence: desk.nextSequence(), epoch: desk.state.epoch, incarnation: 0)
        do throws(WireError) {
            transport.send(try WireCodec.encode(wire, header: header, limits: limits), to: peer)
        } catch {
            // Items are checked when they are asked and conditionings fit; our own words do too.
            logger.critical("a message could not be encoded", metadata: ["reason": "\(error)"])
        }
    }

    private func log(_ event: WorkerEvent) {
        switch event {
        case .rejected(let name, let rejection):
            logger.warning(
                "worker turned away", metadata: ["worker": "\(name)", "reason": "\(rejection)"])
        case .lost(let worker, let reason, _):
            logger.warning(
                "worker lost", metadata: ["worker": "\(worker)", "reason": "\(reason)"])
        default: logger.debug("\(event)")
        }
    }
}
