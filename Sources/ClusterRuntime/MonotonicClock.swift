internal import ClusterCore

/// Time since it was made, on the system's monotonic clock.
struct MonotonicClock: Sendable {
    private let start = ContinuousClock.now

    var now: Instant { Instant(sinceStart: ContinuousClock.now - start) }
}
