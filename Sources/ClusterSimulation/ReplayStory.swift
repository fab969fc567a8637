package import ClusterCore

/// What happened in a coordinator's life, for a person: by worker, by task, and in numbers.
package struct ReplayStory: Sendable {
    /// What one worker did, over all its sessions.
    package struct Worker: Sendable {
        package let name: String
        package fileprivate(set) var answers = 0
        package fileprivate(set) var failures = 0
        /// Time that its answers took to compute.
        package fileprivate(set) var computing: Duration = .zero
        /// When it joined, fell silent, was left alone, left; the first hundred.
        package fileprivate(set) var turns: [String] = []
    }

    /// A task that took more than one attempt.
    package struct Task: Sendable {
        package let task: TaskID
        /// What became of each attempt.
        package fileprivate(set) var attempts: [String] = []
    }

    /// Tasks told of one by one.
    package static let maximumTasks = 50
    private static let maximumTurns = 100

    /// In the order of their first appearance.
    package private(set) var workers: [Worker] = []
    /// The first ``maximumTasks`` that took more than one attempt.
    package private(set) var troubled: [Task] = []
    /// How many took more than one attempt.
    package private(set) var troubledCount = 0
    package private(set) var answered = 0
    package private(set) var jobs = 0
    /// Why jobs failed.
    package private(set) var failures: [String] = []
    /// Events by kind.
    package private(set) var events: [String: Int] = [:]
    package private(set) var start: Instant?
    package private(set) var end = Instant(sinceStart: .zero)

    private var attempts: [TaskID: [String]] = [:]
    private var names: [PeerID: String] = [:]

    mutating func note(
        _ event: CoordinatorEvent, _ effects: [CoordinatorEffect], at now: Instant
    ) {
        start = start ?? now
        end = now
        events[event.kind, default: 0] += 1
        switch event {
        case .received(.hello(let hello), let peer): names[peer] = hello.worker.name
        case .received(.failure(let attempt, let failure), let peer):
            worker(at: peer) { $0.failures += 1 }
            tell("\(name(of: peer)) failed: \(failure.reason)", of: attempt)
        case .answered(let attempt, let time, _, let peer) where attempt.task.round > 0:
            worker(at: peer) {
                $0.answers += 1
                $0.computing += time
            }
            tell("answered by \(name(of: peer)) at \(now.text)", of: attempt)
        case .unsound(let attempt, let failure, let peer):
            worker(at: peer) { $0.failures += 1 }
            tell("unsound answer of \(name(of: peer)): \(failure.reason)", of: attempt)
        case .open: jobs += 1
        case .close(let job): attempts = attempts.filter { $0.key.job != job }
        default: break
        }
        for effect in effects { note(effect, at: now) }
    }

    private mutating func note(_ effect: CoordinatorEffect, at now: Instant) {
        switch effect {
        case .send(.task(let attempt), let peer) where attempt.task.round > 0:
            tell("given to \(name(of: peer)) at \(now.text)", of: attempt)
        case .deliver(let attempt): settle(attempt)
        case .fail(let job, let failure):
            failures.append("\(failure)")
            attempts = attempts.filter { $0.key.job != job }
        case .worker(let change):
            if let id = change.worker { turn(id.name, "\(now.text) \(change)") }
        case .note(.attemptFailed(let failure)) where failure.failure.code == .workerLost,
            .note(.attemptFailed(let failure)) where failure.failure.code == .stuck:
            tell("lost with \(failure.worker): \(failure.failure.reason)", of: failure.attempt)
        case .note(.leaseExpired(let attempt, let worker)):
            tell("its lease with \(worker) ran out", of: attempt)
        case .note(.recalled(let attempt, let worker)):
            tell("recalled from \(worker)", of: attempt)
        case .send, .hold, .note: break
        }
    }

    // MARK: Tasks

    private mutating func tell(_ text: String, of attempt: AttemptID) {
        guard attempt.task.round > 0 else { return }
        attempts[attempt.task, default: []].append("attempt \(attempt.number) \(text)")
    }

    /// A task is done; only one that took more than an attempt is worth a story.
    private mutating func settle(_ attempt: AttemptID) {
        answered += 1
        guard let lines = attempts.removeValue(forKey: attempt.task) else { return }
        guard lines.contains(where: { !$0.hasPrefix("attempt 1 ") }) else { return }
        troubledCount += 1
        if troubled.count < Self.maximumTasks {
            troubled.append(Task(task: attempt.task, attempts: lines))
        }
    }

    // MARK: Workers

    private func name(of peer: PeerID) -> String { names[peer] ?? "\(peer)" }

    private mutating func worker(at peer: PeerID, _ change: (inout Worker) -> Void) {
        change(&workers[index(of: name(of: peer))])
    }

    private mutating func turn(_ name: String, _ text: String) {
        let index = index(of: name)
        if workers[index].turns.count < Self.maximumTurns { workers[index].turns.append(text) }
    }

    private mutating func index(of name: String) -> Int {
        if let known = workers.firstIndex(where: { $0.name == name }) { return known }
        workers.append(Worker(name: name))
        return workers.count - 1
    }
}

extension CoordinatorEvent {
    /// For counting.
    var kind: String {
        switch self {
        case .received(.hello, _): "hello"
        case .received(.assetRequest, _): "asset request"
        case .received(.jobReady, _): "job ready"
        case .received(.result, _), .answered: "result"
        case .received(.failure, _): "failure"
        case .received(.heartbeat, _): "heartbeat"
        case .received(.goodbye, _): "goodbye"
        case .unsound: "unsound result"
        case .malformed: "malformed message"
        case .incompatible: "incompatible message"
        case .disconnected: "disconnect"
        case .open: "job opened"
        case .submit: "batch submitted"
        case .consumed: "answer taken"
        case .close: "job closed"
        case .tick: "tick"
        case .shutdown: "shutdown"
        }
    }
}

extension WorkerEvent {
    /// Whom it is about; nil for a stranger.
    var worker: WorkerID? {
        switch self {
        case .joined(let worker, _), .suspected(let worker), .recovered(let worker),
            .quarantined(let worker, _, _), .released(let worker), .doubted(let worker, _, _),
            .draining(let worker, _), .left(let worker, _), .lost(let worker, _, _):
            worker
        case .rejected: nil
        }
    }
}
