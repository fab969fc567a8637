internal import Synchronization

/// What a poll thread received, for one reader. Bounded: above the limit the thread stops reading
/// its socket until the reader has caught up, and the network holds the senders back.
package final class Inbox<Element: Sendable>: AsyncSequence, Sendable {
    private let stream: AsyncStream<Element>
    private let continuation: AsyncStream<Element>.Continuation
    private let depth = Atomic<Int>(0)
    private let limit: Int
    private let onRoom: @Sendable () -> Void

    /// `onRoom` is called from the reader when a full inbox has room again.
    init(limit: Int, onRoom: @escaping @Sendable () -> Void) {
        (stream, continuation) = AsyncStream.makeStream()
        self.limit = limit
        self.onRoom = onRoom
    }

    var hasRoom: Bool { depth.load(ordering: .acquiring) < limit }

    func put(_ element: Element) {
        depth.add(1, ordering: .acquiringAndReleasing)
        continuation.yield(element)
    }

    func finish() { continuation.finish() }

    private func taken() {
        let after = depth.subtract(1, ordering: .acquiringAndReleasing).newValue
        if after == limit - 1 { onRoom() }
    }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncStream<Element>.Iterator
        fileprivate let inbox: Inbox

        package mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(Never) -> Element? {
            let element = await base.next(isolation: actor)
            if element != nil { inbox.taken() }
            return element
        }
    }

    package func makeAsyncIterator() -> Iterator {
        Iterator(base: stream.makeAsyncIterator(), inbox: self)
    }
}
