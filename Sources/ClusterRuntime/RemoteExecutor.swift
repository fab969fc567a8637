internal import ClusterCore
package import Denoising
internal import WireCodec

/// Asks the workers: the same questions and answers as a function call in this process.
package struct RemoteExecutor: TaskExecutor {
    private let coordinator: Coordinator
    private let limits: Limits

    init(coordinator: Coordinator, limits: Limits) {
        self.coordinator = coordinator
        self.limits = limits
    }

    /// As ``TaskExecutor`` says. Throws ``JobFailure`` when no worker comes, or a task fails too
    /// often, or the coordinator stops; ``WireError`` when an item is too large to travel.
    package func execute(
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try Task.checkCancellation()
        guard !items.isEmpty else { return }
        for item in items { try WireCodec.check(item, limits: limits) }
        let batch = coordinator.begin(items, conditioning: conditioning)
        var delivered = 0
        defer { coordinator.end(batch, isComplete: delivered == items.count) }
        for try await answer in batch.answers {
            try await deliver(items[answer.position].index, answer.answer)
            coordinator.consumed(batch)
            delivered += 1
            if delivered == items.count { return }
        }
        // The stream ends early only when this task was cancelled.
        try Task.checkCancellation()
        throw JobFailure.shutdown
    }
}
