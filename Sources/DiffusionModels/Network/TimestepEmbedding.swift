internal import ComputeBackends
internal import Glibc
internal import Tensors

/// Sinusoids of a number at `width / 2` frequencies from 1 down to 1/10000 (Vaswani et al. 2017,
/// arXiv 1706.03762, section 3.5), as diffusers' `get_timestep_embedding` computes them: in
/// float32, step by step.
package struct SinusoidalEmbedding: Sendable {
    /// Even.
    package let width: Int
    /// Cosines before sines.
    package let flipSineToCosine: Bool
    /// Shortens the range of frequencies: they fall as 10000^(−i/(width/2 − shift)).
    package let frequencyShift: Double

    /// Traps unless `width` is even and positive.
    package init(width: Int, flipSineToCosine: Bool, frequencyShift: Double) {
        precondition(width > 0 && width % 2 == 0, "sines and cosines come in pairs")
        self.width = width
        self.flipSineToCosine = flipSineToCosine
        self.frequencyShift = frequencyShift
    }

    /// The `width` values for one number.
    package func values(of number: Double) -> [Float] {
        let half = width / 2
        let divisor = Float(Double(half) - frequencyShift)
        let angles = (0..<half).map { index in
            Float(number) * expf(-logf(10000) * Float(index) / divisor)
        }
        let sines = angles.map { sinf($0) }
        let cosines = angles.map { cosf($0) }
        return flipSineToCosine ? cosines + sines : sines + cosines
    }
}

/// Two linear layers with SiLU between: diffusers' `TimestepEmbedding`.
struct EmbeddingMLP: Sendable {
    private let first: LinearWeights
    private let second: LinearWeights

    /// `name.linear_1` (input to output) and `name.linear_2` (output to output).
    init(
        _ loader: LayerLoader,
        _ name: String,
        input: Int,
        output: Int
    ) throws(WeightsError) {
        first = try loader.linear("\(name).linear_1", input, output)
        second = try loader.linear("\(name).linear_2", output, output)
    }

    /// (items, 1, input) to (items, 1, output).
    func apply(
        _ x: DeviceTensor,
        residual: DeviceTensor? = nil,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let hidden = backend.linear(x, first, activation: .silu)
        return backend.linear(hidden, second, residual: residual)
    }
}

/// What tells the network when it is and which part of which picture it sees.
struct UNetEmbedding: Sendable {
    private let timeSinusoid: SinusoidalEmbedding
    private let timeMLP: EmbeddingMLP
    private let added: Added?

    private struct Added: Sendable {
        let sinusoid: SinusoidalEmbedding
        let mlp: EmbeddingMLP
        let pooledWidth: Int
    }

    init(
        _ loader: LayerLoader,
        _ configuration: UNetConfiguration
    ) throws(WeightsError) {
        func sinusoid(_ width: Int) -> SinusoidalEmbedding {
            SinusoidalEmbedding(
                width: width, flipSineToCosine: configuration.flipSineToCosine,
                frequencyShift: configuration.frequencyShift)
        }
        let channels = configuration.blockOutChannels[0]
        let width = configuration.timeEmbeddingWidth
        timeSinusoid = sinusoid(channels)
        timeMLP = try EmbeddingMLP(loader, "time_embedding", input: channels, output: width)
        guard let added = configuration.addedConditioning else {
            self.added = nil
            return
        }
        self.added = Added(
            sinusoid: sinusoid(added.timeEmbeddingWidth),
            mlp: try EmbeddingMLP(
                loader, "add_embedding", input: added.inputWidth, output: width),
            pooledWidth: added.pooledWidth)
    }

    /// SiLU of the embedding, the form that every residual block wants: (items, 1, width).
    ///
    /// `pooled` and `timeIDs` have one entry per item; both are ignored by models without
    /// `text_time` conditioning.
    func apply(
        timestep: Double,
        pooled: [[Float]],
        timeIDs: [[Int]],
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let items = timeIDs.count
        let time = timeSinusoid.values(of: timestep)
        let sinusoids = DeviceTensor(
            Tensor(
                shape: Shape(items, 1, time.count),
                elements: Array(repeatElement(time, count: items).joined())))
        var embedding = timeMLP.apply(sinusoids, on: backend)
        if let added {
            var rows: [Float] = []
            for (pooled, numbers) in zip(pooled, timeIDs) {
                precondition(pooled.count == added.pooledWidth, "pooled text of another width")
                rows += pooled
                for number in numbers { rows += added.sinusoid.values(of: Double(number)) }
            }
            let input = DeviceTensor(
                Tensor(shape: Shape(items, 1, rows.count / items), elements: rows))
            embedding = added.mlp.apply(input, residual: embedding, on: backend)
        }
        return backend.activation(embedding, .silu)
    }
}
