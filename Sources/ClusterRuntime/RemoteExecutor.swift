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
                return Self.difference(of: a, from: b, called: "prediction")
            }
        case (.pixels(let expected), .pixels(let found)):
            return Self.difference(of: expected, from: found, called: "picture")
        case (.encode(let expected), .encode(let found)):
            return Self.difference(of: expected, from: found, called: "latent")
        case (.decode(let expected), .decode(let found)):
            let count = zip(expected.bytes, found.bytes).count { $0 != $1 }
            return "\(count) of \(expected.bytes.count) bytes of the known picture differ; it has "
                + "another decoder, or a broken library"
        default: break
        }
        return "its answer to the known question is of another shape"
    }

    private static func difference<Image: Planar>(
        of a: Image, from b: Image, called name: String
    ) -> String {
        let pairs = zip(a.values, b.values)
        let count = pairs.count { $0 != $1 }
        let largest = pairs.reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
        return "\(count) of \(a.values.count) numbers of the known \(name) differ, by up to "
            + "\(largest); it has other weights or precision, or a broken library"
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
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try Task.checkCancellation()
        guard items.count > 0 else { return }
        // The items of a list are alike.
        let inFlight = items[0].countUnderWay(workers: coordinator.liveWorkers)
        var asked = min(items.count, inFlight)
        let first = try (0..<asked).map { try checked(items[$0]) }
        let batch = coordinator.begin(first, conditionings: conditionings, known: known)
        var delivered = 0
        defer { coordinator.end(batch, isComplete: delivered == items.count) }
        do {
            for try await answer in batch.answers {
                try await deliver(answer.position, answer.answer)
                coordinator.consumed(answer)
                delivered += 1
                if delivered == items.count { return }
                while asked < items.count, asked - delivered < inFlight {
                    coordinator.ask(try checked(items[asked]), at: asked, in: batch)
                    asked += 1
                }
            }
        } catch JobFailure.taskFailed(let task, let evidence)
            where task.kind != .denoise
            && evidence.contains(where: { $0.failure.code == .notFinite })
        {
            // The number of the task in its batch says nothing about where the tile lies.
            throw ComputeError.notFinite(
                index: items[Int(task.index)].index,
                Self.reasons(in: evidence))
        }
        // The stream ends early only when this task was cancelled.
        try Task.checkCancellation()
        throw JobFailure.shutdown
    }

    /// What the workers said, each thing once.
    private static func reasons(in evidence: [AttemptFailure]) -> String {
        var said: [String] = []
        for failure in evidence where !said.contains(failure.description) {
            said.append(failure.description)
        }
        return said.joined(separator: "; ")
    }

    private func checked(_ item: WorkItem) throws(WireError) -> WorkItem {
        try WireCodec.check(item, limits: limits)
        return item
    }
}
