/// Places in one block of memory for arrays whose times of use are known ahead: arrays that are
/// in use together lie apart, others may share their place.
///
/// Largest first, or largest and longest in use first, each in the smallest gap that is free
/// during its whole time (Pisarchyk & Lee 2020, arXiv 2001.03288, "greedy by size").
struct ArenaLayout: Sendable {
    /// An array to be placed.
    struct Item: Sendable {
        /// At least 0, in whatever unit the layout is in.
        let size: Int
        /// From when it is written to when it is last read, both included.
        let lifetime: ClosedRange<Int>
    }

    /// Where each item begins, in the items' order; a multiple of the alignment.
    let offsets: [Int]
    /// Of the whole block.
    let size: Int

    /// Lays out `items`; `alignment` is positive.
    init(_ items: [Item], alignment: Int) {
        precondition(alignment > 0, "no alignment")
        let items = items.map { item in
            let size = (item.size + alignment - 1) / alignment * alignment
            return Item(size: size, lifetime: item.lifetime)
        }
        // Neither order is always the better one.
        let layouts = [
            Self.placed(items) { $0.size },
            Self.placed(items) { $0.size * $0.lifetime.count },
        ]
        self = layouts[1].size < layouts[0].size ? layouts[1] : layouts[0]
    }

    private init(offsets: [Int], size: Int) {
        self.offsets = offsets
        self.size = size
    }

    /// Places the items one by one, those of the highest rank first.
    private static func placed(_ items: [Item], rank: (Item) -> Int) -> ArenaLayout {
        var offsets = Array(repeating: 0, count: items.count)
        // Numbers of the items that have a place, by ascending offset.
        var placed: [Int] = []
        var end = 0
        let ranks = items.map(rank)
        let order = items.indices.sorted { (ranks[$1], $0) < (ranks[$0], $1) }
        for index in order where items[index].size > 0 {
            let (size, lifetime) = (items[index].size, items[index].lifetime)
            var best: (offset: Int, gap: Int)?
            var free = 0
            for other in placed where items[other].lifetime.overlaps(lifetime) {
                let gap = offsets[other] - free
                if gap >= size, gap < best?.gap ?? .max { best = (free, gap) }
                free = max(free, offsets[other] + items[other].size)
            }
            let offset = best?.offset ?? free
            offsets[index] = offset
            end = max(end, offset + size)
            let position = placed.partitioningIndex { offsets[$0] >= offset }
            placed.insert(index, at: position)
        }
        return ArenaLayout(offsets: offsets, size: end)
    }

    /// The most that is in use at one time: no layout is smaller.
    static func peak(_ items: [Item]) -> Int {
        var changes: [Int: Int] = [:]
        for item in items {
            changes[item.lifetime.lowerBound, default: 0] += item.size
            changes[item.lifetime.upperBound + 1, default: 0] -= item.size
        }
        var (inUse, most) = (0, 0)
        for time in changes.keys.sorted() {
            inUse += changes[time] ?? 0
            most = max(most, inUse)
        }
        return most
    }
}

extension Array {
    /// The first index whose element, as all after it, satisfies `isAfter`.
    fileprivate func partitioningIndex(where isAfter: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if isAfter(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
