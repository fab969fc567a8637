internal import OrderedCollections

/// Permission to work: an attempt, and until when it is taken to be alive.
struct Lease: Hashable, Sendable {
    /// When it came to the head of its worker's queue; nil while prefetched.
    var runningSince: Instant?
    var deadline: Instant
    /// When the holder's progress counter last moved, or could not be seen to stand still.
    var progressedAt: Instant
    /// When the task message was first sent.
    let sentSince: Instant
    /// When the task message was last sent.
    var sentAt: Instant
    /// How often it was sent again.
    var resends = 0
    /// Whether a heartbeat ever named the attempt: the task message arrived.
    var wasSeen = false

    init(sentAt: Instant, deadline: Instant) {
        sentSince = sentAt
        self.sentAt = sentAt
        self.deadline = deadline
        self.progressedAt = sentAt
    }
}

/// Questions with known answers that a worker has to answer before it computes for a job.
struct Trial: Hashable, Sendable {
    let job: JobID
    var open: Set<AttemptID>
}

/// What the coordinator knows of one connected worker.
struct WorkerRecord: Sendable {
    let hello: Hello
    var lastHeard: Instant
    var isSuspect = false
    var isDraining = false
    /// Malformed messages and unsound answers, but for those that are not finite, since the last
    /// accepted answer.
    var strikes = 0
    /// Failed attempts since the last accepted answer.
    var errorsInARow = 0
    /// Until when it is left alone; nil when it may work.
    var quarantinedUntil: Instant?
    /// Whether it gave the known answers since it joined or was last in trouble.
    var isProven = false
    var trial: Trial?
    /// Why its latest trial came to nothing; nil when none has, or it is proven since.
    var trialProblem: String?
    /// Trials begun, which number their attempts.
    var trials: UInt32 = 0
    var progress: UInt64?
    /// Jobs whose conditioning it has.
    var preparedJobs: Set<JobID> = []
    /// Jobs whose tasks it may be given.
    var readyJobs: Set<JobID> = []
    /// A moving average of its compute times, and when the latest came.
    var speeds: [TaskKind: (time: Duration, at: Instant)] = [:]
    /// When each job was last announced to it.
    var announcedAt: [JobID: Instant] = [:]
    /// Attempts in hand, in the order they were handed out: the first `slots` are running.
    var leases: OrderedDictionary<AttemptID, Lease> = [:]
    /// Attempts that were cancelled while they ran, since when they ran: arithmetic cannot be
    /// interrupted, so the worker is busy with them still.
    var cancelled: [AttemptID: Instant] = [:]

    init(hello: Hello, lastHeard: Instant) {
        self.hello = hello
        self.lastHeard = lastHeard
    }

    var id: WorkerID { hello.worker }
    var takesTasks: Bool { !isSuspect && !isDraining && quarantinedUntil == nil }

    /// Slots that are not kept busy by what nobody wants any more.
    var freeSlots: Int { max(0, hello.slots - cancelled.count) }

    /// Takes a compute time into the average, half and half: a change of speed shows at once.
    mutating func noteSpeed(of kind: TaskKind, _ time: Duration, at now: Instant) {
        let average = speeds[kind].map { ($0.time + time) / 2 } ?? time
        speeds[kind] = (average, now)
    }

    /// Attempts that are computed now, as far as one can know from here.
    var running: [AttemptID] { Array(leases.keys.prefix(freeSlots)) }
}

/// The connected workers, in the order they joined.
struct WorkerRoster: Sendable {
    private var records: OrderedDictionary<PeerID, WorkerRecord> = [:]

    var count: Int { records.count }
    var peers: [PeerID] { Array(records.keys) }

    /// Workers that are neither leaving nor gone; the silent ones may come back.
    var liveCount: Int { records.values.count { !$0.isDraining } }

    subscript(peer: PeerID) -> WorkerRecord? {
        get { records[peer] }
        set { records[peer] = newValue }
    }

    /// Whether several workers go by this name now.
    func isShared(_ name: String) -> Bool { records.values.count { $0.id.name == name } > 1 }

    /// In the order of joining.
    var all: OrderedDictionary<PeerID, WorkerRecord> { records }

    /// Ends a lease whose holder may be computing it: it stays busy until it says otherwise.
    mutating func cancel(_ attempt: AttemptID, of peer: PeerID) {
        guard let lease = records[peer]?.leases.removeValue(forKey: attempt) else { return }
        if let since = lease.runningSince { records[peer]?.cancelled[attempt] = since }
    }

    /// A cancelled attempt is over; how long it took says how fast the worker is.
    mutating func endCancelled(_ attempt: AttemptID, of peer: PeerID, at now: Instant) {
        guard let since = records[peer]?.cancelled.removeValue(forKey: attempt) else { return }
        records[peer]?.noteSpeed(of: attempt.task.kind, now - since, at: now)
    }

    mutating func endLease(_ attempt: AttemptID, of peer: PeerID) {
        records[peer]?.leases.removeValue(forKey: attempt)
    }

    /// Starts the clock of attempts that have come to the head of their worker's queue.
    mutating func noteRunning(at now: Instant) {
        for peer in peers {
            for attempt in records[peer]?.running ?? []
            where records[peer]?.leases[attempt]?.runningSince == nil {
                records[peer]?.leases[attempt]?.runningSince = now
            }
        }
    }

    /// Nothing was heard for `gap` because the coordinator itself stood still: nobody's silence.
    mutating func forgive(_ gap: Duration) {
        for peer in peers {
            guard var record = records[peer] else { continue }
            record.lastHeard = record.lastHeard + gap
            for attempt in record.leases.keys {
                guard var lease = record.leases[attempt] else { continue }
                lease.deadline = lease.deadline + gap
                lease.progressedAt = lease.progressedAt + gap
                lease.sentAt = lease.sentAt + gap
                record.leases[attempt] = lease
            }
            records[peer] = record
        }
    }
}
