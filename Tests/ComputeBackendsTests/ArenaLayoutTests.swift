import TestSupport
import Testing

@testable import ComputeBackends

/// A number below `bound` from the stream.
private func number(_ stream: inout NumberStream, below bound: Int) -> Int {
    min(Int((stream.next() + 1) / 2 * Float(bound)), bound - 1)
}

@Suite("Arena layout", .watched)
struct ArenaLayoutTests {
    /// Random arrays, most of them short-lived, as a network's are.
    private func items(seed: Int) -> [ArenaLayout.Item] {
        var stream = NumberStream(seed)
        return (0..<(1 + number(&stream, below: 120))).map { _ in
            let first = number(&stream, below: 50)
            let isLong = number(&stream, below: 5) == 0
            let last = first + number(&stream, below: isLong ? 40 : 4)
            return ArenaLayout.Item(
                size: number(&stream, below: 3) * number(&stream, below: 1000),
                lifetime: first...last)
        }
    }

    @Test("arrays in use together lie apart, aligned and inside", arguments: 1...40)
    func apart(_ seed: Int) {
        let items = items(seed: seed)
        let alignment = [1, 16, 48][seed % 3]
        let layout = ArenaLayout(items, alignment: alignment)
        #expect(layout.offsets.count == items.count)
        for (index, item) in items.enumerated() {
            let offset = layout.offsets[index]
            #expect(offset >= 0 && offset % alignment == 0)
            #expect(item.size == 0 || offset + item.size <= layout.size)
            for other in items.indices[..<index] where item.size * items[other].size > 0 {
                let start = layout.offsets[other]
                let isApart =
                    !item.lifetime.overlaps(items[other].lifetime)
                    || offset + item.size <= start || start + items[other].size <= offset
                #expect(isApart, "\(index) and \(other)")
            }
        }
    }

    @Test("the arena is no larger than all arrays and no smaller than the peak", arguments: 1...40)
    func bounds(_ seed: Int) {
        let items = items(seed: seed)
        let layout = ArenaLayout(items, alignment: 1)
        let peak = ArenaLayout.peak(items)
        #expect(layout.size >= peak)
        #expect(layout.size <= items.reduce(0) { $0 + $1.size })
        // A bound for regressions, not a law.
        #expect(Double(layout.size) <= 1.35 * Double(peak), "\(layout.size) for \(peak)")
    }

    @Test("a chain of steps takes two places in turn")
    func chain() {
        let items = (0..<100).map { ArenaLayout.Item(size: 100, lifetime: $0...($0 + 1)) }
        #expect(ArenaLayout.peak(items) == 200)
        let layout = ArenaLayout(items, alignment: 16)
        #expect(layout.size == 2 * 112)
        #expect(Set(layout.offsets) == [0, 112])
    }

    @Test("a small array goes into the smallest gap that holds it")
    func bestFit() {
        let sizes = [100, 90, 80, 30, 20]
        let lifetimes = [0...1, 0...9, 0...9, 0...9, 2...3]
        let items = zip(sizes, lifetimes).map { ArenaLayout.Item(size: $0, lifetime: $1) }
        let layout = ArenaLayout(items, alignment: 1)
        #expect(layout.size == 300)
        // Where the first array was.
        #expect(layout.offsets[4] == layout.offsets[0])
    }

    @Test("nothing takes no place")
    func nothing() {
        #expect(ArenaLayout([], alignment: 16).size == 0)
        let items = [0...3, 1...1].map { ArenaLayout.Item(size: 0, lifetime: $0) }
        #expect(ArenaLayout(items, alignment: 16).size == 0)
        #expect(ArenaLayout.peak(items) == 0)
    }
}
