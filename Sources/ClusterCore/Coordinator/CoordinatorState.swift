internal import OrderedCollections

/// One open job.
struct JobRecord: Sendable {
    let conditioning: ContentDigest
    var ledger = TaskLedger()
    var speed: [TaskKind: SpeedRecord] = [:]
    /// Answers delivered that the loop has not taken yet.
    var unconsumed = 0
    var submitted = 0
    /// Copies made for speed.
    var copies = 0
    /// Since when tasks have been open without a worker.
    var waitingSince: Instant?
    /// Workers that could not take the conditioning in, with their reasons.
    var refusals: OrderedDictionary<PeerID, String> = [:]

    init(conditioning: ContentDigest) { self.conditioning = conditioning }
}

/// All decisions of a coordinator as a value: events and the time go in, effects come out.
///
/// It knows tasks by name only. Tensors, sockets and clocks belong to its owner, who calls
/// `handle` for every event, one at a time, and carries the effects out in order.
package struct CoordinatorState: Sendable {
    package let expected: ModelIdentity
    package let epoch: Epoch
    package let limits: Limits
    /// The program's version, told to workers.
    package let version: String

    var roster = WorkerRoster()
    var jobs: OrderedDictionary<JobID, JobRecord> = [:]
    /// The latest refusals, as evidence for a job that finds no worker.
    var rejections: [String] = []
    var lastTick: Instant?
    var isShuttingDown = false
    var effects: [CoordinatorEffect] = []

    package init(expected: ModelIdentity, epoch: Epoch, version: String, limits: Limits) {
        self.expected = expected
        self.epoch = epoch
        self.version = version
        self.limits = limits
    }

    /// Workers in the roster that are not leaving.
    package var liveWorkers: Int { roster.liveCount }

    /// Attempts in workers' hands, over all workers.
    package var attemptsInHand: Int { roster.all.values.reduce(0) { $0 + $1.leases.count } }

    /// Open tasks of a job; 0 for an unknown one.
    package func openTasks(of job: JobID) -> Int { jobs[job]?.ledger.openCount ?? 0 }

    /// Takes one event in. `now` never falls between calls.
    package mutating func handle(
        _ event: CoordinatorEvent,
        at now: Instant
    ) -> [CoordinatorEffect] {
        effects.removeAll()
        switch event {
        case .received(let message, let peer): received(message, from: peer, at: now)
        case .unsound(let attempt, let reason, let peer):
            unsound(attempt, reason: reason, from: peer)
        case .malformed(let reason, let peer): malformed(reason, from: peer)
        case .incompatible(let version, let peer): incompatible(version, from: peer)
        case .disconnected(let peer): lose(peer, .disconnected)
        case .open(let job, let conditioning): open(job, conditioning: conditioning, at: now)
        case .submit(let job, let tasks): submit(tasks, to: job)
        case .consumed(let job):
            if let unconsumed = jobs[job]?.unconsumed, unconsumed > 0 {
                jobs[job]?.unconsumed = unconsumed - 1
            }
        case .close(let job): close(job)
        case .tick: tick(at: now)
        case .shutdown: shutdown()
        }
        if !isShuttingDown {
            noteWaiting(at: now)
            dispatch(at: now)
        }
        return effects
    }

    private mutating func received(
        _ message: WorkerMessage,
        from peer: PeerID,
        at now: Instant
    ) {
        hear(peer, at: now)
        switch message {
        case .hello(let hello): greet(hello, from: peer, at: now)
        case .result(let attempt, let time): take(attempt, computeTime: time, from: peer)
        case .failure(let attempt, let failure): failed(attempt, failure, at: peer)
        case .goodbye(.leaving): leave(peer)
        default:
            guard roster[peer] != nil else {
                return reject(
                    peer, .unknownSession, "this coordinator does not know you; say hello first")
            }
            switch message {
            case .assetRequest(let digest): send(.asset(digest), to: peer)
            case .jobReady(let job, let problem): ready(peer, for: job, problem: problem)
            case .heartbeat(let heartbeat): renew(heartbeat, of: peer, at: now)
            case .goodbye: drain(peer)
            case .hello, .result, .failure: break
            }
        }
    }

    // MARK: Jobs

    private mutating func open(_ job: JobID, conditioning: ContentDigest, at now: Instant) {
        precondition(jobs[job] == nil, "job \(job) is already open")
        guard !isShuttingDown else { return fail(job, .shutdown) }
        jobs[job] = JobRecord(conditioning: conditioning)
        for peer in roster.peers { announce(job, to: peer, at: now) }
    }

    private mutating func submit(_ tasks: [TaskID], to job: JobID) {
        guard jobs[job] != nil else { return fail(job, .shutdown) }
        precondition(tasks.allSatisfy { $0.job == job }, "a batch belongs to one job")
        jobs[job]?.ledger.submit(tasks)
        jobs[job]?.submitted += tasks.count
    }

    /// Forgets a job: what is in hand is cancelled, workers may drop its conditioning.
    mutating func close(_ job: JobID) {
        guard jobs.removeValue(forKey: job) != nil else { return }
        for (peer, record) in roster.all {
            for attempt in record.leases.keys where attempt.task.job == job {
                roster.endLease(attempt, of: peer)
                send(.cancel(attempt), to: peer)
            }
            roster[peer]?.readyJobs.remove(job)
            roster[peer]?.announcedAt[job] = nil
            send(.closeJob(job), to: peer)
        }
    }

    mutating func fail(_ job: JobID, _ failure: JobFailure) {
        close(job)
        effects.append(.fail(job, failure))
    }

    private mutating func shutdown() {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        for (job, record) in jobs {
            if record.ledger.openCount > 0 { fail(job, .shutdown) } else { close(job) }
        }
        for peer in roster.peers {
            send(.goodbye(.leaving), to: peer)
            roster[peer] = nil
        }
    }

    // MARK: Small effects

    mutating func send(_ message: CoordinatorMessage, to peer: PeerID) {
        effects.append(.send(message, to: peer))
    }

    mutating func note(_ note: CoordinatorNote) { effects.append(.note(note)) }

    mutating func announce(_ event: WorkerEvent) { effects.append(.worker(event)) }
}
