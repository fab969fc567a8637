internal import OrderedCollections

/// Permission to work: an attempt, and until when it is taken to be alive.
struct Lease: Hashable, Sendable {
    /// When it came to the head of its worker's queue; nil while prefetched.
    var runningSince: Instant?
    var deadline: Instant
    /// When the holder's progress counter last moved, or could not be seen to stand still.
    var progressedAt: Instant
    /// Whether a heartbeat ever named the attempt: the task message arrived.
    var wasSeen = false
}

/// What the coordinator knows of one connected worker.
struct WorkerRecord: Sendable {
    let hello: Hello
    var lastHeard: Instant
    var isSuspect = false
    var isDraining = false
    /// Malformed messages and unsound answers since the last accepted answer.
    var strikes = 0
    var progress: UInt64?
    var readyJobs: Set<JobID> = []
    /// When each job was last announced to it.
    var announcedAt: [JobID: Instant] = [:]
    /// Attempts in hand, in the order they were handed out: the first `slots` are running.
    var leases: OrderedDictionary<AttemptID, Lease> = [:]

    init(hello: Hello, lastHeard: Instant) {
        self.hello = hello
        self.lastHeard = lastHeard
    }

    var id: WorkerID { hello.worker }
    var takesTasks: Bool { !isSuspect && !isDraining }

    /// Attempts that are computed now, as far as one can know from here.
    var running: [AttemptID] { Array(leases.keys.prefix(hello.slots)) }
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

    /// In the order of joining.
    var all: OrderedDictionary<PeerID, WorkerRecord> { records }

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
                record.leases[attempt] = lease
            }
            records[peer] = record
        }
    }
}
