internal import Synchronization

/// Counts finished operations; readable from any thread while others compute, so that a
/// heartbeat can tell a long computation from a stuck one.
package final class ProgressCounter: Sendable {
    private let counter = Atomic<UInt64>(0)

    package init() {}

    /// Operations finished so far; never falls.
    package var count: UInt64 { counter.load(ordering: .relaxed) }

    func advance() { counter.wrappingAdd(1, ordering: .relaxed) }
}
