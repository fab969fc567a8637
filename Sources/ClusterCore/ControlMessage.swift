/// What an operator asks a coordinator that stays up.
package enum ControlQuestion: Hashable, Sendable {
    /// `order` is the picture's request as JSON; to the cluster it is bytes. The same `id` twice
    /// is one job.
    case submit(id: String, order: [UInt8])
    /// One job, or all when nil.
    case status(id: String?)
    case cancel(id: String)
    /// All workers.
    case workers
    /// The worker of this name shall finish what it computes and leave.
    case drain(name: String)
}

/// A question with the number that its reply repeats.
package struct ControlRequest: Hashable, Sendable {
    package let number: UInt64
    package let question: ControlQuestion

    package init(number: UInt64, question: ControlQuestion) {
        self.number = number
        self.question = question
    }
}

/// What the coordinator says to it.
package enum ControlAnswer: Hashable, Sendable {
    /// The one at work, waiting ones in their order, then what is over, the latest first.
    case jobs([JobStatus])
    case workers([WorkerStatus])
    case refused(ControlRefusal)
}

/// An answer with its question's number.
package struct ControlReply: Hashable, Sendable {
    package let number: UInt64
    package let answer: ControlAnswer

    package init(number: UInt64, answer: ControlAnswer) {
        self.number = number
        self.answer = answer
    }
}

/// Where a job is. The raw value travels.
package enum JobPhase: UInt8, Hashable, Sendable, CaseIterable {
    case queued = 1
    case running = 2
    case decoding = 3
    case done = 4
    case failed = 5
    case cancelled = 6

    /// Whether nothing more will happen.
    package var isOver: Bool {
        switch self {
        case .queued, .running, .decoding: false
        case .done, .failed, .cancelled: true
        }
    }
}

/// One job as an operator sees it.
package struct JobStatus: Hashable, Sendable {
    package let id: String
    package var phase: JobPhase
    /// Finished steps when running, tiles when decoding; when queued, jobs ahead.
    package var done: Int
    /// Steps or tiles in all.
    package var total: Int
    /// Why it failed; else empty.
    package var reason: String
    /// What `tessera generate` would have ended with; 0 while it is not over.
    package var exitCode: Int
    /// The picture's file.
    package let output: String

    package init(
        id: String, phase: JobPhase, done: Int = 0, total: Int = 0, reason: String = "",
        exitCode: Int = 0, output: String
    ) {
        self.id = id
        self.phase = phase
        self.done = done
        self.total = total
        self.reason = reason
        self.exitCode = exitCode
        self.output = output
    }
}

/// What a worker is at. The raw value travels.
package enum WorkerActivity: UInt8, Hashable, Sendable, CaseIterable {
    case idle = 1
    case working = 2
    /// Nothing is heard from it at the moment.
    case silent = 3
    case leaving = 4
    /// Left alone for a while, after failures.
    case quarantined = 5
}

/// One worker as an operator sees it.
package struct WorkerStatus: Hashable, Sendable {
    package let name: String
    package let activity: WorkerActivity
    package let attemptsInHand: Int
    /// Averages of its latest tasks, to the microsecond; zero when it has computed none.
    package let denoiseTime: Duration
    package let decodeTime: Duration
    /// Until it may work again, to the millisecond.
    package let quarantine: Duration
    /// How often it was left alone without having made up for it.
    package let quarantines: Int

    package init(
        name: String, activity: WorkerActivity, attemptsInHand: Int, denoiseTime: Duration,
        decodeTime: Duration, quarantine: Duration, quarantines: Int
    ) {
        self.name = name
        self.activity = activity
        self.attemptsInHand = attemptsInHand
        self.denoiseTime = denoiseTime
        self.decodeTime = decodeTime
        self.quarantine = quarantine
        self.quarantines = quarantines
    }
}

/// Why a question is not granted. The raw value travels.
package enum RefusalCode: UInt8, Hashable, Sendable, CaseIterable {
    /// The request cannot work, whatever the machine does.
    case usage = 1
    /// A file, or what the request names, is not what it should be.
    case badData = 2
    /// As many jobs are waiting as may.
    case full = 3
    /// The name belongs to another job, or the file to another picture.
    case conflict = 4
    /// There is no such job or worker.
    case unknown = 5
    /// The coordinator stops, or its disk takes nothing.
    case unavailable = 6
}

/// A refusal with its reason for a person.
package struct ControlRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: RefusalCode
    package let reason: String

    package init(_ code: RefusalCode, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    package var description: String { reason }
}
