internal import OrderedCollections

/// One open job.
struct JobRecord: Sendable {
    let conditioning: ContentDigest
    /// Questions with known answers: see ``CoordinatorEvent/open(_:conditioning:trial:)``.
    let trial: [TaskKind]
    var ledger = TaskLedger()
    var speed: [TaskKind: SpeedRecord] = [:]
    /// Answers delivered that the loop has not taken yet.
    var unconsumed = 0
    var submitted = 0
    /// What the latest batch asks for.
    var kind = TaskKind.denoise
    /// Copies made for speed.
    var copies = 0
    /// Since when tasks have been open and nobody was ready for them.
    var waitingSince: Instant?
    /// Since when a task has had answers and nobody was ready to confirm one of them.
    var disputedSince: Instant?
    /// Since when a task has failed too often on too few workers, and no other was there.
    var doubtedSince: Instant?
    /// Workers that could not take the conditioning in, with their reasons.
    var refusals: OrderedDictionary<PeerID, String> = [:]
    /// Answers taken on one worker's word alone.
    var unconfirmed: [WorkerID: Int] = [:]

    init(conditioning: ContentDigest, trial: [TaskKind]) {
        self.conditioning = conditioning
        self.trial = trial
    }
}

/// Which tasks are computed by two workers whose answers have to agree.
package struct Confirmation: Hashable, Codable, Sendable {
    /// The part of all tasks, 0 ... 100 percent.
    package let percent: Double
    /// Decides which; unknown to workers.
    package let salt: UInt64

    package init(percent: Double, salt: UInt64) {
        precondition((0...100).contains(percent), "a part between nothing and all")
        self.percent = percent
        self.salt = salt
    }

    package static let none = Confirmation(percent: 0, salt: 0)

    /// Equal for equal tasks, and uniform over tasks: one round of SplitMix64's finaliser (Steele,
    /// Lea & Flood 2014) for each number of the task's name.
    func covers(_ task: TaskID) -> Bool {
        guard percent > 0 else { return false }
        var mixed = salt
        for number in [task.job.value, UInt64(task.round), UInt64(task.index)] {
            mixed = Self.mix(mixed ^ number)
        }
        return Double(mixed >> 11) / Double(1 << 53) * 100 < percent
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// All decisions of a coordinator as a value: events and the time go in, effects come out.
///
/// It knows tasks by name only. Tensors, sockets and clocks belong to its owner, who calls
/// `handle` for every event, one at a time, and carries the effects out in order.
package struct CoordinatorState: Sendable {
    package let setup: CoordinatorSetup

    var roster = WorkerRoster()
    var histories = WorkerHistories()
    package internal(set) var counters = ClusterCounters()
    var jobs: OrderedDictionary<JobID, JobRecord> = [:]
    /// The latest refusals, as evidence for a job that finds no worker.
    var rejections: [String] = []
    /// The latest peers that were turned away.
    var barred: [PeerID] = []
    var lastTick: Instant?
    var isShuttingDown = false
    var effects: [CoordinatorEffect] = []

    package init(_ setup: CoordinatorSetup) { self.setup = setup }

    var limits: Limits { setup.limits }

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
        case .answered(let attempt, let time, let digest, let peer):
            hear(peer, at: now)
            take(attempt, computeTime: time, digest: digest, from: peer, at: now)
        case .unsound(let attempt, let failure, let peer):
            hear(peer, at: now)
            unsound(attempt, failure, from: peer, at: now)
        case .malformed(let reason, let peer): malformed(reason, from: peer)
        case .incompatible(let version, let peer): incompatible(version, from: peer)
        case .disconnected(let peer): lose(peer, .disconnected)
        case .open(let job, let conditioning, let trial):
            open(job, JobRecord(conditioning: conditioning, trial: trial), at: now)
        case .submit(let job, let tasks): submit(tasks, to: job)
        case .consumed(let job):
            if let unconsumed = jobs[job]?.unconsumed, unconsumed > 0 {
                jobs[job]?.unconsumed = unconsumed - 1
            }
        case .close(let job): close(job)
        case .tick: tick(at: now)
        case .shutdown(let isReturning): shutdown(isReturning: isReturning)
        }
        if !isShuttingDown {
            noteWaiting(at: now)
            endDoubts(at: now)
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
        case .result(let attempt, let time):
            take(attempt, computeTime: time, digest: ContentDigest(0), from: peer, at: now)
        case .failure(let attempt, let failure) where failure.code == .notFinite:
            // As if the values had come: whoever looks at them finds the same.
            unsound(attempt, failure, from: peer, at: now)
        case .failure(let attempt, let failure): failed(attempt, failure, of: peer, at: now)
        case .goodbye(.leaving): leave(peer)
        default:
            guard roster[peer] != nil else {
                return reject(
                    peer, .unknownSession, "this coordinator does not know you; say hello first")
            }
            switch message {
            case .assetRequest(let digest): send(.asset(digest), to: peer)
            case .jobReady(let job, let problem): ready(peer, for: job, problem: problem, at: now)
            case .heartbeat(let heartbeat): renew(heartbeat, of: peer, at: now)
            case .goodbye: drain(peer)
            case .hello, .result, .failure: break
            }
        }
    }

    // MARK: Jobs

    private mutating func open(_ job: JobID, _ record: JobRecord, at now: Instant) {
        precondition(jobs[job] == nil, "job \(job) is already open")
        guard !isShuttingDown else { return fail(job, .shutdown) }
        jobs[job] = record
        for peer in roster.peers { announce(job, to: peer, at: now) }
    }

    private mutating func submit(_ tasks: [TaskID], to job: JobID) {
        guard jobs[job] != nil else { return fail(job, .shutdown) }
        precondition(
            tasks.allSatisfy { $0.job == job && $0.round > 0 },
            "a batch belongs to one job, and round 0 to the trial")
        jobs[job]?.ledger.submit(
            tasks, confirming: Set(tasks.filter { setup.confirmation.covers($0) }))
        jobs[job]?.submitted += tasks.count
        if let kind = tasks.first?.kind { jobs[job]?.kind = kind }
    }

    /// Forgets a job: what is in hand is cancelled, workers may drop its conditioning.
    mutating func close(_ job: JobID) {
        guard jobs.removeValue(forKey: job) != nil else { return }
        for (peer, record) in roster.all {
            for attempt in record.leases.keys where attempt.task.job == job {
                cancel(attempt, of: peer)
            }
            roster[peer]?.readyJobs.remove(job)
            roster[peer]?.preparedJobs.remove(job)
            roster[peer]?.announcedAt[job] = nil
            if record.trial?.job == job { roster[peer]?.trial = nil }
            send(.closeJob(job), to: peer)
        }
    }

    mutating func fail(_ job: JobID, _ failure: JobFailure) {
        close(job)
        effects.append(.fail(job, failure))
    }

    private mutating func shutdown(isReturning: Bool) {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        for (job, record) in jobs {
            if record.ledger.openCount > 0 { fail(job, .shutdown) } else { close(job) }
        }
        for peer in roster.peers {
            send(.goodbye(isReturning ? .returning : .leaving), to: peer)
            roster[peer] = nil
        }
    }

    // MARK: Small effects

    mutating func send(_ message: CoordinatorMessage, to peer: PeerID) {
        effects.append(.send(message, to: peer))
    }

    mutating func note(_ note: CoordinatorNote) {
        switch note {
        case .staleResult: counters.stale += 1
        case .attemptFailed: counters.failed += 1
        case .leaseExpired: counters.expired += 1
        case .copied: counters.copied += 1
        case .recalled: counters.recalled += 1
        case .malformed: counters.malformed += 1
        case .resent: counters.resent += 1
        case .unconfirmed: counters.unconfirmed += 1
        case .duplicateName, .forgave, .proven: break
        }
        effects.append(.note(note))
    }

    mutating func announce(_ event: WorkerEvent) {
        switch event {
        case .joined: counters.joined += 1
        case .rejected: counters.rejected += 1
        case .lost: counters.lost += 1
        case .quarantined: counters.quarantined += 1
        case .suspected, .recovered, .released, .doubted, .draining, .left: break
        }
        effects.append(.worker(event))
    }
}
