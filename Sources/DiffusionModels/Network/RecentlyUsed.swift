/// A few values by key: when there are too many, the least recently used goes.
struct RecentlyUsed<Key: Equatable & Sendable, Value: Sendable>: Sendable {
    /// The most recently used comes last.
    private var entries: [(key: Key, value: Value)] = []
    private let limit: Int

    /// Keeps `limit` values at most, one or more.
    init(limit: Int) {
        precondition(limit > 0, "a cache of nothing")
        self.limit = limit
    }

    /// How many there are.
    var count: Int { entries.count }

    /// The value, which becomes the most recently used.
    mutating func find(_ key: Key) -> Value? {
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        entries.append(entries.remove(at: index))
        return entries.last?.value
    }

    /// Keeps a value under a key that is not there yet.
    mutating func insert(_ value: Value, for key: Key) {
        if entries.count == limit { entries.removeFirst() }
        entries.append((key, value))
    }

    mutating func removeAll() { entries.removeAll() }
}
