internal import DequeModule

/// Evidence of one attempt that went wrong.
package struct AttemptFailure: Hashable, Codable, Sendable, CustomStringConvertible {
    package let attempt: AttemptID
    package let worker: WorkerID
    package let failure: TaskFailure
    /// Whether the worker had answered any task before, since it joined.
    package var hadAnswered = false

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

    /// One worker's answer to a task that needs two that agree.
    struct Vote: Hashable, Sendable {
        let attempt: AttemptID
        let worker: WorkerID
        let peer: PeerID
        /// Of the answer's values: equal answers have equal digests.
        let digest: ContentDigest
    }

    struct Entry: Sendable {
        /// Whether one answer is enough.
        var needsConfirmation = false
        var votes: [Vote] = []
        /// Who was given each try, by its number from 1.
        var issued: [PeerID] = []
        var live: [Live] = []
        var failures: [AttemptFailure] = []
        var isQueued = true
    }

    /// What becomes of an answer.
    enum Verdict: Equatable {
        /// The task is done; these other attempts of it are still in someone's hands, and these
        /// votes were for another answer.
        case accepted(others: [Live], outvoted: [Vote])
        /// A vote for now: the task waits for another worker's answer.
        case held
        /// So many different answers that nobody can tell which is right.
        case disputed([Vote])
        /// Already answered, withdrawn, or of an earlier batch.
        case stale
        /// No such attempt was ever handed out.
        case neverIssued
    }

    private var entries: [TaskID: Entry] = [:]
    private var queue: Deque<TaskID> = []
    /// Open tasks that an attempt has gone wrong of.
    private(set) var blamedCount = 0

    package init() {}

    /// Tasks without an accepted answer.
    package var openCount: Int { entries.count }

    /// What is known of each open task, in no order.
    var openEntries: some Collection<Entry> { entries.values }

    /// Whether some open task waits for a worker.
    var hasQueued: Bool { !queue.isEmpty }

    /// Waiting tasks, next one first.
    var queued: Deque<TaskID> { queue }

    func entry(_ task: TaskID) -> Entry? { entries[task] }

    /// Traps on a task that is already open: rounds make tasks distinct. Of those in
    /// `confirming`, two workers' answers have to agree.
    mutating func submit(_ tasks: [TaskID], confirming: Set<TaskID> = []) {
        for task in tasks {
            precondition(entries[task] == nil, "\(task) is already open")
            entries[task] = Entry(needsConfirmation: confirming.contains(task))
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
        entry.issued.append(peer)
        let attempt = AttemptID(task: task, number: UInt32(entry.issued.count))
        entry.live.append(Live(attempt: attempt, peer: peer))
        entries[task] = entry
        return attempt
    }

    /// Judges an answer; the first one wins, where two are needed the first two that agree.
    /// An answer counts only from the peer that was given the attempt, however late. `worker` is
    /// nil when that one is not connected any more: its word is as good as another's, but it
    /// cannot confirm one.
    mutating func accept(
        _ attempt: AttemptID,
        digest: ContentDigest,
        from peer: PeerID,
        _ worker: WorkerID?,
        maximumVotes: Int = .max
    ) -> Verdict {
        guard let entry = entries[attempt.task] else { return .stale }
        guard attempt.number >= 1, attempt.number <= entry.issued.count else {
            return .neverIssued
        }
        guard entry.issued[Int(attempt.number) - 1] == peer else { return .stale }
        guard entry.needsConfirmation else { return finish(attempt, outvoted: []) }
        guard let worker else { return .stale }
        let voter = (worker: worker, peer: peer)
        guard !entry.votes.contains(where: { $0.worker == voter.worker }) else {
            // It has voted; the attempt is over all the same, and another worker has to have one.
            if entry.live.contains(where: { $0.attempt == attempt && $0.peer == voter.peer }) {
                release(attempt)
            }
            return .stale
        }
        let vote = Vote(
            attempt: attempt, worker: voter.worker, peer: voter.peer, digest: digest)
        if entry.votes.contains(where: { $0.digest == digest }) {
            return finish(attempt, outvoted: entry.votes.filter { $0.digest != digest })
        }
        entries[attempt.task]?.votes.append(vote)
        if entry.votes.count + 1 >= maximumVotes { return .disputed(entry.votes + [vote]) }
        release(attempt)
        return .held
    }

    /// Takes a task's only vote for its answer, when nobody is there who could confirm it.
    /// Returns the vote and the attempts still in someone's hands.
    mutating func settle(_ task: TaskID) -> (vote: Vote, others: [Live])? {
        guard let entry = entries[task], entry.votes.count == 1, let vote = entry.votes.first,
            case .accepted(let others, _) = finish(vote.attempt, outvoted: [])
        else { return nil }
        return (vote, others)
    }

    private mutating func finish(_ attempt: AttemptID, outvoted: [Vote]) -> Verdict {
        guard let entry = entries[attempt.task] else { return .stale }
        if entry.isQueued { dequeue(attempt.task) }
        if !entry.failures.isEmpty { blamedCount -= 1 }
        entries[attempt.task] = nil
        return .accepted(
            others: entry.live.filter { $0.attempt != attempt }, outvoted: outvoted)
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
        if entries[failure.attempt.task]?.failures.isEmpty == true { blamedCount += 1 }
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
        guard var entry = entries[task], entry.isQueued, !entry.live.isEmpty,
            entry.votes.isEmpty
        else { return }
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
