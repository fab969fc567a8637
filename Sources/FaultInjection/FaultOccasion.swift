/// When a rule strikes. Ordinals count what its target is from 1, in this process.
package enum FaultOccasion: Hashable, Sendable {
    case always
    /// Each time with this probability, 0 … 1.
    case probability(Double)
    /// The last `hits` of every `period`: 1/3 strikes the 3rd, the 6th, the 9th.
    case share(hits: UInt64, period: UInt64)
    /// The ordinals of the range.
    case ordinals(ClosedRange<UInt64>)
    /// Whatever belongs to a sampling step of the range.
    case steps(ClosedRange<UInt64>)
    /// Whatever happens in this time since the process began.
    case times(from: Duration, until: Duration)

    /// No upper bound.
    package static let forever: Duration = .seconds(1 << 40)

    /// In the form that is parsed; empty for ``always``.
    package var text: String {
        switch self {
        case .always: ""
        case .probability(let value): FaultText.probability(value)
        case .share(let hits, let period): "\(hits)/\(period)"
        case .ordinals(let range): Self.text(of: range)
        case .steps(let range): "step" + Self.text(of: range)
        case .times(let from, let until):
            FaultText.text(of: from) + ".."
                + (until == Self.forever ? "" : FaultText.text(of: until))
        }
    }

    private static func text(of range: ClosedRange<UInt64>) -> String {
        if range.lowerBound == range.upperBound { return "\(range.lowerBound)" }
        return "\(range.lowerBound).."
            + (range.upperBound == .max ? "" : "\(range.upperBound)")
    }
}

/// The moment that is judged.
package struct FaultMoment: Hashable, Sendable {
    /// How many of its target there have been, this one included.
    package let ordinal: UInt64
    /// The sampling step it belongs to; nil when it belongs to none.
    package let step: Int?
    /// Since the process began.
    package let elapsed: Duration

    package init(ordinal: UInt64, step: Int? = nil, elapsed: Duration = .zero) {
        self.ordinal = ordinal
        self.step = step
        self.elapsed = elapsed
    }
}
