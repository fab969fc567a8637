internal import Sampling

/// Decides what goes wrong: a pure value, the same for the same seed and the same sequence of
/// questions.
///
/// Random decisions come from Philox, keyed by the seed; the counter is (ordinal, target and
/// action, purpose). A decision therefore depends on nothing but the seed and how many of its
/// target there were: not on time, on other targets, or on the other rules.
package struct FaultPlan: Sendable {
    package let spec: FaultSpec
    package let seed: UInt64
    private var ordinals: [FaultTarget: UInt64] = [:]
    private let targets: Set<FaultTarget>

    /// A rule that strikes, with 64 random bits for its details.
    package struct Strike: Hashable, Sendable {
        /// Position in ``FaultSpec/rules``.
        package let rule: Int
        package let action: FaultAction
        package let ordinal: UInt64
        package let bits: UInt64

        /// How long a ``FaultAction/delay(_:)`` lasts here; zero for other actions.
        package var delay: Duration {
            guard case .delay(let range) = action else { return .zero }
            let share = Double(bits >> 11) * 0x1p-53
            return range.lowerBound + (range.upperBound - range.lowerBound) * share
        }
    }

    package init(spec: FaultSpec, seed: UInt64) {
        self.spec = spec
        self.seed = seed
        targets = Set(spec.rules.map(\.target))
    }

    /// Whether any rule has this target.
    package func concerns(_ target: FaultTarget) -> Bool { targets.contains(target) }

    /// One more of `target` (and of the groups it belongs to): the rules that strike it, in the
    /// order of the specification.
    package mutating func next(
        _ target: FaultTarget,
        in groups: [FaultTarget] = [],
        step: Int? = nil,
        elapsed: Duration = .zero
    ) -> [Strike] {
        let names = [target] + groups
        for name in names where concerns(name) { ordinals[name, default: 0] += 1 }
        return spec.rules.indices.compactMap { index in
            let rule = spec.rules[index]
            guard names.contains(rule.target) else { return nil }
            let ordinal = ordinals[rule.target, default: 0]
            let moment = FaultMoment(ordinal: ordinal, step: step, elapsed: elapsed)
            guard Self.strikes(rule, at: moment, seed: seed) else { return nil }
            let bits = Self.bits(rule, ordinal: ordinal, seed: seed).detail
            return Strike(rule: index, action: rule.action, ordinal: ordinal, bits: bits)
        }
    }

    /// A milestone, such as the end of a step, has a number of its own.
    package func reached(_ target: FaultTarget, number: Int) -> [Strike] {
        spec.rules.indices.compactMap { index in
            let rule = spec.rules[index]
            guard rule.target == target else { return nil }
            let ordinal = UInt64(number)
            let moment = FaultMoment(ordinal: ordinal, step: number)
            guard Self.strikes(rule, at: moment, seed: seed) else { return nil }
            return Strike(rule: index, action: rule.action, ordinal: ordinal, bits: 0)
        }
    }

    /// How many of `target` there were.
    package func count(of target: FaultTarget) -> UInt64 { ordinals[target, default: 0] }

    /// Whether a rule strikes at a moment.
    package static func strikes(_ rule: FaultRule, at moment: FaultMoment, seed: UInt64) -> Bool {
        switch rule.occasion {
        case .always: true
        case .probability(let probability):
            Double(bits(rule, ordinal: moment.ordinal, seed: seed).chance >> 11) * 0x1p-53
                < probability
        case .share(let hits, let period):
            (moment.ordinal &- 1) % period >= period - hits
        case .ordinals(let range): range.contains(moment.ordinal)
        case .steps(let range): moment.step.map { range.contains(UInt64($0)) } ?? false
        case .times(let from, let until): from <= moment.elapsed && moment.elapsed < until
        }
    }

    /// Tells these numbers from those of a picture made with the same seed.
    private static let purpose: UInt32 = 0xFA17_0000

    private static func bits(
        _ rule: FaultRule, ordinal: UInt64, seed: UInt64
    ) -> (chance: UInt64, detail: UInt64) {
        let kind = UInt32(rule.target.number) << 8 | UInt32(rule.action.name.number)
        let block = Philox4x32.block(
            counter: SIMD4(
                UInt32(truncatingIfNeeded: ordinal), UInt32(truncatingIfNeeded: ordinal >> 32),
                kind, purpose),
            key: Philox4x32.key(seed: seed))
        return (
            UInt64(block.y) << 32 | UInt64(block.x), UInt64(block.w) << 32 | UInt64(block.z)
        )
    }
}

extension FaultTarget {
    fileprivate var number: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

extension FaultAction.Name {
    fileprivate var number: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
