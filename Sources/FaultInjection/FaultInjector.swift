internal import Locking

/// One fault that was done.
package struct InjectedFault: Hashable, Sendable {
    package let rule: FaultRule
    /// How many of the rule's target there had been.
    package let ordinal: UInt64
    package let step: Int?
    /// Since the injector began.
    package let elapsed: Duration
}

/// How often a rule was asked and how often it struck.
package struct FaultCount: Hashable, Sendable {
    package let rule: FaultRule
    package let injected: Int
    /// How many of the rule's target came by; nil for milestones.
    package let seen: Int
}

/// A process's faults: asked at every place where one can be done, and told when one was. Counts
/// what was done, so that it can be compared with what was noticed.
package final class FaultInjector: Sendable {
    package let spec: FaultSpec
    package let seed: UInt64
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private let record: @Sendable (InjectedFault) -> Void
    private let state: Lock<State>

    private struct State {
        var plan: FaultPlan
        var injected: [Int]
    }

    /// `record` is called before each fault is done, from whatever thread does it; it must not
    /// wait long.
    package init(
        spec: FaultSpec,
        seed: UInt64,
        record: @escaping @Sendable (InjectedFault) -> Void = { _ in }
    ) {
        self.spec = spec
        self.seed = seed
        self.record = record
        start = clock.now
        state = Lock(
            State(
                plan: FaultPlan(spec: spec, seed: seed),
                injected: Array(repeating: 0, count: spec.rules.count)))
    }

    /// How often each rule has struck, in the order of the specification.
    package var counts: [FaultCount] {
        state.withLock { state in
            spec.rules.indices.map { index in
                let rule = spec.rules[index]
                return FaultCount(
                    rule: rule, injected: state.injected[index],
                    seen: Int(clamping: state.plan.count(of: rule.target)))
            }
        }
    }

    /// Whether any rule has a target of these.
    package func concerns(_ targets: [FaultTarget]) -> Bool {
        state.withLock { state in targets.contains { state.plan.concerns($0) } }
    }

    /// One more of `target`: what shall be done to it. Call ``did(_:step:)`` for what is.
    package func next(
        _ target: FaultTarget, in groups: [FaultTarget] = [], step: Int? = nil
    ) -> [FaultPlan.Strike] {
        let elapsed = clock.now - start
        return state.withLock { state in
            state.plan.next(target, in: groups, step: step, elapsed: elapsed)
        }
    }

    /// A fault is about to be done: counted and recorded.
    package func did(_ strike: FaultPlan.Strike, step: Int? = nil) {
        state.withLock { $0.injected[strike.rule] += 1 }
        record(
            InjectedFault(
                rule: spec.rules[strike.rule], ordinal: strike.ordinal, step: step,
                elapsed: clock.now - start))
    }

    /// So many of a milestone are done; the process may end here.
    package func reached(_ target: FaultTarget, number: Int) {
        for strike in state.withLock({ $0.plan.reached(target, number: number) }) {
            did(strike, step: number)
            Death.endProcess(by: strike.action)
        }
    }
}
