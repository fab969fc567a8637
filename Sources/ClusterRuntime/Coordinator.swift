package import ClusterCore
internal import Denoising
package import Logging
internal import ServiceLifecycle
internal import Locking
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
    /// Whether some answers have to be confirmed, and are worth a digest.
    private let confirms: Bool
    private let clock = MonotonicClock()
    private let eventSink: AsyncStream<WorkerEvent>.Continuation
    private let recorder: (any EventRecorder)?
    private let desk: Lock<Desk>

    /// Works over a transport that is ready; see also the initialiser that binds an endpoint.
    package init(
        transport: any CoordinatorTransport,
        expected: ModelIdentity,
        version: String,
        life: CoordinatorLife = CoordinatorLife(realm: .random(), epoch: Epoch(1)),
        limits: Limits = .standard,
        confirmedPercent: Double = 0,
        recorder: (any EventRecorder)? = nil,
        logger: Logger
    ) {
        self.transport = transport
        self.endpoint = transport.endpoint
        self.limits = limits
        self.logger = logger
        confirms = confirmedPercent > 0
        (workerEvents, eventSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
        let setup = CoordinatorSetup(
            expected: expected, life: life, version: version, limits: limits,
            confirmation: Confirmation(
                percent: confirmedPercent, salt: UInt64.random(in: 0...UInt64.max)))
        self.recorder = recorder
        recorder?.begin(setup)
        desk = Lock(Desk(state: CoordinatorState(setup)))
    }

    /// What the denoising loop and the decode phase ask. A worker answers the questions of
    /// `known` first, once in its session, and computes nothing for anybody unless it answers
    /// them to the bit.
    package func executor(known: [KnownAnswer]) -> RemoteExecutor {
        RemoteExecutor(coordinator: self, limits: limits, known: known)
    }

    /// Likewise, trusting every worker at once.
    package var executor: RemoteExecutor { executor(known: []) }

    /// What has happened so far, in numbers.
    package var counters: ClusterCounters { desk.withLock { $0.state.counters } }

    /// Workers that are in and not leaving.
    package var liveWorkers: Int { desk.withLock { $0.state.liveWorkers } }

    /// What came to the transport's door so far.
    package var transportCounters: TransportCounters { transport.counters }

    /// The workers as a person wants to see them, in the order they joined.
    package var workers: [WorkerStatus] { desk.withLock { $0.state.workers(at: clock.now) } }

    /// Asks the workers of this name to finish what they compute and leave. Those of wire versions
    /// before 1.2 do not heed it. Says how many were asked.
    package func drain(workersNamed name: String) -> Int {
        desk.withLock { desk in
            let peers = desk.state.peers(named: name)
            for peer in peers { send(.drain, to: peer, desk: &desk) }
            return peers.count
        }
    }

    /// Once in a coordinator's life.
    package func run() async throws {
        defer {
            handle(.shutdown(isReturning: false))
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

    /// Fails what is open, says goodbye to all workers, and lets `run()` return. Workers of other
    /// machines wait for a coordinator that is returning, and leave otherwise.
    package func shutdown(isReturning: Bool = false) {
        handle(.shutdown(isReturning: isReturning))
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
            transport.complain(about: peer)
            handle(.malformed(reason: "\(error)", from: peer))
        }
    }

    private func receive(_ message: WireMessage, from peer: PeerID) {
        switch message {
        case .hello(let hello): handle(.received(.hello(hello), from: peer))
        case .assetRequest(let digest): handle(.received(.assetRequest(digest), from: peer))
        case .jobReady(let job, let problem):
            handle(.received(.jobReady(job, problem: problem), from: peer))
        case .result(let attempt, let answer, let question, let time):
            receive(answer, to: question, of: attempt, computeTime: time, from: peer)
        case .failure(let attempt, let failure):
            handle(.received(.failure(attempt, failure), from: peer))
        case .heartbeat(let heartbeat): handle(.received(.heartbeat(heartbeat), from: peer))
        case .goodbye(let reason): handle(.received(.goodbye(reason), from: peer))
        case .welcome, .reject, .openJob, .asset, .closeJob, .task, .cancel, .heartbeatAck, .drain,
            .controlRequest, .controlReply:
            handle(.malformed(reason: "it sent what only a coordinator sends", from: peer))
        }
    }

    private func receive(
        _ answer: WorkAnswer,
        to question: ContentDigest,
        of attempt: AttemptID,
        computeTime: Duration,
        from peer: PeerID
    ) {
        // An item that is gone was answered before: the state calls the result stale.
        let (item, known) = desk.withLock {
            ($0.items[attempt.task], $0.knownAnswer(to: attempt.task))
        }
        if let item, let problem = AnswerCheck.problem(of: answer, to: item) {
            handle(.unsound(attempt, problem, from: peer))
        } else if let asked = item ?? known?.item, question != ContentDigest(0),
            question != ContentDigest(asked.fingerprint)
        {
            let problem = AnswerCheck.unsound("it answers another question than was asked")
            handle(.unsound(attempt, problem, from: peer))
        } else if let known, known.answer != answer {
            let problem = AnswerCheck.unsound(known.difference(from: answer))
            handle(.unsound(attempt, problem, from: peer))
        } else {
            let digest = confirms ? AnswerCheck.digest(of: answer) : ContentDigest(0)
            desk.withLock { desk in
                // Asked only now: an answer that came before its question was not looked at.
                guard item != nil || known != nil || !desk.asks(attempt.task) else {
                    return handle(
                        .malformed(reason: "\(attempt) was not handed out yet", from: peer), nil,
                        desk: &desk)
                }
                handle(
                    .answered(attempt, computeTime: computeTime, digest: digest, from: peer),
                    answer, desk: &desk)
            }
        }
    }

    // MARK: Questions in

    /// Opens a batch; its answers, by position, or its failure come out of the stream.
    func begin(
        _ items: [WorkItem], conditionings: [Conditioning], known: [KnownAnswer]
    ) -> Batch {
        desk.withLock { desk in
            let (answers, sink) = AsyncThrowingStream.makeStream(of: Batch.Answer.self)
            let batch = Batch(
                round: desk.nextRound(), conditionings: conditionings, known: known,
                answers: answers)
            desk.rounds[batch.round] = OpenRound(sink: sink)
            for number in conditionings.indices {
                let own = items.indices.filter { items[$0].conditioning == number }
                ask(own.map { (items[$0], $0) }, with: number, in: batch, desk: &desk)
            }
            return batch
        }
    }

    /// Asks one more item of an open batch. Nothing happens when the batch has failed: its stream
    /// says so.
    func ask(_ item: WorkItem, at position: Int, in batch: Batch) {
        desk.withLock { desk in
            ask([(item, position)], with: item.conditioning, in: batch, desk: &desk)
        }
    }

    /// Items of one conditioning, by its number.
    private func ask(
        _ items: [(item: WorkItem, position: Int)], with number: Int, in batch: Batch,
        desk: inout Desk
    ) {
        guard !items.isEmpty, desk.rounds[batch.round]?.isOpen == true else { return }
        let job = job(for: number, of: batch, desk: &desk)
        desk.rounds[batch.round]?.add(job)
        var tasks: [TaskID] = []
        for (item, position) in items {
            let task = batch.task(item, of: job, position: position)
            desk.items[task] = item
            tasks.append(task)
        }
        handle(.submit(job, tasks), nil, desk: &desk)
    }

    /// The open job for one of a batch's conditionings; a new one closes those that nobody asks any
    /// more. Workers know a job's tasks to need its one conditioning, so a picture of several has a
    /// job for each.
    private func job(for number: Int, of batch: Batch, desk: inout Desk) -> JobID {
        let conditioning = batch.conditionings[number]
        let digest = ContentDigest(conditioning.fingerprint)
        if let open = desk.jobs[digest] { return open }
        let wanted = Set(batch.conditionings.map { ContentDigest($0.fingerprint) })
        let busy = Set(desk.rounds.values.flatMap(\.jobs))
        for (other, job) in desk.jobs where !wanted.contains(other) && !busy.contains(job) {
            handle(.close(job), nil, desk: &desk)
            desk.forget(job)
        }
        let job = JobID(UInt64.random(in: 1...UInt64.max))
        desk.conditionings[digest] = conditioning
        desk.jobs[digest] = job
        let known = batch.known(with: number)
        desk.known[job] = known
        let trial = known.map { Batch.kind(of: $0.item) }
        handle(.open(job, conditioning: digest, trial: trial), nil, desk: &desk)
        return job
    }

    /// The loop has taken one answer.
    func consumed(_ answer: Batch.Answer) { handle(.consumed(answer.job)) }

    /// The batch is over. When answers are missing nobody wants them: its jobs are closed.
    func end(_ batch: Batch, isComplete: Bool) {
        desk.withLock { desk in
            guard let round = desk.rounds.removeValue(forKey: batch.round) else { return }
            round.sink.finish()
            guard !isComplete else { return }
            for job in round.jobs {
                desk.forget(job)
                handle(.close(job), nil, desk: &desk)
            }
        }
    }

    // MARK: Decisions

    private func handle(_ event: CoordinatorEvent, _ answer: WorkAnswer? = nil) {
        desk.withLock { handle(event, answer, desk: &$0) }
    }

    /// Effects only put things into queues, so they are carried out under the lock, in order.
    private func handle(_ event: CoordinatorEvent, _ answer: WorkAnswer?, desk: inout Desk) {
        let now = clock.now
        let effects = desk.state.handle(event, at: now)
        recorder?.record(event, effects, at: now)
        for effect in effects {
            switch effect {
            case .send(let message, let peer): send(message, to: peer, desk: &desk)
            case .deliver(let attempt):
                desk.deliver(attempt, with: answer)
            case .hold(let attempt):
                guard let answer else { preconditionFailure("nothing to hold") }
                desk.held[attempt] = answer
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
            sequence: desk.nextSequence(), life: desk.state.setup.life, incarnation: 0)
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
