internal import DequeModule

/// Everything that can happen to a worker.
package enum WorkerStateEvent: Sendable {
    /// The transport runs.
    case started
    case received(CoordinatorMessage, life: CoordinatorLife)
    /// The coordinator's messages are of another major version.
    case incompatible(WireVersion)
    /// The model took a conditioning in, or could not.
    case prepared(ContentDigest, problem: String?)
    case computed(AttemptID, computeTime: Duration)
    case computeFailed(AttemptID, TaskFailure)
    /// Some time has passed; the model's operation counter now, if it has one.
    case tick(progress: UInt64?)
    /// Finish what is being computed and leave.
    case drain
}

/// What the worker's owner has to do.
package enum WorkerEffect: Hashable, Sendable {
    /// The owner adds the answer to a result. Expendable: not worth queueing.
    case send(WorkerMessage, expendable: Bool)
    /// Give the model the conditioning that came with this very event.
    case prepare(ContentDigest)
    case compute(AttemptID)
    /// Keep the answer that came with this very event, should its message get lost.
    case keep(AttemptID)
    /// The kept answer is no longer needed.
    case drop(AttemptID)
    /// The question, or the answer being computed, is no longer wanted.
    case discard(AttemptID)
    /// The conditioning may be dropped.
    case forget(ContentDigest)
    case news(WorkerNews)
    case exit(WorkerExit)
}

/// How a worker's life ends.
package enum WorkerExit: Hashable, Sendable {
    /// It was asked to leave, and left.
    case drained
    /// The coordinator said goodbye.
    case coordinatorLeft
    case rejected(Rejection)
    /// Nothing was heard from the coordinator for this long.
    case coordinatorSilent(Duration)
    /// The computation has made no progress for this long: the process is of no use any more.
    case hung(Duration)
}

/// All decisions of a worker as a value; its owner computes and sends.
package struct WorkerState: Sendable {
    private enum Phase: Hashable {
        case joining, joined
        /// Said goodbye; waits for the answer that says that all has arrived.
        case leaving(since: Instant)
        case left
    }

    private let hello: Hello
    private let limits: Limits
    private var phase = Phase.joining
    private var life = CoordinatorLife.unknown
    private var drainingSince: Instant?
    private var waiting: Deque<AttemptID> = []
    private var running: [AttemptID] = []
    private var unwanted: Set<AttemptID> = []
    /// Answers kept in case their message got lost, oldest first.
    private var kept: Deque<(attempt: AttemptID, computeTime: Duration)> = []
    /// Tasks that were answered, known questions left out.
    package private(set) var answeredCount = 0
    private var speed = SpeedRecord()
    private var progress: UInt64?
    private var progressedAt: Instant?
    private var jobs: [JobID: ContentDigest] = [:]
    /// Conditionings in the model, least recently asked for first.
    private var prepared: [ContentDigest] = []
    private var preparing: Set<ContentDigest> = []
    private var lastHeard: Instant?
    private var lastHello: Instant?
    private var lastTick: Instant?
    private var lastHeartbeat: Instant?
    private var heartbeats: UInt64 = 0
    private var heartbeatInterval: Duration
    private var effects: [WorkerEffect] = []

    package init(hello: Hello, limits: Limits) {
        precondition(hello.slots >= 1, "a worker has at least one slot")
        self.hello = hello
        self.limits = limits
        self.heartbeatInterval = limits.heartbeatInterval
    }

    /// The session's coordinator; unknown before the first welcome.
    package var currentLife: CoordinatorLife { life }

    /// What an open job's tasks need; nil for an unknown job.
    package func conditioning(of job: JobID) -> ContentDigest? { jobs[job] }

    /// Takes one event in. `now` never falls between calls. Nothing comes out after an exit.
    package mutating func handle(_ event: WorkerStateEvent, at now: Instant) -> [WorkerEffect] {
        effects.removeAll()
        guard phase != .left else { return [] }
        switch event {
        case .started: greet(at: now)
        case .received(let message, let life): received(message, life: life, at: now)
        case .incompatible(let theirs):
            exit(.rejected(Self.incompatible(with: theirs)))
        case .prepared(let digest, let problem): finishPreparing(digest, problem: problem)
        case .computed(let attempt, let time):
            finish(attempt, .result(attempt, computeTime: time), at: now)
        case .computeFailed(let attempt, let failure):
            finish(attempt, .failure(attempt, failure), at: now)
        case .tick(let progress): tick(progress: progress, at: now)
        case .drain: drain(at: now)
        }
        return effects
    }

    private static func incompatible(with theirs: WireVersion) -> Rejection {
        Rejection(
            code: .wireVersion,
            reason: "the coordinator speaks wire version \(theirs), this worker "
                + "\(WireVersion.current); upgrade workers first, then the coordinator")
    }

    // MARK: The session

    private mutating func received(
        _ message: CoordinatorMessage,
        life theirs: CoordinatorLife,
        at now: Instant
    ) {
        guard isHeeded(message, of: theirs) else {
            // One of the same name, of the present life, keeps its question.
            if case .task(let attempt) = message, !waiting.contains(attempt) {
                effects.append(.discard(attempt))
            }
            return
        }
        lastHeard = now
        switch message {
        case .welcome(let welcome):
            if phase == .joining {
                phase = .joined
                effects.append(.news(.joined))
            }
            life = theirs
            heartbeatInterval = welcome.heartbeatInterval
        case .reject(let rejection):
            if drainingSince != nil {
                exit(.drained)
            } else if rejection.code == .unknownSession {
                rejoin(.forgotten, at: now)
            } else {
                exit(.rejected(rejection))
            }
        case .openJob(let job, let digest):
            // Between sessions nothing is open; the next welcome brings the open jobs again.
            if phase == .joined { open(job, conditioning: digest) }
        case .asset(let digest):
            guard !prepared.contains(digest), preparing.insert(digest).inserted else { return }
            effects.append(.prepare(digest))
        case .closeJob(let job): close(job)
        case .task(let attempt): accept(attempt)
        case .cancel(let attempt): cancel(attempt)
        case .heartbeatAck: break
        case .goodbye(.returning) where drainingSince == nil:
            rejoin(.coordinatorReturning, at: now)
        case .goodbye: exit(drainingSince == nil ? .coordinatorLeft : .drained)
        case .drain:
            // Said twice it means the same; only the owner's second word does not wait.
            if drainingSince == nil { drain(at: now) }
        }
    }

    /// What an earlier life of the coordinator says is void. In a session, another coordinator
    /// that came to the address can only say that it does not know this worker.
    private func isHeeded(_ message: CoordinatorMessage, of theirs: CoordinatorLife) -> Bool {
        if theirs.isVoid(before: life) { return false }
        guard phase == .joined, theirs.realm != life.realm else { return true }
        switch message {
        case .welcome: return true
        case .reject(let rejection): return rejection.code == .unknownSession
        default: return false
        }
    }

    private mutating func greet(at now: Instant) {
        lastHello = now
        lastHeard = lastHeard ?? now
        send(.hello(hello), expendable: true)
    }

    /// The coordinator does not know this worker, or has been silent too long for a session:
    /// what it asked for is asked again elsewhere.
    private mutating func rejoin(_ news: WorkerNews, at now: Instant) {
        if phase == .joined { effects.append(.news(news)) }
        phase = .joining
        for attempt in waiting { effects.append(.discard(attempt)) }
        waiting.removeAll()
        jobs.removeAll()
        dropUnusedConditionings()
        dropKept { _ in true }
        greet(at: now)
    }

    private mutating func tick(progress: UInt64?, at now: Instant) {
        forgiveOwnStall(at: now)
        if let standstill = standstill(progress: progress, at: now) {
            return exit(.hung(standstill))
        }
        let silence = now - (lastHeard ?? now)
        if silence >= limits.orphanTimeout { return exit(.coordinatorSilent(silence)) }
        if let drainingSince, now - drainingSince >= limits.drainGrace { leave(at: now) }
        switch phase {
        case .joining:
            if now - (lastHello ?? now) >= limits.helloInterval { greet(at: now) }
        case .joined:
            if silence >= limits.lostAfter {
                rejoin(.coordinatorSilent(silence), at: now)
            } else if lastHeartbeat.map({ now - $0 >= heartbeatInterval }) ?? true {
                heartbeat(progress: progress, at: now)
            }
        case .leaving(let since):
            if now - since >= limits.linger { exit(.drained) }
        case .left: break
        }
    }

    /// A worker that was itself stopped must not take the coordinator for dead.
    private mutating func forgiveOwnStall(at now: Instant) {
        if let lastTick, now - lastTick > limits.suspectAfter {
            lastHeard = lastHeard.map { $0 + (now - lastTick) }
            progressedAt = progressedAt.map { $0 + (now - lastTick) }
        }
        lastTick = now
    }

    /// How long the computation in hand has stood still, when that is too long: the coordinator
    /// has given the task to others by then, and only a new process can be of use again.
    private mutating func standstill(progress: UInt64?, at now: Instant) -> Duration? {
        let hasMoved = progress == nil || progress != self.progress || running.isEmpty
        self.progress = progress
        if hasMoved { progressedAt = now }
        let time = now - (progressedAt ?? now)
        let usual = speed.median ?? .zero
        let limit = max(limits.minimumStuck, usual * limits.stuckFactor) * limits.watchdogFactor
        return time >= limit ? time : nil
    }

    private mutating func heartbeat(progress: UInt64?, at now: Instant) {
        lastHeartbeat = now
        heartbeats += 1
        let beat = Heartbeat(number: heartbeats, inHand: running + waiting, progress: progress)
        send(.heartbeat(beat), expendable: true)
    }

    private mutating func exit(_ reason: WorkerExit) {
        phase = .left
        effects.append(.exit(reason))
    }

    // MARK: Jobs

    private mutating func open(_ job: JobID, conditioning digest: ContentDigest) {
        if let former = jobs[job], former != digest { handBack(of: job) }
        jobs[job] = digest
        if let position = prepared.firstIndex(of: digest) {
            prepared.append(prepared.remove(at: position))
            send(.jobReady(job, problem: nil))
        } else if !preparing.contains(digest) {
            send(.assetRequest(digest))
        }
    }

    /// What waits was asked with a conditioning that the job no longer names.
    private mutating func handBack(of job: JobID) {
        for attempt in waiting where attempt.task.job == job {
            cancel(attempt)
            send(
                .failure(
                    attempt,
                    TaskFailure(code: .handedBack, reason: "its job was opened for another text")))
        }
    }

    private mutating func finishPreparing(_ digest: ContentDigest, problem: String?) {
        preparing.remove(digest)
        if problem != nil {
            effects.append(.forget(digest))
        } else {
            prepared.append(digest)
            dropUnusedConditionings()
        }
        for (job, wanted) in jobs where wanted == digest {
            send(.jobReady(job, problem: problem))
        }
    }

    /// A picture may have more texts than are kept: they go when it is over.
    private mutating func dropUnusedConditionings() {
        let inUse = Set(jobs.values)
        while prepared.count > limits.maximumConditionings,
            let position = prepared.firstIndex(where: { !inUse.contains($0) })
        {
            effects.append(.forget(prepared.remove(at: position)))
        }
    }

    private mutating func close(_ job: JobID) {
        jobs[job] = nil
        dropUnusedConditionings()
        dropKept { $0.task.job == job }
        for attempt in waiting where attempt.task.job == job { cancel(attempt) }
        for attempt in running where attempt.task.job == job { cancel(attempt) }
    }

    // MARK: Tasks

    private mutating func accept(_ attempt: AttemptID) {
        guard !waiting.contains(attempt) else { return }
        guard !running.contains(attempt) else { return effects.append(.discard(attempt)) }
        if let answer = kept.first(where: { $0.attempt == attempt }) {
            // Asked again: the answer was lost on its way.
            effects.append(.discard(attempt))
            return send(.result(attempt, computeTime: answer.computeTime))
        }
        let isFull = waiting.count >= hello.slots * limits.creditsPerSlot * 2
        guard phase == .joined, drainingSince == nil, !isFull,
            let digest = jobs[attempt.task.job], prepared.contains(digest)
        else {
            effects.append(.discard(attempt))
            let failure = TaskFailure(
                code: .handedBack,
                reason: drainingSince == nil ? "not ready for this task" : "leaving")
            return send(.failure(attempt, failure))
        }
        waiting.append(attempt)
        startNext()
    }

    private mutating func startNext() {
        while running.count < hello.slots, let attempt = waiting.popFirst() {
            running.append(attempt)
            effects.append(.compute(attempt))
        }
    }

    private mutating func cancel(_ attempt: AttemptID) {
        if let position = waiting.firstIndex(of: attempt) {
            waiting.remove(at: position)
            effects.append(.discard(attempt))
        } else if running.contains(attempt), unwanted.insert(attempt).inserted {
            effects.append(.discard(attempt))
        } else {
            dropKept { $0 == attempt }
        }
    }

    /// Keeps an answer until others have pushed it out: a lost one is asked for within seconds.
    private mutating func keep(_ attempt: AttemptID, computeTime: Duration) {
        effects.append(.keep(attempt))
        kept.append((attempt, computeTime))
        if kept.count > hello.slots * limits.creditsPerSlot, let oldest = kept.popFirst() {
            effects.append(.drop(oldest.attempt))
        }
    }

    private mutating func dropKept(where isDropped: (AttemptID) -> Bool) {
        for answer in kept where isDropped(answer.attempt) {
            effects.append(.drop(answer.attempt))
        }
        kept.removeAll { isDropped($0.attempt) }
    }

    private mutating func finish(
        _ attempt: AttemptID,
        _ message: WorkerMessage,
        at now: Instant
    ) {
        guard let position = running.firstIndex(of: attempt) else { return }
        running.remove(at: position)
        if case .result(_, let time) = message { speed.add(time) }
        if unwanted.remove(attempt) == nil {
            if case .result(_, let time) = message, phase == .joined {
                keep(attempt, computeTime: time)
            }
            send(message)
            if case .result = message, attempt.task.round > 0 { answeredCount += 1 }
        } else if drainingSince == nil {
            // Nobody wants the answer, but that the hands are free again is worth a word.
            send(.failure(attempt, TaskFailure(code: .handedBack, reason: "it was cancelled")))
        }
        startNext()
        if drainingSince != nil, running.isEmpty { leave(at: now) }
    }

    // MARK: Leaving

    private mutating func drain(at now: Instant) {
        guard drainingSince == nil else { return leave(at: now) }
        drainingSince = now
        for attempt in waiting {
            effects.append(.discard(attempt))
            send(.failure(attempt, TaskFailure(code: .handedBack, reason: "leaving")))
        }
        waiting.removeAll()
        guard !running.isEmpty else { return leave(at: now) }
        effects.append(.news(.draining(tasks: running.count)))
        send(.goodbye(.draining))
    }

    private mutating func leave(at now: Instant) {
        switch phase {
        case .leaving, .left: return
        case .joining: return exit(.drained)
        case .joined: break
        }
        for attempt in running where unwanted.insert(attempt).inserted {
            effects.append(.discard(attempt))
            send(.failure(attempt, TaskFailure(code: .handedBack, reason: "leaving")))
        }
        send(.goodbye(.leaving))
        phase = .leaving(since: now)
    }

    private mutating func send(_ message: WorkerMessage, expendable: Bool = false) {
        effects.append(.send(message, expendable: expendable))
    }
}

extension WorkerState {
    /// Attempts whose questions are kept for later.
    package var waitingCount: Int { waiting.count }

    /// Where queues, slots and conditionings contradict each other or their limits, in words;
    /// empty as long as all is well.
    package func inconsistencies() -> [String] {
        var problems: [String] = []
        if running.count > hello.slots {
            problems.append("\(running.count) computations in \(hello.slots) slots")
        }
        if waiting.count > hello.slots * limits.creditsPerSlot * 2 {
            problems.append("\(waiting.count) attempts wait")
        }
        if Set(waiting).union(running).count < waiting.count + running.count {
            problems.append("an attempt is in hand twice")
        }
        if !unwanted.isSubset(of: running) { problems.append("an unwanted attempt is not running") }
        if kept.count > hello.slots * limits.creditsPerSlot {
            problems.append("\(kept.count) answers are kept")
        }
        if prepared.count > max(limits.maximumConditionings, jobs.count) {
            problems.append("\(prepared.count) conditionings are kept")
        }
        return problems
    }
}
