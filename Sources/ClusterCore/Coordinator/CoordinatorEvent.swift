/// Everything that can happen to a coordinator.
package enum CoordinatorEvent: Codable, Sendable {
    /// A well-formed message; a result's answer was already found sound by the caller.
    case received(WorkerMessage, from: PeerID)
    /// A result like those in `received`, with a digest of the answer's values: what confirms
    /// or contradicts another worker's answer.
    case answered(AttemptID, computeTime: Duration, digest: ContentDigest, from: PeerID)
    /// A result whose answer is not finite, not of the asked shape, or not the known one: with code
    /// ``FailureCode/notFinite`` or ``FailureCode/unsound``.
    case unsound(AttemptID, TaskFailure, from: PeerID)
    /// A message that does not decode.
    case malformed(reason: String, from: PeerID)
    /// A message of another major version.
    case incompatible(WireVersion, from: PeerID)
    /// The peer's connection ended.
    case disconnected(PeerID)

    /// `trial` are the kinds of the questions with known answers that a worker has to answer
    /// before it computes for the job: tasks of round 0, in this order.
    case open(JobID, conditioning: ContentDigest, trial: [TaskKind])
    /// One batch of one open job; the tasks are distinct from every earlier one's.
    case submit(JobID, [TaskID])
    /// The loop took one delivered answer.
    case consumed(JobID)
    /// No answer of the job is wanted any more.
    case close(JobID)
    /// Some time has passed.
    case tick
    /// Say goodbye to everybody and fail what is open. Workers wait for one that is returning.
    case shutdown(isReturning: Bool)
}

/// What the coordinator's owner has to do.
package enum CoordinatorEffect: Hashable, Codable, Sendable {
    /// The owner adds the tensors that belong to the message.
    case send(CoordinatorMessage, to: PeerID)
    /// Keep the answer that came with this very event: another has to confirm it.
    case hold(AttemptID)
    /// The task's answer is the one that came with this very event, or that was held.
    case deliver(AttemptID)
    /// The job is over and has been forgotten.
    case fail(JobID, JobFailure)
    case worker(WorkerEvent)
    case note(CoordinatorNote)
}

/// What happens to the crowd of workers; for progress displays and logs.
package enum WorkerEvent: Hashable, Codable, Sendable, CustomStringConvertible {
    /// `live` is the number of workers in the roster that are not leaving, after the event.
    case joined(WorkerID, live: Int)
    case rejected(name: String, Rejection)
    case suspected(WorkerID)
    case recovered(WorkerID)
    /// It is left alone for a while, and proves itself again after.
    case quarantined(WorkerID, Duration, reason: String)
    case released(WorkerID)
    /// A task failed as often as it may, on this worker alone, and another one is waited for.
    case doubted(WorkerID, TaskID, waiting: Duration)
    case draining(WorkerID, live: Int)
    case left(WorkerID, live: Int)
    case lost(WorkerID, LossReason, live: Int)

    /// Workers in the roster that are not leaving, where the event changes that.
    package var live: Int? {
        switch self {
        case .joined(_, let live), .draining(_, let live), .left(_, let live),
            .lost(_, _, let live):
            live
        case .rejected, .suspected, .recovered, .quarantined, .released, .doubted: nil
        }
    }

    package var description: String {
        switch self {
        case .joined(let worker, let live): "\(worker) joined, \(live) at work"
        case .rejected(let name, let rejection): "\(name) was rejected: \(rejection)"
        case .suspected(let worker): "\(worker) is silent"
        case .recovered(let worker): "\(worker) is back"
        case .quarantined(let worker, let time, let reason):
            "\(worker) is left alone for \(time.components.seconds) s: \(reason)"
        case .released(let worker): "\(worker) may work again"
        case .doubted(let worker, let task, let time):
            "\(task) failed on \(worker) and nobody else is here to try it; waiting "
                + "\(time.components.seconds) s for another worker"
        case .draining(let worker, let live): "\(worker) is leaving, \(live) at work"
        case .left(let worker, let live): "\(worker) left, \(live) at work"
        case .lost(let worker, let reason, let live):
            "\(worker) is lost: \(reason); \(live) at work"
        }
    }
}

/// Why a worker is taken to be gone.
package enum LossReason: Hashable, Codable, Sendable, CustomStringConvertible {
    case disconnected
    case silent(Duration)
    /// A later life of the same worker said hello.
    case replaced
    case misbehaved(String)

    package var description: String {
        switch self {
        case .disconnected: "its connection ended"
        case .silent(let time): "it was silent for \(time.components.seconds) s"
        case .replaced: "it was started again"
        case .misbehaved(let reason): "it was turned away: \(reason)"
        }
    }
}

/// Things worth a line in the log and nothing else.
package enum CoordinatorNote: Hashable, Codable, Sendable {
    case staleResult(AttemptID, PeerID)
    case attemptFailed(AttemptFailure)
    case leaseExpired(AttemptID, WorkerID)
    case copied(TaskID)
    case recalled(AttemptID, WorkerID)
    case duplicateName(String)
    case malformed(PeerID, reason: String)
    case forgave(Duration)
    case proven(WorkerID)
    case resent(AttemptID, WorkerID)
    case unconfirmed(TaskID)
}

/// Why a job ended without its answers.
package enum JobFailure: Error, Hashable, Codable, Sendable, CustomStringConvertible {
    /// Nobody came, or nobody was left. `rejections` are the reasons of those turned away.
    case noWorkers(waited: Duration, rejections: [String])
    /// One task went wrong too often.
    case taskFailed(TaskID, evidence: [AttemptFailure])
    /// No worker could take the job's conditioning in.
    case refused([String])
    /// A worker answered wrongly what two others answered alike, and earlier answers of its are
    /// part of the job: the picture cannot be trusted any more.
    case tainted(WorkerID, answers: Int)
    /// The coordinator stops.
    case shutdown

    package var description: String {
        switch self {
        case .noWorkers(let waited, let rejections):
            "no worker for \(waited.components.seconds) s"
                + (rejections.isEmpty
                    ? "; start one with `tessera worker --connect`"
                    : "; those that came: " + rejections.joined(separator: "; "))
        case .taskFailed(let task, let evidence):
            "\(task) failed \(evidence.count) times: "
                + evidence.map(\.description).joined(separator: "; ")
        case .refused(let reasons):
            "no worker could prepare the job: " + reasons.joined(separator: "; ")
        case .tainted(let worker, let answers):
            "\(worker) answered a question differently from two other workers that agree, and "
                + "\(answers) of its earlier answers are in this picture; look at that machine's "
                + "memory and processor, and make the picture again without it"
        case .shutdown: "the coordinator was stopped before the job was done"
        }
    }
}
