package import ComputeBackends
package import Denoising
package import DiffusionModels
internal import Sampling
internal import Tensors

/// Who computes pictures: this process, or workers.
package protocol PictureComputing: Sendable {
    /// Runs `body` with an executor for this picture. Throws what `body` throws, and why there is
    /// no such executor.
    func compute(
        _ picture: PreparedPicture,
        _ body: @escaping @Sendable (any TaskExecutor) async throws -> Void
    ) async throws
}

/// A picture that only waits for somebody to compute it.
package struct PreparedPicture: Sendable {
    package let generator: ImageGenerator
    package let model: ModelFolder
    package let backend: any ComputeBackend

    /// What whoever computes has to answer first: see ``PicturePlan/trialQuestions(seed:)``. Throws
    /// `WeightsError` when the answers are not finite, and `CancellationError`.
    package func trialAnswers() async throws -> [(item: WorkItem, answer: WorkAnswer)] {
        try await model.answers(
            to: generator.picture.trialQuestions(seed: .random(in: 0...UInt64.max)),
            conditionings: generator.conditionings, on: backend)
    }
}

extension ModelFolder {
    /// What the model answers to a few small questions, each with the conditioning of its number.
    /// Throws `WeightsError` when that is not finite, and `CancellationError`.
    func answers(
        to questions: [WorkItem], conditionings: [Conditioning], on backend: any ComputeBackend
    ) async throws -> [(item: WorkItem, answer: WorkAnswer)] {
        // Nothing is prepared ahead for that.
        let host = ModelHost(
            model: try LoadedModel(
                folder: self, backend: backend, memoryBudget: MemoryBudget(bytes: 0)))
        var answers: [(item: WorkItem, answer: WorkAnswer)] = []
        do {
            for item in questions {
                let conditioning = conditionings[item.conditioning]
                try await host.prepare(conditioning)
                let answer = try await abandonable {
                    try await host.compute(item, conditioning: conditioning.fingerprint)
                }
                answers.append((item, answer))
            }
        } catch ComputeError.notFinite(_, let reason) {
            // No worker would do better; nothing is lost yet.
            throw WeightsError.malformed(
                path: path,
                reason: "\(reason), asked a question before anything else; `tessera doctor` finds "
                    + "damaged weights")
        }
        return answers
    }
}

/// Computes in this process.
package struct LocalComputing: PictureComputing {
    private let budget: MemoryBudget

    /// `budget` is the memory for weights that are prepared ahead.
    package init(budget: MemoryBudget) { self.budget = budget }

    /// Throws `WeightsError`, and `ComputeError` when a memory limit leaves too little room.
    package func compute(
        _ picture: PreparedPicture,
        _ body: @escaping @Sendable (any TaskExecutor) async throws -> Void
    ) async throws {
        let generator = picture.generator
        let loaded = try LoadedModel(
            folder: picture.model, backend: picture.backend, memoryBudget: budget)
        try loaded.checkRoom(
            for: generator.picture.plan, tiles: generator.picture.tiles,
            tokens: generator.conditionings[0].prompt.hiddenStates.shape[0])
        try await body(LocalExecutor(model: ModelHost(model: loaded)))
    }
}
