internal import ClusterCore

/// Turns counters into lines, at most one per reason and period, however many knock.
struct RefusalLog: Sendable {
    private struct Report {
        var count: Int
        var at: ContinuousClock.Instant
    }

    private let period: Duration
    private var reports: [RefusalReason: Report] = [:]

    init(period: Duration) { self.period = period }

    mutating func lines(
        for counters: TransportCounters, at now: ContinuousClock.Instant
    ) -> [String] {
        var lines: [String] = []
        for reason in RefusalReason.allCases {
            let total = counters.refused[reason] ?? 0
            let last = reports[reason]
            let new = total - (last?.count ?? 0)
            guard new > 0, last.map({ now - $0.at >= period }) ?? true else { continue }
            reports[reason] = Report(count: total, at: now)
            lines.append("refused: \(reason), \(new) times, \(total) in all")
        }
        return lines
    }
}
