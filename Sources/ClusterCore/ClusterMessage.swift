/// The version of the wire: a different major does not talk, a different minor does.
package struct WireVersion: Hashable, Codable, Sendable, CustomStringConvertible {
    package let major: UInt8
    package let minor: UInt8
    /// What this program speaks.
    package static let current = WireVersion(major: 1, minor: 5)

    package init(major: UInt8, minor: UInt8) {
        self.major = major
        self.minor = minor
    }

    package var description: String { "\(major).\(minor)" }
}

/// Who a worker is and what it can compute.
package struct Hello: Hashable, Codable, Sendable {
    package let worker: WorkerID
    /// Attempts computed at once, at least 1.
    package let slots: Int
    package let identity: ModelIdentity
    /// The program's version, for people.
    package let version: String

    package init(worker: WorkerID, slots: Int, identity: ModelIdentity, version: String) {
        self.worker = worker
        self.slots = slots
        self.identity = identity
        self.version = version
    }
}

/// The coordinator took the worker in.
package struct Welcome: Hashable, Codable, Sendable {
    package let heartbeatInterval: Duration
    /// Attempts that may be in the worker's hands at once.
    package let credits: Int
    package let version: String

    package init(heartbeatInterval: Duration, credits: Int, version: String) {
        self.heartbeatInterval = heartbeatInterval
        self.credits = credits
        self.version = version
    }
}

/// Why a worker is not taken in. The raw value travels.
package enum RejectionCode: UInt8, Hashable, Codable, Sendable, CaseIterable {
    case wireVersion = 1
    case weights = 2
    case computeClass = 3
    case full = 4
    case closing = 5
    case misbehaved = 6
    /// The coordinator does not know the peer (any more); a new hello mends it.
    case unknownSession = 7
    /// It answered a question with a known answer differently: it would spoil the picture.
    case knownAnswer = 8
}

/// A refusal with its reason for a person.
package struct Rejection: Hashable, Codable, Sendable, CustomStringConvertible {
    package let code: RejectionCode
    package let reason: String

    package init(code: RejectionCode, reason: String) {
        self.code = code
        self.reason = reason
    }

    package var description: String { reason }
}

/// Why no answer comes for an attempt. The raw value travels.
package enum FailureCode: UInt8, Hashable, Codable, Sendable, CaseIterable {
    /// The item does not fit the model: the same on every worker, so it is not tried again.
    case unsuitable = 1
    /// It failed there; it may succeed elsewhere.
    case compute = 2
    /// Given back unstarted: nobody's fault.
    case handedBack = 3
    /// The answer is not one to the question, or not of the asked shape.
    case unsound = 4
    /// The worker went away while it computed. Never travels.
    case workerLost = 5
    /// The computation made no progress. Never travels.
    case stuck = 6
    /// The answer has values that are not finite.
    case notFinite = 7
    /// Other workers answered otherwise, and none of them alike. Never travels.
    case disputed = 8
}

/// Why one attempt has no answer, with a sentence for a person.
package struct TaskFailure: Hashable, Codable, Sendable {
    package let code: FailureCode
    package let reason: String

    package init(code: FailureCode, reason: String) {
        self.code = code
        self.reason = reason
    }
}

/// A worker's sign of life.
package struct Heartbeat: Hashable, Codable, Sendable {
    /// Counts from 1.
    package let number: UInt64
    /// Attempts in hand, running ones first.
    package let inHand: [AttemptID]
    /// Operations done since the start; nil when the model does not count them.
    package let progress: UInt64?

    package init(number: UInt64, inHand: [AttemptID], progress: UInt64?) {
        self.number = number
        self.inHand = inHand
        self.progress = progress
    }
}

/// The raw value travels.
package enum GoodbyeReason: UInt8, Hashable, Codable, Sendable, CaseIterable {
    /// A worker that takes nothing more but finishes what it computes.
    case draining = 1
    /// The sender is gone after this message.
    case leaving = 2
    /// A coordinator that stops and will go on where it was: workers wait for it.
    case returning = 3
}

/// What workers say, as far as decisions need it; tensors stay with the runtime.
package enum WorkerMessage: Hashable, Codable, Sendable {
    case hello(Hello)
    case assetRequest(ContentDigest)
    /// `problem` is nil when the worker is ready for the job's tasks.
    case jobReady(JobID, problem: String?)
    case result(AttemptID, computeTime: Duration)
    case failure(AttemptID, TaskFailure)
    case heartbeat(Heartbeat)
    case goodbye(GoodbyeReason)
}

/// What the coordinator says, as far as decisions need it; tensors stay with the runtime.
package enum CoordinatorMessage: Hashable, Codable, Sendable {
    case welcome(Welcome)
    case reject(Rejection)
    case openJob(JobID, conditioning: ContentDigest)
    case asset(ContentDigest)
    case closeJob(JobID)
    case task(AttemptID)
    case cancel(AttemptID)
    case heartbeatAck(UInt64)
    case goodbye(GoodbyeReason)
    /// Finish what is being computed and leave.
    case drain
}
