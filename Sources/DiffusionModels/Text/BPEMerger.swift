/// Merges the symbols of one word by rank, leftmost first among equals, in O(n log n): a hostile
/// word of 100 kB must not take quadratic time.
struct BPEMerger {
    /// A merge that was possible when it was found. Stale when a neighbour merged since.
    private struct Candidate {
        let rank: Int
        let position: Int
        let left: Int
        let right: Int
        let result: Int

        func precedes(_ other: Candidate) -> Bool {
            (rank, position) < (other.rank, other.position)
        }
    }

    private let vocabulary: BPEVocabulary
    private var symbols: [Int]
    /// The next symbol still there; `symbols.count` after the last.
    private var next: [Int]
    /// The symbol before; -1 before the first.
    private var previous: [Int]
    private var isGone: [Bool]
    /// A binary heap, smallest first.
    private var heap: [Candidate] = []

    init(symbols: [Int], vocabulary: BPEVocabulary) {
        self.vocabulary = vocabulary
        self.symbols = symbols
        next = symbols.indices.map { $0 + 1 }
        previous = symbols.indices.map { $0 - 1 }
        isGone = Array(repeating: false, count: symbols.count)
    }

    consuming func merged() -> [Int] {
        for position in symbols.indices { propose(at: position) }
        while let best = pop() {
            let right = next[best.position]
            let isCurrent =
                !isGone[best.position] && symbols[best.position] == best.left
                && right < symbols.count && symbols[right] == best.right
            guard isCurrent else { continue }
            symbols[best.position] = best.result
            isGone[right] = true
            next[best.position] = next[right]
            if next[right] < symbols.count { previous[next[right]] = best.position }
            if previous[best.position] >= 0 { propose(at: previous[best.position]) }
            propose(at: best.position)
        }
        return symbols.indices.filter { !isGone[$0] }.map { symbols[$0] }
    }

    /// Adds the merge of the symbol at `position` with its successor, if there is one.
    private mutating func propose(at position: Int) {
        let right = next[position]
        guard right < symbols.count,
            let merge = vocabulary.merge(symbols[position], symbols[right])
        else { return }
        push(
            Candidate(
                rank: merge.rank, position: position, left: symbols[position],
                right: symbols[right], result: merge.result))
    }

    private mutating func push(_ candidate: Candidate) {
        heap.append(candidate)
        var child = heap.count - 1
        while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() -> Candidate? {
        guard let best = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return best }
        heap[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child].precedes(heap[smallest]) {
                smallest = child
            }
            guard smallest != parent else { return best }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
