import ClusterRuntime
import Denoising
import TextToImage

/// Computes on the workers of a coordinator: one that stays up, or one that comes and goes with
/// the picture.
struct ClusterComputing: PictureComputing {
    /// Lends the coordinator.
    let withCoordinator:
        @Sendable (_ body: @escaping @Sendable (Coordinator) async throws -> Void) async throws ->
            Void

    func compute(
        _ picture: PreparedPicture,
        _ body: @escaping @Sendable (any TaskExecutor) async throws -> Void
    ) async throws {
        // Before any worker is started or heard.
        let known = try await picture.trialAnswers().map {
            KnownAnswer(item: $0.item, answer: $0.answer)
        }
        try await withCoordinator { coordinator in
            try await body(coordinator.executor(known: known))
        }
    }
}
