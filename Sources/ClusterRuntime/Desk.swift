internal import ClusterCore
internal import Denoising
internal import WireCodec

/// Some items asked together, and where their answers come out.
struct Batch: Sendable {
    /// The answer to the item at a position of the batch.
    struct Answer: Sendable {
        let job: JobID
        let position: Int
        let answer: WorkAnswer
    }

    let round: UInt32
    /// By number.
    let conditionings: [Conditioning]
    let known: [KnownAnswer]
    let answers: AsyncThrowingStream<Answer, any Error>

    /// What workers are tried with before they answer questions of one conditioning: all that is
    /// known but for what was asked with others.
    func known(with number: Int) -> [KnownAnswer] {
        known.filter { known in
            guard case .denoise(let task) = known.item else { return true }
            return task.conditioning == number
        }
    }

    func task(_ item: WorkItem, of job: JobID, position: Int) -> TaskID {
        let step = if case .denoise(let task) = item { task.step } else { 0 }
        return TaskID(
            job: job, round: round, step: UInt32(clamping: step), index: UInt32(position),
            kind: Self.kind(of: item))
    }

    static func kind(of item: WorkItem) -> TaskKind {
        switch item {
        case .denoise: .denoise
        case .decode: .decode
        case .encode: .encode
        }
    }
}

/// A batch that is not over: where its answers go, and the jobs that it asks.
struct OpenRound: Sendable {
    let sink: AsyncThrowingStream<Batch.Answer, any Error>.Continuation
    /// In the order in which they were first asked.
    private(set) var jobs: [JobID] = []
    /// Whether none of them has failed.
    private(set) var isOpen = true

    init(sink: AsyncThrowingStream<Batch.Answer, any Error>.Continuation) { self.sink = sink }

    mutating func add(_ job: JobID) {
        if !jobs.contains(job) { jobs.append(job) }
    }

    mutating func fail(_ failure: JobFailure) {
        isOpen = false
        sink.finish(throwing: failure)
    }
}

/// Everything a coordinator has on its desk: the decisions' state, and the tensors that the state
/// knows by name only.
struct Desk: Sendable {
    var state: CoordinatorState
    var items: [TaskID: WorkItem] = [:]
    var conditionings: [ContentDigest: Conditioning] = [:]
    var jobs: [ContentDigest: JobID] = [:]
    /// Each open job's trial: round 0, by index.
    var known: [JobID: [KnownAnswer]] = [:]
    /// Answers that wait for another worker to confirm them.
    var held: [AttemptID: WorkAnswer] = [:]
    /// Batches that are not over.
    var rounds: [UInt32: OpenRound] = [:]
    private var sequence: UInt64 = 0
    private var latestRound: UInt32 = 0

    init(state: CoordinatorState) { self.state = state }

    mutating func nextSequence() -> UInt64 {
        sequence += 1
        return sequence
    }

    mutating func nextRound() -> UInt32 {
        latestRound += 1
        return latestRound
    }

    /// The message with its tensors; nil when they are wanted by nobody any more.
    func wireMessage(_ message: CoordinatorMessage) -> WireMessage? {
        switch message {
        case .welcome(let welcome): .welcome(welcome)
        case .reject(let rejection): .reject(rejection)
        case .openJob(let job, let digest): .openJob(job, conditioning: digest)
        case .asset(let digest): conditionings[digest].map { .asset($0) }
        case .closeJob(let job): .closeJob(job)
        case .task(let attempt): task(attempt)
        case .cancel(let attempt): .cancel(attempt)
        case .heartbeatAck(let number): .heartbeatAck(number)
        case .goodbye(let reason): .goodbye(reason)
        case .drain: .drain
        }
    }

    private func task(_ attempt: AttemptID) -> WireMessage? {
        guard let item = items[attempt.task] ?? knownAnswer(to: attempt.task)?.item,
            let digest = jobs.first(where: { $0.value == attempt.task.job })?.key
        else { return nil }
        return .task(attempt, item, conditioning: digest)
    }

    /// Whether an answer to this task would be taken.
    func asks(_ task: TaskID) -> Bool { items[task] != nil || knownAnswer(to: task) != nil }

    /// The known answer to a trial's question; nil for other tasks.
    func knownAnswer(to task: TaskID) -> KnownAnswer? {
        guard task.round == 0, let known = known[task.job], task.index < known.count else {
            return nil
        }
        return known[Int(task.index)]
    }

    /// `answer` came with the event that settled the task; an answer held for that very attempt
    /// takes precedence, being the one that the state means.
    mutating func deliver(_ attempt: AttemptID, with answer: WorkAnswer?) {
        guard let answer = held[attempt] ?? answer else {
            preconditionFailure("delivery without an answer")
        }
        for other in held.keys where other.task == attempt.task { held[other] = nil }
        items[attempt.task] = nil
        rounds[attempt.task.round]?.sink.yield(
            Batch.Answer(
                job: attempt.task.job, position: Int(attempt.task.index), answer: answer))
    }

    /// The state has forgotten the job; so does the desk.
    mutating func fail(_ job: JobID, _ failure: JobFailure) {
        for (number, round) in rounds where round.jobs.contains(job) {
            rounds[number]?.fail(failure)
        }
        forget(job)
    }

    mutating func forget(_ job: JobID) {
        for task in items.keys where task.job == job { items[task] = nil }
        for attempt in held.keys where attempt.task.job == job { held[attempt] = nil }
        known[job] = nil
        for (digest, open) in jobs where open == job {
            jobs[digest] = nil
            conditionings[digest] = nil
        }
    }
}
