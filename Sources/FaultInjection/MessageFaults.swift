internal import ClusterCore
internal import Denoising
internal import Locking
internal import WireCodec

/// What becomes of a message on its way.
struct Delivery: Equatable, Sendable {
    let frames: Frames
    /// How much later it arrives.
    let delay: Duration
}

/// Applies a process's message faults, in both directions.
final class MessageFaults: Sendable {
    enum Direction: Sendable {
        case sent
        case received

        fileprivate var groups: [FaultTarget] {
            switch self {
            case .sent: [.sent, .any]
            case .received: [.received, .any]
            }
        }
    }

    private let injector: FaultInjector
    private let limits: Limits
    /// The answer before this one, for ``FaultAction/swap``.
    private let previous = Lock<(answer: WorkAnswer, question: ContentDigest)?>(nil)

    init(injector: FaultInjector, limits: Limits) {
        self.injector = injector
        self.limits = limits
    }

    /// The deliveries that a message turns into: none when it is dropped, itself when nothing is
    /// done to it. Bytes that are no message of ours pass as they are.
    func deliveries(of frames: Frames, _ direction: Direction) -> [Delivery] {
        guard let (header, message) = try? WireCodec.decode(frames, limits: limits) else {
            return [Delivery(frames: frames, delay: .zero)]
        }
        let kind = MessageKind(message)
        let strikes = injector.next(kind.target, in: direction.groups, step: kind.step)
        var outcome = Outcome(frames: frames)
        var current = message
        for strike in strikes {
            guard
                apply(strike, to: &outcome, message: &current, header: header)
            else { continue }
            injector.did(strike, step: kind.step)
            if outcome.isDropped { break }
        }
        if case .result(_, let answer, let question, _) = message {
            previous.withLock { $0 = (answer, question) }
        }
        return outcome.deliveries
    }

    private struct Outcome {
        var frames: Frames
        var copies = 1
        var delay: Duration = .zero
        var isDropped: Bool { copies == 0 }

        var deliveries: [Delivery] {
            Array(repeating: Delivery(frames: frames, delay: delay), count: copies)
        }
    }

    /// False when the action cannot be done to this message.
    private func apply(
        _ strike: FaultPlan.Strike,
        to outcome: inout Outcome,
        message: inout WireMessage,
        header: WireHeader
    ) -> Bool {
        switch strike.action {
        case .drop: outcome.copies = 0
        case .duplicate: outcome.copies += 1
        case .delay: outcome.delay += strike.delay
        case .corrupt: outcome.frames = Self.flipped(outcome.frames, bits: strike.bits)
        case .swap, .shape, .lie:
            guard let wrong = wrong(message, by: strike.action),
                let frames = try? WireCodec.encode(wrong, header: header, limits: limits)
            else { return false }
            message = wrong
            outcome.frames = frames
        default: return false
        }
        return true
    }

    private func wrong(_ message: WireMessage, by action: FaultAction) -> WireMessage? {
        guard case .result(let attempt, let answer, let question, let time) = message else {
            return nil
        }
        if action == .swap {
            return previous.withLock { $0 }.map {
                .result(attempt, $0.answer, question: $0.question, computeTime: time)
            }
        }
        let wrong = action == .shape ? WrongAnswer.shape(of: answer) : WrongAnswer.lie(answer)
        return wrong.map { .result(attempt, $0, question: question, computeTime: time) }
    }

    /// The bytes before a header frame's body.
    private static let preambleBytes = 16

    /// One bit of the last frame is another: of a tensor when there is one, else of the body.
    static func flipped(_ frames: Frames, bits: UInt64) -> Frames {
        var frames = frames
        guard let last = frames.indices.last else { return frames }
        let first = last == 0 ? preambleBytes : 0
        guard frames[last].count > first else { return frames }
        let bit = bits % UInt64((frames[last].count - first) * 8)
        frames[last][first + Int(bit / 8)] ^= 1 << UInt8(bit % 8)
        return frames
    }
}
