package import ClusterCore

// What happened, in words for a person who reads a trace.

extension CoordinatorEvent {
    /// `1a2b says: result of denoise task 5 of step 3, attempt 1`
    package var story: String {
        switch self {
        case .received(let message, let peer): "\(peer) says: \(message.story)"
        case .answered(let attempt, _, let digest, let peer):
            "\(peer) says: result of \(attempt), \(digest)"
        case .unsound(let attempt, let failure, let peer):
            "\(peer) answers \(attempt) unsoundly: \(failure.reason)"
        case .malformed(let reason, let peer): "\(peer) says nonsense: \(reason)"
        case .incompatible(let version, let peer): "\(peer) speaks version \(version)"
        case .disconnected(let peer): "\(peer) is disconnected"
        case .open(let job, _, _): "job \(job) is opened"
        case .submit(let job, let tasks): "\(tasks.count) tasks of job \(job)"
        case .consumed: "an answer was taken"
        case .close(let job): "job \(job) is closed"
        case .tick: "tick"
        case .shutdown(let isReturning): isReturning ? "shutdown for a while" : "shutdown"
        }
    }
}

extension WorkerMessage {
    package var story: String {
        switch self {
        case .hello(let hello): "hello from \(hello.worker), \(hello.slots) slots"
        case .assetRequest(let digest): "needs conditioning \(digest)"
        case .jobReady(let job, let problem):
            problem.map { "cannot do job \(job): \($0)" } ?? "ready for job \(job)"
        case .result(let attempt, _): "result of \(attempt)"
        case .failure(let attempt, let failure): "\(attempt) failed: \(failure.reason)"
        case .heartbeat(let beat): "heartbeat \(beat.number), \(beat.inHand.count) in hand"
        case .goodbye(let reason): "goodbye, \(reason)"
        }
    }
}

extension CoordinatorMessage {
    package var story: String {
        switch self {
        case .welcome: "welcome"
        case .reject(let rejection): "rejected: \(rejection)"
        case .openJob(let job, _): "job \(job) is open"
        case .asset(let digest): "conditioning \(digest)"
        case .closeJob(let job): "job \(job) is closed"
        case .task(let attempt): "\(attempt)"
        case .cancel(let attempt): "cancel \(attempt)"
        case .heartbeatAck(let number): "heartbeat \(number) heard"
        case .drain: "leave"
        case .goodbye(let reason): "goodbye, \(reason)"
        }
    }
}

extension CoordinatorEffect {
    package var story: String {
        switch self {
        case .send(let message, let peer): "\(message.story) → \(peer)"
        case .hold(let attempt): "\(attempt) has to be confirmed"
        case .deliver(let attempt): "\(attempt) is accepted"
        case .fail(let job, let failure): "job \(job) fails: \(failure)"
        case .worker(let change): "\(change)"
        case .note(let note): "note: \(note)"
        }
    }
}

extension WorkerStateEvent {
    var isTick: Bool { if case .tick = self { true } else { false } }

    var story: String {
        switch self {
        case .started: "starts"
        case .received(let message, let life): "hears of epoch \(life.epoch): \(message.story)"
        case .incompatible(let version): "hears version \(version)"
        case .prepared(let digest, let problem):
            problem.map { "cannot prepare \(digest): \($0)" } ?? "has prepared \(digest)"
        case .computed(let attempt, _): "has computed \(attempt)"
        case .computeFailed(let attempt, let failure): "\(attempt) failed: \(failure.reason)"
        case .tick: "tick"
        case .drain: "is asked to leave"
        }
    }
}
