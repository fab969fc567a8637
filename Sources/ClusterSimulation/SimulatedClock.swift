internal import ClusterCore
internal import HeapModule

/// The time, and what is going to happen: simulated time jumps from one event to the next.
struct SimulatedClock<Happening> {
    private struct Entry: Comparable {
        let at: Instant
        /// Events of one instant happen in the order in which they were planned.
        let order: UInt64
        let happening: Happening

        static func < (lhs: Entry, rhs: Entry) -> Bool {
            (lhs.at, lhs.order) < (rhs.at, rhs.order)
        }

        static func == (lhs: Entry, rhs: Entry) -> Bool { lhs.order == rhs.order }
    }

    private(set) var now = Instant(sinceStart: .zero)
    private var entries: Heap<Entry> = []
    private var planned: UInt64 = 0

    /// Events that are still to happen.
    var pending: Int { entries.count }

    mutating func plan(_ happening: Happening, at instant: Instant) {
        planned += 1
        entries.insert(Entry(at: max(instant, now), order: planned, happening: happening))
    }

    mutating func plan(_ happening: Happening, in delay: Duration) {
        plan(happening, at: now + delay)
    }

    /// Moves to the next event; nil when nothing is going to happen any more.
    mutating func next() -> Happening? {
        guard let entry = entries.popMin() else { return nil }
        now = entry.at
        return entry.happening
    }
}

extension Instant {
    static func seconds(_ value: Int) -> Instant { Instant(sinceStart: .seconds(value)) }
}
