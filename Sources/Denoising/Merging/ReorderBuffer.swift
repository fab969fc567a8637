/// Arrival order in, plan order out: what makes a sum the same whoever answers first.
package struct ReorderBuffer<Element> {
    private var waiting: [Int: Element] = [:]

    /// The index that is handed out next.
    package private(set) var next: Int

    /// `next` is the first index that is wanted.
    package init(from next: Int = 0) { self.next = next }

    /// How many elements wait for one before them.
    package var count: Int { waiting.count }

    /// Takes an element and returns all that are due now, in order. An index that was seen
    /// before is ignored: answers to a repeated question are the same answer.
    package mutating func insert(
        _ element: Element, at index: Int
    ) -> [(index: Int, element: Element)] {
        guard index >= next, waiting[index] == nil else { return [] }
        waiting[index] = element
        var due: [(index: Int, element: Element)] = []
        while let element = waiting.removeValue(forKey: next) {
            due.append((next, element))
            next += 1
        }
        return due
    }
}
