internal import OrderedCollections

/// What is remembered of a worker beyond its session, under its name: machines that trip over
/// themselves come back as new processes.
struct WorkerHistory: Hashable, Sendable {
    /// When sessions began that followed one without an accepted answer.
    private var fruitlessJoins: [Instant] = []
    private var hasJoined = false
    private var hadAnswer = false
    /// Quarantines that were not redeemed.
    private(set) var quarantines = 0
    /// Accepted answers since the last trouble.
    private var answers = 0
    var quarantinedUntil: Instant?

    /// A new session begins. True when it follows too many fruitless ones.
    mutating func join(at now: Instant, limits: Limits) -> Bool {
        if hasJoined, !hadAnswer { fruitlessJoins.append(now) }
        hasJoined = true
        hadAnswer = false
        fruitlessJoins.removeAll { now - $0 > limits.rejoinWindow }
        let excess = fruitlessJoins.count - limits.maximumFruitlessJoins
        fruitlessJoins.removeFirst(max(0, excess - 1))
        return excess > 0
    }

    mutating func answer(limits: Limits) {
        hadAnswer = true
        answers += 1
        if answers >= limits.answersToRedeem { quarantines = 0 }
    }

    /// How long the worker is to be left alone now: longer each time.
    mutating func quarantine(at now: Instant, limits: Limits) -> Duration {
        var time = limits.quarantine
        for _ in 0..<min(quarantines, 16) where time < limits.maximumQuarantine { time *= 2 }
        time = min(time, limits.maximumQuarantine)
        quarantines += 1
        answers = 0
        quarantinedUntil = now + time
        return time
    }
}

/// The histories of the latest workers, by name.
struct WorkerHistories: Sendable {
    private var entries: OrderedDictionary<String, WorkerHistory> = [:]

    var count: Int { entries.count }

    /// Reading an unknown name gives a fresh history.
    subscript(name: String) -> WorkerHistory {
        get { entries[name] ?? WorkerHistory() }
        set { entries[name] = newValue }
    }

    /// Forgets the longest known beyond `count`.
    mutating func trim(to count: Int) {
        if entries.count > count { entries.removeFirst(entries.count - count) }
    }
}
