internal import ComputeBackends
internal import Tensors

/// The coarsest part of either half of an autoencoder, the same in both: two residual blocks and,
/// where the model has one, an attention between them.
struct VAEMiddle: Sendable {
    private let first: ResidualBlock
    private let attention: VAEAttention?
    private let second: ResidualBlock

    /// The autoencoder's normalisations do not follow a configuration.
    static let epsilon = 1e-6

    /// `half` is `encoder` or `decoder`.
    init(
        _ loader: LayerLoader,
        _ half: String,
        _ configuration: VAEConfiguration
    ) throws(WeightsError) {
        let channels = configuration.blockOutChannels[configuration.blockOutChannels.count - 1]
        let groups = configuration.normGroups
        func residual(_ index: Int) throws(WeightsError) -> ResidualBlock {
            try ResidualBlock(
                loader, "\(half).mid_block.resnets.\(index)",
                ResidualLayout(input: channels, output: channels), embedding: 0, groups: groups,
                epsilon: Self.epsilon)
        }
        first = try residual(0)
        second = try residual(1)
        attention =
            configuration.hasMidAttention
            ? try VAEAttention(
                loader, "\(half).mid_block.attentions.0", channels: channels, groups: groups) : nil
    }

    /// (items, h, w, c), and the shape stays.
    func apply(_ x: DeviceTensor, on backend: any ComputeBackend) -> DeviceTensor {
        var hidden = first.apply(x, on: backend)
        hidden = attention?.apply(hidden, on: backend) ?? hidden
        return second.apply(hidden, on: backend)
    }
}

/// One head of self-attention over the pixels, after group normalisation.
private struct VAEAttention: Sendable {
    private let norm: NormWeights
    private let groups: Int
    private let query: LinearWeights
    private let key: LinearWeights
    private let value: LinearWeights
    private let output: LinearWeights

    init(
        _ loader: LayerLoader,
        _ name: String,
        channels: Int,
        groups: Int
    ) throws(WeightsError) {
        norm = try loader.norm("\(name).group_norm", channels)
        self.groups = groups
        query = try loader.pointwise("\(name).to_q", channels, channels)
        key = try loader.pointwise("\(name).to_k", channels, channels)
        value = try loader.pointwise("\(name).to_v", channels, channels)
        output = try loader.pointwise("\(name).to_out.0", channels, channels)
    }

    func apply(_ x: DeviceTensor, on backend: any ComputeBackend) -> DeviceTensor {
        let normalized = backend.groupNorm(
            x, norm, groups: groups, epsilon: VAEMiddle.epsilon, silu: false)
        let seen = backend.attention(
            queries: backend.linear(normalized, query), keys: backend.linear(normalized, key),
            values: backend.linear(normalized, value), heads: 1, causal: false)
        return backend.linear(seen, output, residual: x)
    }
}
