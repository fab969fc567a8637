internal import DequeModule

/// Evidence of one attempt that went wrong.
package struct AttemptFailure: Hashable, Sendable, CustomStringConvertible {
    package let attempt: AttemptID
    package let worker: WorkerID
    package let failure: TaskFailure

    package var description: String { "\(worker): \(failure.reason)" }
}

/// The open tasks of one job: waiting or tried, one winner each.
///
/// A task leaves the ledger with its first accepted answer; whatever comes for it later is stale.
/// Every open task is queued, or has a live attempt, or both (when a copy is wanted).
package struct TaskLedger: Sendable {
    /// An attempt in a worker's hands.
    struct Live: Hashable, Sendable {
        let attempt: AttemptID
        let peer: PeerID
    }

    struct Entry: Sendable {
        var triesMade: UInt32 = 0
        var live: [Live] = []
        var failures: [AttemptFailure] = []
        var isQueued = true
    }

    /// What becomes of an answer.
    enum Verdict: Equatable {
        /// The task is done; these other attempts of it are still in someone's hands.
        case accepted(others: [Live])
        /// Already answered, withdrawn, or of an earlier batch.
        case stale
        /// No such attempt was ever handed out.
        case neverIssued
    }

    private var entries: [TaskID: Entry] = [:]
    private var queue: Deque<TaskID> = []

    package init() {}

    /// Tasks without an accepted answer.
    package var openCount: Int { entries.count }

    /// Whether some open task waits for a worker.
    var hasQueued: Bool { !queue.isEmpty }

    /// Waiting tasks, next one first.
    var queued: Deque<TaskID> { queue }

    func entry(_ task: TaskID) -> Entry? { entries[task] }

    /// Traps on a task that is already open: rounds make tasks distinct.
    mutating func submit(_ tasks: [TaskID]) {
        for task in tasks {
            precondition(entries[task] == nil, "\(task) is already open")
            entries[task] = Entry()
            queue.append(task)
        }
    }

    /// Hands a queued task to a peer.
    mutating func issue(_ task: TaskID, to peer: PeerID) -> AttemptID {
        guard var entry = entries[task], entry.isQueued else {
            preconditionFailure("\(task) is not waiting")
        }
        dequeue(task)
        entry.isQueued = false
        entry.triesMade += 1
        let attempt = AttemptID(task: task, number: entry.triesMade)
        entry.live.append(Live(attempt: attempt, peer: peer))
        entries[task] = entry
        return attempt
    }

    /// Judges an answer; the first one wins.
    mutating func accept(_ attempt: AttemptID) -> Verdict {
        guard let entry = entries[attempt.task] else { return .stale }
        guard (1...max(1, entry.triesMade)).contains(attempt.number), entry.triesMade > 0 else {
            return .neverIssued
        }
        if entry.isQueued { dequeue(attempt.task) }
        entries[attempt.task] = nil
        return .accepted(others: entry.live.filter { $0.attempt != attempt })
    }

    /// The attempt is over without an answer and without blame; a task with no attempt left goes
    /// to the head of the queue.
    mutating func release(_ attempt: AttemptID) {
        guard var entry = entries[attempt.task] else { return }
        entry.live.removeAll { $0.attempt == attempt }
        if entry.live.isEmpty, !entry.isQueued {
            entry.isQueued = true
            queue.prepend(attempt.task)
        }
        entries[attempt.task] = entry
    }

    /// Like `release`, but the attempt counts against its task. Returns all evidence so far.
    mutating func blame(_ failure: AttemptFailure) -> [AttemptFailure] {
        entries[failure.attempt.task]?.failures.append(failure)
        release(failure.attempt)
        return entries[failure.attempt.task]?.failures ?? []
    }

    /// Asks for one more attempt beside the live ones. False when the task is queued anyway, has
    /// its answer, or has `maximum` live attempts.
    mutating func requestCopy(of task: TaskID, maximum: Int) -> Bool {
        guard var entry = entries[task], !entry.isQueued, entry.live.count < maximum else {
            return false
        }
        entry.isQueued = true
        entries[task] = entry
        queue.prepend(task)
        return true
    }

    /// Takes back copies that were asked for and not handed out.
    mutating func dropUnissuedCopy(of task: TaskID) {
        guard var entry = entries[task], entry.isQueued, !entry.live.isEmpty else { return }
        entry.isQueued = false
        entries[task] = entry
        dequeue(task)
    }

    private mutating func dequeue(_ task: TaskID) {
        guard let position = queue.firstIndex(of: task) else {
            preconditionFailure("\(task) is marked as waiting but not in the queue")
        }
        queue.remove(at: position)
    }
}
