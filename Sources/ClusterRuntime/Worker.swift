package import ClusterCore
package import Denoising
package import Logging
internal import ServiceLifecycle
internal import Locking
internal import WireCodec

/// Why a worker stopped against its will.
package enum WorkerError: Error, Equatable, CustomStringConvertible {
    /// The coordinator does not want it.
    case rejected(Rejection)
    /// Nothing was heard from the coordinator for this long, because of `trouble` if that is known.
    case coordinatorSilent(endpoint: String, Duration, trouble: String?)
    /// The computation stood still for this long.
    case hung(Duration)

    package var description: String {
        switch self {
        case .rejected(let rejection): "the coordinator turned this worker away: \(rejection)"
        case .coordinatorSilent(let endpoint, let time, let trouble):
            "no coordinator answered at \(endpoint) for \(time.components.seconds) s"
                + (trouble.map { ": \($0)" } ?? "")
                + "; is it running, and is the address right?"
        case .hung(let time):
            "the computation made no progress for \(time.components.seconds) s; this worker is "
                + "of no use any more"
        }
    }
}

/// A worker as a service: a loaded model that answers what a coordinator asks.
///
/// Life: `run()` returns when the worker has left; `drain()`, or the service group's graceful
/// shutdown, lets it finish what it computes, hand back the rest and say goodbye; a second
/// `drain()` does not wait for the computation's answer. Cancelling the task that runs it ends the
/// connection at once. `run()` always waits for a running computation to return, because
/// arithmetic cannot be interrupted.
package final class Worker: Service {
    /// How the session goes, the latest 64 unread ones. To be iterated once; ends with the worker.
    package let news: AsyncStream<WorkerNews>

    private let transport: any WorkerTransport
    private let model: any ComputeModel
    private let progress: (@Sendable () -> UInt64)?
    private let limits: Limits
    private let logger: Logger
    private let onHang: @Sendable (String) -> Void
    private let incarnation: UInt64
    private let clock = MonotonicClock()
    private let bench: Lock<Bench>
    private let newsSink: AsyncStream<WorkerNews>.Continuation
    private let errands: AsyncStream<Errand>
    private let errandSink: AsyncStream<Errand>.Continuation

    /// Something for the model to do.
    private enum Errand: Sendable {
        case prepare(Conditioning)
        case compute(AttemptID, WorkItem, Conditioning)
    }

    /// The decisions' state and the tensors it knows by name only.
    private struct Bench: Sendable {
        var state: WorkerState
        var questions: [AttemptID: WorkItem] = [:]
        var conditionings: [ContentDigest: Conditioning] = [:]
        /// Answers that the coordinator may ask for again.
        var kept: [AttemptID: Reply] = [:]
        var exit: WorkerExit?
        var sequence: UInt64 = 0
    }

    /// An answer, and the question that it answers.
    private struct Reply: Sendable {
        let answer: WorkAnswer
        let question: ContentDigest
    }

    /// What came with an event, for its effects.
    private enum Cargo {
        case nothing
        case question(WorkItem, ContentDigest)
        case reply(Reply)
        case conditioning(Conditioning)
    }

    /// Works over a transport that is ready; see also the initialiser that connects an endpoint.
    ///
    /// `progress` reads the model's operation counter, which lets the coordinator tell a long
    /// computation from a stuck one. `onHang` is called when a computation stands still for good:
    /// it cannot be interrupted, so only ending the process helps, and until then `run()` does
    /// not return.
    package init(
        transport: any WorkerTransport,
        name: String,
        identity: ModelIdentity,
        model: any ComputeModel,
        progress: (@Sendable () -> UInt64)? = nil,
        version: String,
        limits: Limits = .standard,
        onHang: @escaping @Sendable (String) -> Void = { _ in },
        logger: Logger
    ) {
        self.onHang = onHang
        self.transport = transport
        self.model = model
        self.progress = progress
        self.limits = limits
        self.logger = logger
        let incarnation = UInt64.random(in: 1...UInt64.max)
        self.incarnation = incarnation
        let hello = Hello(
            worker: WorkerID(name: name, incarnation: incarnation),
            slots: 1,
            identity: identity,
            version: version
        )
        bench = Lock(Bench(state: WorkerState(hello: hello, limits: limits)))
        (errands, errandSink) = AsyncStream.makeStream()
        (news, newsSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
    }

    /// Tasks that it has answered, known questions left out.
    package var answeredCount: Int { bench.withLock { $0.state.answeredCount } }

    /// Once in a worker's life. Throws ``WorkerError``, or `CancellationError` when cancelled.
    package func run() async throws {
        defer { newsSink.finish() }
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask {
                    defer { self.errandSink.finish() }
                    try await self.transport.run(tickInterval: self.limits.tickInterval) {
                        self.handle(.tick(progress: self.progress?()))
                    }
                }
                group.addTask { await self.receive(from: self.transport) }
                handle(.started)
                for await errand in errands {
                    group.addTask { await self.perform(errand) }
                }
            }
        } onGracefulShutdown: {
            self.drain()
        }
        switch bench.withLock({ $0.exit }) {
        case .drained, .coordinatorLeft: return
        case .rejected(let rejection): throw WorkerError.rejected(rejection)
        case .coordinatorSilent(let time):
            throw WorkerError.coordinatorSilent(
                endpoint: transport.endpoint, time, trouble: transport.trouble)
        case .hung(let time): throw WorkerError.hung(time)
        case nil: throw CancellationError()
        }
    }

    /// Asks the worker to leave in order; again, without waiting.
    package func drain() { handle(.drain) }

    // MARK: Messages in

    private func receive(from transport: some WorkerTransport) async {
        for await frames in transport.inbound {
            do throws(WireError) {
                let (header, message) = try WireCodec.decode(frames, limits: limits)
                receive(message, life: header.life)
            } catch .incompatible(let version) {
                handle(.incompatible(version))
            } catch {
                logger.warning("a message was ignored", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func receive(_ message: WireMessage, life: CoordinatorLife) {
        switch message {
        case .welcome(let welcome): handle(.received(.welcome(welcome), life: life))
        case .reject(let rejection): handle(.received(.reject(rejection), life: life))
        case .openJob(let job, let digest):
            handle(.received(.openJob(job, conditioning: digest), life: life))
        case .asset(let conditioning):
            handle(
                .received(.asset(ContentDigest(conditioning.fingerprint)), life: life),
                .conditioning(conditioning))
        case .closeJob(let job): handle(.received(.closeJob(job), life: life))
        case .task(let attempt, let item, let digest):
            handle(.received(.task(attempt), life: life), .question(item, digest))
        case .cancel(let attempt): handle(.received(.cancel(attempt), life: life))
        case .heartbeatAck(let number): handle(.received(.heartbeatAck(number), life: life))
        case .goodbye(let reason): handle(.received(.goodbye(reason), life: life))
        case .drain: handle(.received(.drain, life: life))
        case .hello, .assetRequest, .jobReady, .result, .failure, .heartbeat, .controlRequest,
            .controlReply:
            logger.warning("the coordinator sent what only a worker sends; it was ignored")
        }
    }

    // MARK: The model

    private func perform(_ errand: Errand) async {
        switch errand {
        case .prepare(let conditioning):
            let digest = ContentDigest(conditioning.fingerprint)
            do {
                try await model.prepare(conditioning)
                handle(.prepared(digest, problem: nil))
            } catch {
                handle(.prepared(digest, problem: "\(error)"))
            }
        case .compute(let attempt, let item, let conditioning):
            let start = clock.now
            do {
                let answer = try await compute(item, conditioning)
                let reply = Reply(answer: answer, question: ContentDigest(item.fingerprint))
                handle(.computed(attempt, computeTime: clock.now - start), .reply(reply))
            } catch {
                handle(.computeFailed(attempt, Self.failure(of: error)))
            }
        }
    }

    /// A model may have dropped a conditioning to make room; then it is given again, once.
    private func compute(_ item: WorkItem, _ conditioning: Conditioning) async throws -> WorkAnswer
    {
        do {
            return try await model.compute(item, conditioning: conditioning.fingerprint)
        } catch ComputeError.unknownConditioning {
            try await model.prepare(conditioning)
            return try await model.compute(item, conditioning: conditioning.fingerprint)
        }
    }

    private static func failure(of error: any Error) -> TaskFailure {
        switch error {
        case ComputeError.unsuitable(let reason): TaskFailure(code: .unsuitable, reason: reason)
        case ComputeError.notFinite(_, let reason): TaskFailure(code: .notFinite, reason: reason)
        default: TaskFailure(code: .compute, reason: "\(error)")
        }
    }

    // MARK: Decisions

    /// Effects only put things into queues, so they are carried out under the lock, in order.
    private func handle(_ event: WorkerStateEvent, _ cargo: Cargo = .nothing) {
        bench.withLock { bench in
            if case .received(.task(let attempt), _) = event, case .question(let item, _) = cargo,
                // What waits under this name keeps its question, whoever says what now.
                bench.questions[attempt] == nil
            {
                bench.questions[attempt] = item
            }
            for effect in bench.state.handle(event, at: clock.now) {
                perform(effect, cargo, bench: &bench)
            }
        }
    }

    private func perform(_ effect: WorkerEffect, _ cargo: Cargo, bench: inout Bench) {
        switch effect {
        case .send(let message, let expendable):
            send(message, cargo, expendable: expendable, bench: &bench)
        case .prepare(let digest):
            guard case .conditioning(let conditioning) = cargo else {
                preconditionFailure("nothing to prepare")
            }
            bench.conditionings[digest] = conditioning
            errandSink.yield(.prepare(conditioning))
        case .compute(let attempt):
            guard let item = bench.questions.removeValue(forKey: attempt) else {
                preconditionFailure("\(attempt) has no question")
            }
            guard let digest = bench.state.conditioning(of: attempt.task.job),
                let conditioning = bench.conditionings[digest]
            else { preconditionFailure("\(attempt) began without its conditioning") }
            errandSink.yield(.compute(attempt, item, conditioning))
        case .discard(let attempt): bench.questions[attempt] = nil
        case .keep(let attempt):
            guard case .reply(let reply) = cargo else {
                preconditionFailure("nothing to keep")
            }
            bench.kept[attempt] = reply
        case .drop(let attempt): bench.kept[attempt] = nil
        case .forget(let digest): bench.conditionings[digest] = nil
        case .news(let news): newsSink.yield(news)
        case .exit(let exit):
            bench.exit = exit
            logger.debug("leaving", metadata: ["reason": "\(exit)"])
            transport.shutdown()
            if case .hung(let time) = exit { onHang("\(WorkerError.hung(time))") }
        }
    }

    private func send(
        _ message: WorkerMessage,
        _ cargo: Cargo,
        expendable: Bool,
        bench: inout Bench
    ) {
        bench.sequence += 1
        let header = WireHeader(
            sequence: bench.sequence, life: bench.state.currentLife, incarnation: incarnation)
        do throws(WireError) {
            let frames = try WireCodec.encode(
                Self.wireMessage(message, cargo, kept: bench.kept), header: header, limits: limits)
            transport.send(frames, expendable: expendable)
        } catch {
            guard case .result(let attempt, _) = message else {
                return logger.critical("a message could not be sent: \(error)")
            }
            let failure = TaskFailure(
                code: .unsuitable, reason: "the answer is too large: \(error)")
            send(.failure(attempt, failure), .nothing, expendable: false, bench: &bench)
        }
    }

    private static func wireMessage(
        _ message: WorkerMessage, _ cargo: Cargo, kept: [AttemptID: Reply]
    ) -> WireMessage {
        switch message {
        case .hello(let hello): .hello(hello)
        case .assetRequest(let digest): .assetRequest(digest)
        case .jobReady(let job, let problem): .jobReady(job, problem: problem)
        case .result(let attempt, let time):
            if let reply = kept[attempt] {
                result(attempt, reply, computeTime: time)
            } else if case .reply(let reply) = cargo {
                result(attempt, reply, computeTime: time)
            } else {
                preconditionFailure("a result without an answer")
            }
        case .failure(let attempt, let failure): .failure(attempt, failure)
        case .heartbeat(let heartbeat): .heartbeat(heartbeat)
        case .goodbye(let reason): .goodbye(reason)
        }
    }

    private static func result(
        _ attempt: AttemptID, _ reply: Reply, computeTime: Duration
    ) -> WireMessage {
        .result(attempt, reply.answer, question: reply.question, computeTime: computeTime)
    }
}
