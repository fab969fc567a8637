/// How often a worker process that dies is replaced: often enough for accidents, rarely enough
/// that one that cannot live is given up within moments.
package struct CrashBudget: Hashable, Sendable {
    /// Replacements within ``window``.
    package let count: Int
    package let window: Duration
    /// Before a replacement is started.
    package let pause: Duration

    package init(count: Int, window: Duration, pause: Duration) {
        self.count = count
        self.window = window
        self.pause = pause
    }

    /// Ten a minute: a kill every few seconds is survived for long, a crash at start is not.
    package static let standard = CrashBudget(
        count: 10, window: .seconds(60), pause: .milliseconds(200))

    /// Nobody is replaced.
    package static let none = CrashBudget(count: 0, window: .zero, pause: .zero)

    /// Whether a process that ended so is replaced. `deaths` are the times of earlier ones, on
    /// one clock; this one is added and those outside the window are dropped.
    func allows(
        _ cause: WorkerProcessEnd.Cause, after deaths: inout [Duration], at now: Duration
    ) -> Bool {
        switch cause {
        case .notStarted: return false
        // In order; or a command line, a model or a coordinator that will be no better next time.
        case .exited(0), .exited(64), .exited(65), .exited(69): return false
        case .exited, .signalled: break
        }
        deaths.removeAll { now - $0 > window }
        deaths.append(now)
        return deaths.count <= count
    }
}
