internal import ComputeBackends
internal import Tensors

/// Attention with its four projections: diffusers' `Attention`.
struct AttentionLayer: Sendable {
    private let query: LinearWeights
    private let key: LinearWeights
    private let value: LinearWeights
    private let output: LinearWeights
    private let heads: Int

    /// `source` is the width of what is looked at.
    init(
        _ loader: LayerLoader,
        _ name: String,
        channels: Int,
        source: Int,
        heads: Int
    ) throws(WeightsError) {
        query = try loader.linear("\(name).to_q", channels, channels, bias: false)
        key = try loader.linear("\(name).to_k", source, channels, bias: false)
        value = try loader.linear("\(name).to_v", source, channels, bias: false)
        output = try loader.linear("\(name).to_out.0", channels, channels)
        self.heads = heads
    }

    /// Channels of the keys and of the values.
    var channels: Int { key.outputs }

    /// Keys and values of what is looked at, (items, tokens, source).
    func project(
        _ source: DeviceTensor,
        on backend: any ComputeBackend
    ) -> KeysAndValues {
        KeysAndValues(
            keys: backend.linear(source, key), values: backend.linear(source, value))
    }

    /// `residual` + attention of `x` over `source`; all but the source (items, h, w, channels).
    func apply(
        _ x: DeviceTensor,
        over source: KeysAndValues,
        residual: DeviceTensor,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let seen = backend.attention(
            queries: backend.linear(x, query), keys: source.keys, values: source.values,
            heads: heads, causal: false)
        return backend.linear(seen, output, residual: residual)
    }
}

/// What an attention looks at: keys and values, (items, tokens, channels) each.
struct KeysAndValues: Sendable {
    let keys: DeviceTensor
    let values: DeviceTensor

    func items(_ range: Range<Int>) -> KeysAndValues {
        KeysAndValues(keys: keys.items(range), values: values.items(range))
    }
}

/// Self-attention, attention to the text, feed-forward with GEGLU, each around a residual:
/// diffusers' `BasicTransformerBlock`.
struct TransformerBlock: Sendable {
    private let norms: [NormWeights]
    private let selfAttention: AttentionLayer
    private let textAttention: AttentionLayer
    private let expansion: LinearWeights
    private let contraction: LinearWeights

    /// PyTorch's default for layer normalisation.
    private static let epsilon = 1e-5

    init(
        _ loader: LayerLoader,
        _ name: String,
        channels: Int,
        heads: Int,
        textWidth: Int
    ) throws(WeightsError) {
        norms = try Array(loading: 1...3) { (_, number) throws(WeightsError) in
            try loader.norm("\(name).norm\(number)", channels)
        }
        selfAttention = try AttentionLayer(
            loader, "\(name).attn1", channels: channels, source: channels, heads: heads)
        textAttention = try AttentionLayer(
            loader, "\(name).attn2", channels: channels, source: textWidth, heads: heads)
        expansion = try loader.linear("\(name).ff.net.0.proj", channels, 8 * channels)
        contraction = try loader.linear("\(name).ff.net.2", 4 * channels, channels)
    }

    /// Channels of the keys and of the values that this block makes of the text.
    var textChannels: Int { textAttention.channels }

    /// The text as this block looks at it.
    func project(_ text: DeviceTensor, on backend: any ComputeBackend) -> KeysAndValues {
        textAttention.project(text, on: backend)
    }

    /// (items, h, w, channels) to the same.
    func apply(
        _ x: DeviceTensor,
        text: KeysAndValues,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        func normalized(_ x: DeviceTensor, _ index: Int) -> DeviceTensor {
            backend.layerNorm(x, norms[index], epsilon: Self.epsilon)
        }
        let own = normalized(x, 0)
        var hidden = selfAttention.apply(
            own, over: selfAttention.project(own, on: backend), residual: x, on: backend)
        hidden = textAttention.apply(
            normalized(hidden, 1), over: text, residual: hidden, on: backend)
        let inner = backend.linearGEGLU(normalized(hidden, 2), expansion)
        return backend.linear(inner, contraction, residual: hidden)
    }
}

/// Transformer blocks over the pixels of an image: diffusers' `Transformer2DModel`.
struct SpatialTransformer: Sendable {
    private let norm: NormWeights
    private let groups: Int
    private let projectionIn: LinearWeights
    private let blocks: [TransformerBlock]
    private let projectionOut: LinearWeights

    /// Its group normalisation does not follow the configuration's epsilon.
    private static let epsilon = 1e-6

    init(
        _ loader: LayerLoader,
        _ name: String,
        channels: Int,
        layout: TransformerLayout,
        configuration: UNetConfiguration
    ) throws(WeightsError) {
        norm = try loader.norm("\(name).norm", channels)
        groups = configuration.normGroups
        projectionIn = try loader.pointwise("\(name).proj_in", channels, channels)
        blocks = try Array(loading: 0..<layout.depth) { (_, index) throws(WeightsError) in
            try TransformerBlock(
                loader, "\(name).transformer_blocks.\(index)", channels: channels,
                heads: layout.heads, textWidth: configuration.crossAttentionWidth)
        }
        projectionOut = try loader.pointwise("\(name).proj_out", channels, channels)
    }

    /// The text as each block looks at it.
    func project(_ text: DeviceTensor, on backend: any ComputeBackend) -> [KeysAndValues] {
        blocks.map { $0.project(text, on: backend) }
    }

    /// (items, h, w, channels) to the same; `text` has one entry per block.
    func apply(
        _ x: DeviceTensor,
        text: ArraySlice<KeysAndValues>,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let normalized = backend.groupNorm(
            x, norm, groups: groups, epsilon: Self.epsilon, silu: false)
        var hidden = backend.linear(normalized, projectionIn)
        for (block, text) in zip(blocks, text) {
            hidden = block.apply(hidden, text: text, on: backend)
        }
        return backend.linear(hidden, projectionOut, residual: x)
    }

    /// Entries of the text that ``apply(_:text:on:)`` takes.
    var depth: Int { blocks.count }

    /// Channels of the keys and of the values of each of them.
    var textChannels: [Int] { blocks.map(\.textChannels) }
}
