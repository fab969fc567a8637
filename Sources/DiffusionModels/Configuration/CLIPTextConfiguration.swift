/// Shape of a transformers `CLIPTextModel`, with or without projection, as its `config.json` says.
package struct CLIPTextConfiguration: Equatable, Sendable {
    /// The activation inside each layer's feed-forward part.
    package enum Activation: String, Sendable, CaseIterable {
        /// x·σ(1.702x): CLIP ViT-L.
        case quickGELU = "quick_gelu"
        /// x·Φ(x), exact: OpenCLIP bigG.
        case gelu
    }

    /// Rows of the token table.
    package var vocabularySize: Int
    /// Width of the hidden states; a multiple of ``heads``.
    package var hiddenWidth: Int
    /// Width inside the feed-forward parts.
    package var intermediateWidth: Int
    /// Transformer layers.
    package var layers: Int
    /// Attention heads of each layer.
    package var heads: Int
    /// Tokens per prompt, 77.
    package var positions: Int
    /// What the feed-forward parts apply.
    package var activation: Activation
    /// Added to the variance in every layer norm.
    package var normEpsilon: Double
    /// Where the pooled vector is taken: the first such token, or, where it is 2, the token with
    /// the highest id (a rule that transformers keeps for old files).
    package var endTokenID: Int
    /// Width of the pooled projection; nil for a `CLIPTextModel` without one.
    package var projectionWidth: Int?
}

extension CLIPTextConfiguration {
    /// Every tensor of the network, in the order of the layers.
    package var parameters: [ParameterShape] {
        var list = ParameterList()
        let width = hiddenWidth
        let embeddings = "text_model.embeddings"
        list.embedding("\(embeddings).token_embedding", vocabularySize, width)
        list.embedding("\(embeddings).position_embedding", positions, width)
        for index in 0..<layers {
            let layer = "text_model.encoder.layers.\(index)"
            list.norm("\(layer).layer_norm1", width)
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                list.linear("\(layer).self_attn.\(projection)", width, width)
            }
            list.norm("\(layer).layer_norm2", width)
            list.linear("\(layer).mlp.fc1", width, intermediateWidth)
            list.linear("\(layer).mlp.fc2", intermediateWidth, width)
        }
        list.norm("text_model.final_layer_norm", width)
        if let projectionWidth {
            list.linear("text_projection", width, projectionWidth, bias: false)
        }
        return list.parameters
    }
}

extension CLIPTextConfiguration {
    /// Decodes a `text_encoder/config.json`; throws
    /// ``WeightsError/field(path:field:expected:found:)`` by name for whatever this program
    /// cannot do.
    package init(path: String) throws(WeightsError) {
        try self.init(
            fields: ConfigurationFields(
                path: path, adviceWhenMissing: "a model folder has one beside its weights"))
    }

    init(fields: ConfigurationFields) throws(WeightsError) {
        let architectures = try fields.strings("architectures")
        guard let kind = architectures.first, architectures.count == 1,
            kind == "CLIPTextModel" || kind == "CLIPTextModelWithProjection"
        else {
            throw fields.error(
                "architectures", expected: "CLIPTextModel or CLIPTextModelWithProjection")
        }
        vocabularySize = try fields.integer("vocab_size", in: 3...1_000_000, default: 49408)
        hiddenWidth = try fields.integer("hidden_size", in: 1...65536, default: 512)
        intermediateWidth = try fields.integer("intermediate_size", in: 1...262_144, default: 2048)
        layers = try fields.integer("num_hidden_layers", in: 1...256, default: 12)
        heads = try fields.integer("num_attention_heads", in: 1...1024, default: 8)
        positions = try fields.integer("max_position_embeddings", in: 3...4096, default: 77)
        normEpsilon = try fields.number("layer_norm_eps", in: 0...1, default: 1e-5)
        endTokenID = try fields.integer("eos_token_id", in: 0...1_000_000, default: 49407)
        let name = try fields.string("hidden_act", default: Activation.quickGELU.rawValue)
        guard let activation = Activation(rawValue: name) else {
            throw fields.error("hidden_act", expected: "quick_gelu or gelu")
        }
        self.activation = activation
        projectionWidth =
            kind == "CLIPTextModelWithProjection"
            ? try fields.integer("projection_dim", in: 1...65536, default: 512) : nil
        guard hiddenWidth % heads == 0 else {
            throw fields.error("num_attention_heads", expected: "a divisor of \(hiddenWidth)")
        }
    }
}
