package import ComputeBackends
internal import Synchronization

/// The encoder of a model, loaded when it is asked for first: most pictures need none, and some
/// models come without.
package final class EncoderLoader: Sendable {
    private let configuration: VAEConfiguration
    private let weights: WeightStore
    private let backend: any ComputeBackend
    private let budget: MemoryBudget
    private let loaded = Mutex<VAEEncoder?>(nil)

    /// `weights` are those of the whole autoencoder; `budget` is what the other networks left.
    package init(
        configuration: VAEConfiguration,
        weights: WeightStore,
        backend: any ComputeBackend,
        budget: MemoryBudget = MemoryBudget()
    ) {
        self.configuration = configuration
        self.weights = weights
        self.backend = backend
        self.budget = budget
    }

    /// The encoder, loaded now if it was not before. Throws ``WeightsError`` naming what is missing
    /// or has another shape.
    package func encoder() throws(WeightsError) -> VAEEncoder {
        try loaded.withLock { (loaded) throws(WeightsError) in
            if let loaded { return loaded }
            let encoder = try VAEEncoder(
                configuration: configuration, weights: weights, backend: backend,
                preparation: preparation)
            loaded = encoder
            return encoder
        }
    }

    /// Ahead where the budget allows it and a memory limit leaves the room.
    private var preparation: Preparation {
        var rest = budget
        guard rest.preparation(for: configuration.encoderParameters) == .ahead else {
            return .onTheWay
        }
        do throws(MemoryShortage) {
            try MemoryLimit.check(
                budget.bytes - rest.bytes, for: "the encoder's weights, prepared ahead",
                leaving: MemoryLimit.leftAtStart)
            return .ahead
        } catch { return .onTheWay }
    }
}
