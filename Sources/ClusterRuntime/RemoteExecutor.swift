internal import ClusterCore
package import Denoising
internal import Tensors
internal import WireCodec

/// A question and what the model answers, computed by somebody who is trusted.
package struct KnownAnswer: Sendable {
    package let item: WorkItem
    package let answer: WorkAnswer

    package init(item: WorkItem, answer: WorkAnswer) {
        self.item = item
        self.answer = answer
    }

    /// Says how an answer to the same question differs.
    func difference(from other: WorkAnswer) -> String {
        switch (answer, other) {
        case (.denoise(let expected), .denoise(let found)):
            if let (a, b) = zip(expected, found).first(where: { $0 != $1 }) {
                let pairs = zip(a.values, b.values)
                let count = pairs.count { $0 != $1 }
                let largest = pairs.reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                return "\(count) of \(a.values.count) numbers of the known prediction differ, by "
                    + "up to \(largest); it has other weights or precision, or a broken library"
            }
        case (.decode(let expected), .decode(let found)):
            let count = zip(expected.bytes, found.bytes).count { $0 != $1 }
            return "\(count) of \(expected.bytes.count) bytes of the known picture differ; it has "
                + "another decoder, or a broken library"
        default: break
        }
        return "its answer to the known question is of another shape"
    }
}

/// Asks the workers: the same questions and answers as a function call in this process.
package struct RemoteExecutor: TaskExecutor {
    private let coordinator: Coordinator
    private let limits: Limits

    private let known: [KnownAnswer]

    init(coordinator: Coordinator, limits: Limits, known: [KnownAnswer]) {
        self.coordinator = coordinator
        self.limits = limits
        self.known = known
    }

    /// As ``TaskExecutor`` says. Throws ``JobFailure`` when no worker comes, or a task fails too
    /// often, or the coordinator stops; ``ComputeError/notFinite(index:_:)`` when workers find no
    /// finite picture in a tile; ``WireError`` when an item is too large to travel.
    package func execute(
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try Task.checkCancellation()
        guard !items.isEmpty else { return }
        for item in items { try WireCodec.check(item, limits: limits) }
        let batch = coordinator.begin(items, conditioning: conditioning, known: known)
        var delivered = 0
        defer { coordinator.end(batch, isComplete: delivered == items.count) }
        do {
            for try await answer in batch.answers {
                try await deliver(items[answer.position].index, answer.answer)
                coordinator.consumed(batch)
                delivered += 1
                if delivered == items.count { return }
            }
        } catch JobFailure.taskFailed(let task, let evidence)
            where task.kind == .decode
            && evidence.contains(where: { $0.failure.code == .notFinite })
        {
            // The number of the task in its batch says nothing about where the tile lies.
            throw ComputeError.notFinite(
                index: items[Int(task.index)].index,
                evidence.map(\.description).joined(separator: "; "))
        }
        // The stream ends early only when this task was cancelled.
        try Task.checkCancellation()
        throw JobFailure.shutdown
    }
}
