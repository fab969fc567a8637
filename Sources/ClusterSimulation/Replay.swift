package import ClusterCore

/// A recorded life of a coordinator, lived again: the same events through the same decisions, with
/// the referee watching.
package struct Replay {
    private var state: CoordinatorState
    private var referee: Referee
    package private(set) var story = ReplayStory()

    package init(_ setup: CoordinatorSetup) {
        state = CoordinatorState(setup)
        referee = Referee(limits: setup.limits)
    }

    /// Invariants that were seen not to hold.
    package var violations: [Violation] { referee.violations }

    /// What the coordinator counted.
    package var counters: ClusterCounters { state.counters }

    /// Why the event cannot have happened next, or nil: what would be a mistake of the caller in a
    /// running program is a damaged record here.
    package func problem(of event: CoordinatorEvent) -> String? { referee.problem(of: event) }

    /// One more event. Returns what was decided.
    package mutating func handle(
        _ event: CoordinatorEvent, at now: Instant
    ) -> [CoordinatorEffect] {
        let effects = state.handle(event, at: now)
        referee.observe(event, effects, state, at: now)
        story.note(event, effects, at: now)
        return effects
    }
}
