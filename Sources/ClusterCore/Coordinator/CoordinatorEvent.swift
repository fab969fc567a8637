/// Everything that can happen to a coordinator.
package enum CoordinatorEvent: Sendable {
    /// A well-formed message; a result's answer was already found sound by the caller.
    case received(WorkerMessage, from: PeerID)
    /// A result whose answer is not finite or not of the asked shape.
    case unsound(AttemptID, reason: String, from: PeerID)
    /// A message that does not decode.
    case malformed(reason: String, from: PeerID)
    /// A message of another major version.
    case incompatible(WireVersion, from: PeerID)
    /// The peer's connection ended.
    case disconnected(PeerID)

    case open(JobID, conditioning: ContentDigest)
    /// One batch of one open job; the tasks are distinct from every earlier one's.
    case submit(JobID, [TaskID])
    /// The loop took one delivered answer.
    case consumed(JobID)
    /// No answer of the job is wanted any more.
    case close(JobID)
    /// Some time has passed.
    case tick
    /// Say goodbye to everybody and fail what is open.
    case shutdown
}

/// What the coordinator's owner has to do.
package enum CoordinatorEffect: Hashable, Sendable {
    /// The owner adds the tensors that belong to the message.
    case send(CoordinatorMessage, to: PeerID)
    /// The answer that came with this very event is the task's answer.
    case deliver(AttemptID)
    /// The job is over and has been forgotten.
    case fail(JobID, JobFailure)
    case worker(WorkerEvent)
    case note(CoordinatorNote)
}

/// What happens to the crowd of workers; for progress displays and logs.
package enum WorkerEvent: Hashable, Sendable {
    /// `live` is the number of workers in the roster that are not leaving, after the event.
    case joined(WorkerID, live: Int)
    case rejected(name: String, Rejection)
    case suspected(WorkerID)
    case recovered(WorkerID)
    case draining(WorkerID, live: Int)
    case left(WorkerID, live: Int)
    case lost(WorkerID, LossReason, live: Int)
}

/// Why a worker is taken to be gone.
package enum LossReason: Hashable, Sendable, CustomStringConvertible {
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
package enum CoordinatorNote: Hashable, Sendable {
    case staleResult(AttemptID, PeerID)
    case attemptFailed(AttemptFailure)
    case leaseExpired(AttemptID, WorkerID)
    case copied(TaskID)
    case recalled(AttemptID, WorkerID)
    case duplicateName(String)
    case malformed(PeerID, reason: String)
    case forgave(Duration)
}

/// Why a job ended without its answers.
package enum JobFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody came, or nobody was left. `rejections` are the reasons of those turned away.
    case noWorkers(waited: Duration, rejections: [String])
    /// One task went wrong too often.
    case taskFailed(TaskID, evidence: [AttemptFailure])
    /// No worker could take the job's conditioning in.
    case refused([String])
    /// The coordinator stops.
    case shutdown

    package var description: String {
        switch self {
        case .noWorkers(let waited, let rejections):
            "no worker for \(waited.components.seconds) s"
                + (rejections.isEmpty
                    ? "; start one with `tessera worker --connect`"
                    : "; turned away: " + rejections.joined(separator: "; "))
        case .taskFailed(let task, let evidence):
            "\(task) failed \(evidence.count) times: "
                + evidence.map(\.description).joined(separator: "; ")
        case .refused(let reasons):
            "no worker could prepare the job: " + reasons.joined(separator: "; ")
        case .shutdown: "the coordinator was stopped before the job was done"
        }
    }
}
