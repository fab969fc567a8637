import Locking

/// State that a test waits on: changed by whoever has news, awaited until a question about it has an
/// answer. Every wait ends with its task, so that a test's time limit ends the test.
package final class Watched<State: Sendable>: Sendable {
    private typealias Waiter = (
        isOver: @Sendable (State) -> Bool, continuation: CheckedContinuation<Void, any Error>
    )

    private struct Content: Sendable {
        var state: State
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
    }

    private let content: Lock<Content>

    package init(_ state: State) { content = Lock(Content(state: state)) }

    /// The state as it is now.
    package var value: State { content.withLock { $0.state } }

    /// Changes the state, then ends every wait whose question has an answer.
    @discardableResult
    package func change<Result>(_ change: (inout State) throws -> Result) rethrows -> Result {
        let (result, answered) = try content.withLock { content in
            let result = try change(&content.state)
            let answered = content.waiters.filter { $0.value.isOver(content.state) }
            for waiter in answered.keys { content.waiters[waiter] = nil }
            return (result, answered.values.map(\.continuation))
        }
        for continuation in answered { continuation.resume() }
        return result
    }

    /// Waits until `isOver` holds, and returns the state that it held for or a later one. Throws
    /// `CancellationError` when the task is cancelled before.
    @discardableResult
    package func wait(until isOver: @escaping @Sendable (State) -> Bool) async throws -> State {
        let waiter = content.withLock { content in
            content.nextWaiter += 1
            return content.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let end: Result<Void, any Error>? = content.withLock { content in
                    if isOver(content.state) { return .success(()) }
                    // From here on, the handler below finds the waiter.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    content.waiters[waiter] = (isOver, continuation)
                    return nil
                }
                if let end { continuation.resume(with: end) }
            }
        } onCancel: {
            let waiter = content.withLock { $0.waiters.removeValue(forKey: waiter) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
        return value
    }
}
