extension UNetConfiguration {
    /// Decodes a `unet/config.json`; throws ``WeightsError/field(path:field:expected:found:)`` by
    /// name for whatever this program cannot do.
    package init(path: String) throws(WeightsError) {
        try self.init(
            fields: ConfigurationFields(
                path: path, adviceWhenMissing: "a model folder has one beside its weights"))
    }

    init(fields: ConfigurationFields) throws(WeightsError) {
        try fields.requireNeutral([("_class_name", "UNet2DConditionModel")])
        try fields.requireNeutral(Self.unsupported)
        // For this field alone, null is not "as usual": it means no middle block.
        guard fields.object["mid_block_type"] != .null else {
            throw fields.error("mid_block_type", expected: "UNetMidBlock2DCrossAttn")
        }
        let channels = try fields.strings("down_block_types").count
        guard (1...8).contains(channels) else {
            throw fields.error("down_block_types", expected: "1 to 8 blocks")
        }
        sampleSize = try Self.sampleSize(fields)
        inChannels = try fields.integer("in_channels", in: 1...64, default: 4)
        outChannels = try fields.integer("out_channels", in: 1...64, default: 4)
        normGroups = try fields.integer("norm_num_groups", in: 1...1024, default: 32)
        normEpsilon = try fields.number("norm_eps", in: 0...1, default: 1e-5)
        blockOutChannels = try Self.blockChannels(fields, count: channels, groups: normGroups)
        downBlockAttention = try Self.attention(
            fields, "down_block_types", plain: "DownBlock2D", crossed: "CrossAttnDownBlock2D")
        upBlockAttention = try Self.attention(
            fields, "up_block_types", plain: "UpBlock2D", crossed: "CrossAttnUpBlock2D")
        guard upBlockAttention.count == channels else {
            throw fields.error("up_block_types", expected: "\(channels) blocks, as down")
        }
        layersPerBlock = try fields.integers(
            "layers_per_block", in: 1...16, count: channels, default: 2)
        transformerLayers = try fields.integers(
            "transformer_layers_per_block", in: 1...64, count: channels, default: 1)
        attentionHeads = try fields.integers(
            "attention_head_dim", in: 1...1024, count: channels, default: 8)
        crossAttentionWidth = try fields.integer(
            "cross_attention_dim", in: 1...65536, default: 1280)
        usesLinearProjection = try fields.bool("use_linear_projection", default: false)
        flipSineToCosine = try fields.bool("flip_sin_to_cos", default: true)
        frequencyShift = try fields.number("freq_shift", in: 0...8, default: 0)
        addedConditioning = try Self.addedConditioning(fields)
        try checkHeads(fields)
    }

    /// Fields whose other values change the network in ways that have no code here.
    private static let unsupported: [(String, JSONValue)] = [
        ("center_input_sample", false), ("mid_block_type", "UNetMidBlock2DCrossAttn"),
        ("only_cross_attention", false), ("downsample_padding", 1), ("mid_block_scale_factor", 1),
        ("act_fn", "silu"), ("reverse_transformer_layers_per_block", nil),
        ("encoder_hid_dim", nil), ("encoder_hid_dim_type", nil), ("num_attention_heads", nil),
        ("dual_cross_attention", false), ("class_embed_type", nil), ("num_class_embeds", nil),
        ("resnet_time_scale_shift", "default"), ("resnet_skip_time_act", false),
        ("resnet_out_scale_factor", 1), ("time_embedding_type", "positional"),
        ("time_embedding_dim", nil), ("time_embedding_act_fn", nil),
        ("timestep_post_act", nil), ("time_cond_proj_dim", nil), ("conv_in_kernel", 3),
        ("conv_out_kernel", 3), ("attention_type", "default"),
        ("class_embeddings_concat", false), ("mid_block_only_cross_attention", nil),
        ("cross_attention_norm", nil),
    ]

    private static func sampleSize(_ fields: ConfigurationFields) throws(WeightsError) -> Int {
        guard case .array? = fields.value("sample_size") else {
            return try fields.integer("sample_size", in: 1...4096)
        }
        let sides = try fields.integers("sample_size", in: 1...4096, count: 2)
        guard sides[0] == sides[1] else {
            throw fields.error("sample_size", expected: "a square")
        }
        return sides[0]
    }

    private static func blockChannels(
        _ fields: ConfigurationFields,
        count: Int,
        groups: Int
    ) throws(WeightsError) -> [Int] {
        let channels = try fields.integers("block_out_channels", in: 1...16384, count: count)
        guard channels.allSatisfy({ $0 % groups == 0 && $0 % 2 == 0 }) else {
            throw fields.error(
                "block_out_channels", expected: "even multiples of norm_num_groups (\(groups))")
        }
        return channels
    }

    private static func attention(
        _ fields: ConfigurationFields,
        _ key: String,
        plain: String,
        crossed: String
    ) throws(WeightsError) -> [Bool] {
        let types = try fields.strings(key)
        guard types.allSatisfy({ $0 == plain || $0 == crossed }) else {
            throw fields.error(key, expected: "\(plain) or \(crossed) only")
        }
        return types.map { $0 == crossed }
    }

    private static func addedConditioning(
        _ fields: ConfigurationFields
    ) throws(WeightsError) -> AddedConditioning? {
        guard fields.value("addition_embed_type") != nil else { return nil }
        guard fields.value("addition_embed_type") == "text_time" else {
            throw fields.error("addition_embed_type", expected: "null or \"text_time\"")
        }
        let width = try fields.integer("addition_time_embed_dim", in: 2...4096)
        let key = "projection_class_embeddings_input_dim"
        let input = try fields.integer(key, in: 1...65536)
        guard width % 2 == 0 else {
            throw fields.error("addition_time_embed_dim", expected: "an even number")
        }
        guard input > 6 * width else {
            throw fields.error(key, expected: "more than 6 × addition_time_embed_dim")
        }
        return AddedConditioning(timeEmbeddingWidth: width, inputWidth: input)
    }

    /// Where there is attention, its heads must divide the channels.
    private func checkHeads(_ fields: ConfigurationFields) throws(WeightsError) {
        for block in downBlocks + [midBlock] + upBlocks {
            guard let heads = block.attention?.heads, block.channels % heads != 0 else { continue }
            throw fields.error(
                "attention_head_dim",
                expected: "a divisor of \(block.channels) (the heads of \(block.name))")
        }
    }
}
