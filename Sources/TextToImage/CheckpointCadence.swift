/// When a step that is under way is worth keeping: some time after anything was kept, so that
/// quick steps cost nothing, and far more rarely than writing takes.
struct CheckpointCadence: Sendable {
    private let interval: Duration
    private var last: ContinuousClock.Instant
    private var lastTook = Duration.zero

    /// Writing may take this part of the time: one in twenty.
    private static let sparing = 20

    /// With an `interval` of zero everything is worth it.
    init(interval: Duration, from now: ContinuousClock.Instant) {
        self.interval = interval
        last = now
    }

    func isDue(at now: ContinuousClock.Instant) -> Bool {
        interval == .zero || now - last >= max(interval, lastTook * Self.sparing)
    }

    /// Something was handed to the writer.
    mutating func restart(at now: ContinuousClock.Instant) { last = now }

    /// The writer needed so long for it.
    mutating func wrote(in time: Duration) { lastTook = time }
}
