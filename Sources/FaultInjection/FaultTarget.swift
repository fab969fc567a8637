/// What a fault is done to. The raw values are the words of a fault specification.
package enum FaultTarget: String, Hashable, Sendable, CaseIterable {
    // Messages that a worker sends.
    case hello
    case assetRequest = "asset-request"
    case ready
    case result
    case failure
    case heartbeat
    // Messages that a coordinator sends.
    case welcome
    case reject
    case open
    case asset
    case close
    case task
    case cancel
    case ack
    // Said by both.
    case goodbye
    // Groups of messages.
    case sent
    case received
    case any
    // What is no message.
    case compute
    case checkpoint
    case step
    case tile

    /// Targets that share their actions.
    package enum Family: Hashable, Sendable, CaseIterable {
        case message
        case answer
        case compute
        case checkpoint
        /// A step or a tile is done: the process may die of it.
        case milestone
    }

    package var family: Family {
        switch self {
        case .result: .answer
        case .compute: .compute
        case .checkpoint: .checkpoint
        case .step, .tile: .milestone
        default: .message
        }
    }

    /// Whether what is hit belongs to a sampling step, so that `@step3` means something.
    package var hasStep: Bool {
        switch self {
        case .result, .failure, .task, .cancel, .compute, .checkpoint, .step: true
        default: false
        }
    }

    /// Other spellings that are understood.
    private static let aliases: [String: FaultTarget] = [
        "ckpt": .checkpoint, "heartbeat-ack": .ack, "open-job": .open, "close-job": .close,
        "job-ready": .ready, "error": .failure, "task-error": .failure,
    ]

    /// The target of this name; nil when there is none.
    package init?(named name: String) {
        guard let target = FaultTarget(rawValue: name) ?? Self.aliases[name] else { return nil }
        self = target
    }
}
