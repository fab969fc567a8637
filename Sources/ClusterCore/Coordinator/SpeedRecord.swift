/// Recent compute times of one kind of task: what leases and copies are measured by.
struct SpeedRecord: Sendable {
    private static let capacity = 64
    private var times: [Duration] = []
    private var next = 0

    var count: Int { times.count }

    mutating func add(_ time: Duration) {
        if times.count < Self.capacity {
            times.append(time)
        } else {
            times[next] = time
        }
        next = (next + 1) % Self.capacity
    }

    /// The middle one, nil without any.
    var median: Duration? { quantile(percent: 50) }

    /// 95 of 100 were at most this, nil without any.
    var percentile95: Duration? { quantile(percent: 95) }

    private func quantile(percent: Int) -> Duration? {
        guard !times.isEmpty else { return nil }
        let rank = (times.count * percent + 99) / 100
        return times.sorted()[max(1, rank) - 1]
    }
}
