package import ComputeBackends
internal import Tensors

/// CLIP's text transformer (Radford et al. 2021, arXiv 2103.00020, section 2.4): SDXL's two and
/// Stable Diffusion's one, by configuration.
package struct CLIPTextEncoder: Sendable {
    /// What the pipelines take from it, for one prompt of n tokens.
    package struct Output: Sendable {
        /// What enters the last layer, without a final norm, (1, n, width): SDXL's choice.
        package let penultimate: DeviceTensor
        /// What leaves the last layer, through the final norm, (1, n, width).
        package let last: DeviceTensor
        /// The end token's vector of ``last``, projected, (1, 1, projection); nil for models
        /// without a projection.
        package let pooled: DeviceTensor?
    }

    private struct Layer: Sendable {
        let norm1: NormWeights
        let queries: LinearWeights
        let keys: LinearWeights
        let values: LinearWeights
        let output: LinearWeights
        let norm2: NormWeights
        let expansion: LinearWeights
        let contraction: LinearWeights
    }

    /// The shape it was loaded for.
    package let configuration: CLIPTextConfiguration
    private let backend: any ComputeBackend
    /// (vocabulary, width)
    private let tokenTable: StoredTensor
    /// (positions, width)
    private let positionTable: StoredTensor
    private let layers: [Layer]
    private let finalNorm: NormWeights
    private let projection: LinearWeights?

    /// Loads the weights. Throws ``WeightsError`` when one is missing or of another shape.
    package init(
        configuration: CLIPTextConfiguration,
        weights: WeightStore,
        backend: any ComputeBackend
    ) throws(WeightsError) {
        let width = configuration.hiddenWidth
        // A prompt is encoded once or twice: preparing ahead would not pay.
        let loader = LayerLoader(store: weights, backend: backend, preparation: .onTheWay)
        let embeddings = "text_model.embeddings"
        self.configuration = configuration
        self.backend = backend
        tokenTable = try weights.stored(
            "\(embeddings).token_embedding.weight",
            shape: Shape(configuration.vocabularySize, width))
        positionTable = try weights.stored(
            "\(embeddings).position_embedding.weight", shape: Shape(configuration.positions, width))
        var layers: [Layer] = []
        for index in 0..<configuration.layers {
            let name = "text_model.encoder.layers.\(index)"
            layers.append(try Self.layer(name, configuration, loader))
        }
        self.layers = layers
        finalNorm = try loader.norm("text_model.final_layer_norm", width)
        if let outputs = configuration.projectionWidth {
            projection = try loader.linear("text_projection", width, outputs, bias: false)
        } else {
            projection = nil
        }
    }

    private static func layer(
        _ name: String,
        _ configuration: CLIPTextConfiguration,
        _ loader: LayerLoader
    ) throws(WeightsError) -> Layer {
        let width = configuration.hiddenWidth
        let inner = configuration.intermediateWidth
        return Layer(
            norm1: try loader.norm("\(name).layer_norm1", width),
            queries: try loader.linear("\(name).self_attn.q_proj", width, width),
            keys: try loader.linear("\(name).self_attn.k_proj", width, width),
            values: try loader.linear("\(name).self_attn.v_proj", width, width),
            output: try loader.linear("\(name).self_attn.out_proj", width, width),
            norm2: try loader.norm("\(name).layer_norm2", width),
            expansion: try loader.linear("\(name).mlp.fc1", width, inner),
            contraction: try loader.linear("\(name).mlp.fc2", inner, width))
    }

    /// Runs the network over one prompt's ids: 1 to `positions` of them, each in the vocabulary.
    package func encode(_ ids: [Int]) -> Output {
        precondition((1...configuration.positions).contains(ids.count), "too many tokens")
        precondition(
            ids.allSatisfy { (0..<configuration.vocabularySize).contains($0) },
            "a token is outside the vocabulary")
        var x = backend.add(
            tokenTable.rows(ids), positionTable.rows(Array(ids.indices)))
        var penultimate = x
        for layer in layers {
            penultimate = x
            x = apply(layer, to: x)
        }
        let last = backend.layerNorm(x, finalNorm, epsilon: configuration.normEpsilon)
        let pooled = projection.map { projection in
            let rows = last.reshaped(to: Shape(ids.count, configuration.hiddenWidth))
            return backend.linear(backend.gatherRows(rows, [endPosition(ids)]), projection)
        }
        return Output(penultimate: penultimate, last: last, pooled: pooled)
    }

    private func apply(_ layer: Layer, to x: DeviceTensor) -> DeviceTensor {
        let epsilon = configuration.normEpsilon
        let normed = backend.layerNorm(x, layer.norm1, epsilon: epsilon)
        let attended = backend.attention(
            queries: backend.linear(normed, layer.queries),
            keys: backend.linear(normed, layer.keys),
            values: backend.linear(normed, layer.values),
            heads: configuration.heads, causal: true)
        let x = backend.linear(attended, layer.output, residual: x)
        let inner = backend.linear(
            backend.layerNorm(x, layer.norm2, epsilon: epsilon), layer.expansion,
            activation: configuration.activation == .gelu ? .gelu : .quickGELU)
        return backend.linear(inner, layer.contraction, residual: x)
    }

    /// Where the pooled vector is taken: see ``CLIPTextConfiguration/endTokenID``.
    private func endPosition(_ ids: [Int]) -> Int {
        let legacyRule = configuration.endTokenID == 2
        let end = legacyRule ? ids.max() : configuration.endTokenID
        return ids.firstIndex { $0 == end } ?? 0
    }
}
