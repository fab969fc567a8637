internal import Locking

/// Given once, and heard by any number of tasks, early and late ones.
final class StopSignal: Sendable {
    private struct State {
        var isGiven = false
        var waiting: [AsyncStream<Never>.Continuation] = []
    }

    private let state = Lock(State())

    var isGiven: Bool { state.withLock { $0.isGiven } }

    func give() {
        let waiting = state.withLock { state in
            state.isGiven = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.finish() }
    }

    /// Returns when the signal was given or the task is cancelled.
    func wait() async {
        let (stream, continuation) = AsyncStream.makeStream(of: Never.self)
        let isGiven = state.withLock { state in
            if !state.isGiven { state.waiting.append(continuation) }
            return state.isGiven
        }
        if isGiven { return }
        for await _ in stream {}
    }

    /// Likewise, and at the latest after `time`.
    func wait(atMost time: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait() }
            group.addTask { try? await Task.sleep(for: time) }
            await group.next()
            group.cancelAll()
        }
    }
}
