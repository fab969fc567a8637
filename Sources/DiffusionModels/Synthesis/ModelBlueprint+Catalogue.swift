internal import ComputeBackends

extension ModelBlueprint {
    /// SDXL's shape, two orders of magnitude narrower.
    static let tiny = xl(
        unet: unetXL(
            side: 16, channels: [16, 32, 32], layers: 2, transformers: [1, 1, 2],
            heads: [2, 4, 4], groups: 8, textWidth: 56, addedWidth: 8, pooledWidth: 24),
        vae: vae(channels: [8, 8, 16, 16], layers: 1, groups: 4, side: 128, scaling: 0.13025),
        first: text(width: 24, inner: 48, layers: 2, heads: 3, activation: "quick_gelu"),
        second: text(
            width: 32, inner: 64, layers: 3, heads: 4, activation: "gelu", projection: 24,
            endToken: SyntheticTokenizer.vocabularySize - 1),
        firstMarkID: nil, scheduler: eulerXL, elementType: .float16)

    /// Stable Diffusion 1.5's shape, two orders of magnitude narrower.
    static let tinySD15 = sd(
        unet: unetSD(
            side: 16, channels: [16, 32, 32, 32], layers: 2, heads: 4, groups: 8, textWidth: 24),
        vae: vae(channels: [8, 8, 16, 16], layers: 1, groups: 4, side: 128, scaling: 0.18215),
        text: text(width: 24, inner: 48, layers: 2, heads: 3, activation: "quick_gelu"),
        firstMarkID: nil, scheduler: ddimSD, elementType: .float32)

    /// About the size of the default model's networks, with the weights of none.
    static let mini = xl(
        unet: unetXL(
            side: 32, channels: [64, 128, 256], layers: 1, transformers: [1, 1, 2],
            heads: [2, 4, 8], groups: 32, textWidth: 256, addedWidth: 32, pooledWidth: 160),
        vae: vae(channels: [32, 64, 96, 96], layers: 1, groups: 16, side: 256, scaling: 0.13025),
        first: text(width: 96, inner: 384, layers: 2, heads: 3, activation: "quick_gelu"),
        second: text(
            width: 160, inner: 640, layers: 2, heads: 5, activation: "gelu", projection: 160),
        firstMarkID: nil, scheduler: eulerXL, elementType: .float16)

    /// Stable Diffusion 1.5.
    static let sd15 = sd(
        unet: unetSD(
            side: 64, channels: [320, 640, 1280, 1280], layers: 2, heads: 8, groups: 32,
            textWidth: 768),
        vae: vae(
            channels: [128, 256, 512, 512], layers: 2, groups: 32, side: 512, scaling: 0.18215),
        text: text(
            width: 768, inner: 3072, layers: 12, heads: 12, activation: "quick_gelu",
            vocabulary: 49408),
        firstMarkID: 49406, scheduler: ddimSD, elementType: .float16)

    /// SDXL 1.0 base (arXiv 2307.01952, table 1).
    static let sdxl = xl(
        unet: unetXL(
            side: 128, channels: [320, 640, 1280], layers: 2, transformers: [1, 2, 10],
            heads: [5, 10, 20], groups: 32, textWidth: 2048, addedWidth: 256, pooledWidth: 1280),
        vae: vae(
            channels: [128, 256, 512, 512], layers: 2, groups: 32, side: 1024, scaling: 0.13025),
        first: text(
            width: 768, inner: 3072, layers: 12, heads: 12, activation: "quick_gelu",
            vocabulary: 49408),
        second: text(
            width: 1280, inner: 5120, layers: 32, heads: 20, activation: "gelu", projection: 1280,
            vocabulary: 49408),
        firstMarkID: 49406, scheduler: eulerXL, elementType: .float16)
}

// MARK: - Parts

extension ModelBlueprint {
    private static func xl(
        unet: JSONObject, vae: JSONObject, first: JSONObject, second: JSONObject,
        firstMarkID: Int?, scheduler: JSONObject, elementType: FloatType
    ) -> ModelBlueprint {
        ModelBlueprint(
            family: .stableDiffusionXL, unet: unet, vae: vae, textEncoders: [first, second],
            tokenizers: ["<|endoftext|>", "!"].map {
                .synthetic(SyntheticTokenizer(firstMarkID: firstMarkID, padding: $0))
            },
            scheduler: scheduler, elementType: elementType)
    }

    private static func sd(
        unet: JSONObject, vae: JSONObject, text: JSONObject, firstMarkID: Int?,
        scheduler: JSONObject, elementType: FloatType
    ) -> ModelBlueprint {
        ModelBlueprint(
            family: .stableDiffusion, unet: unet, vae: vae, textEncoders: [text],
            tokenizers: [
                .synthetic(SyntheticTokenizer(firstMarkID: firstMarkID, padding: "<|endoftext|>"))
            ],
            scheduler: scheduler, elementType: elementType)
    }

    private static func list(_ numbers: [Int]) -> JSONValue {
        .array(numbers.map { .integer($0) })
    }

    private static func unetXL(
        side: Int, channels: [Int], layers: Int, transformers: [Int], heads: [Int], groups: Int,
        textWidth: Int, addedWidth: Int, pooledWidth: Int
    ) -> JSONObject {
        [
            "_class_name": "UNet2DConditionModel", "sample_size": .integer(side),
            "in_channels": 4, "out_channels": 4, "center_input_sample": false,
            "flip_sin_to_cos": true, "freq_shift": 0,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "only_cross_attention": false, "block_out_channels": list(channels),
            "layers_per_block": .integer(layers), "downsample_padding": 1,
            "mid_block_scale_factor": 1, "act_fn": "silu", "norm_num_groups": .integer(groups),
            "norm_eps": 1e-5, "cross_attention_dim": .integer(textWidth),
            "transformer_layers_per_block": list(transformers),
            "attention_head_dim": list(heads), "use_linear_projection": true,
            "addition_embed_type": "text_time", "addition_time_embed_dim": .integer(addedWidth),
            "projection_class_embeddings_input_dim": .integer(pooledWidth + 6 * addedWidth),
        ]
    }

    private static func unetSD(
        side: Int, channels: [Int], layers: Int, heads: Int, groups: Int, textWidth: Int
    ) -> JSONObject {
        [
            "_class_name": "UNet2DConditionModel", "sample_size": .integer(side),
            "in_channels": 4, "out_channels": 4, "center_input_sample": false,
            "flip_sin_to_cos": true, "freq_shift": 0,
            "down_block_types": [
                "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                "DownBlock2D",
            ],
            "up_block_types": [
                "UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
            ],
            "block_out_channels": list(channels), "layers_per_block": .integer(layers),
            "downsample_padding": 1, "mid_block_scale_factor": 1, "act_fn": "silu",
            "norm_num_groups": .integer(groups), "norm_eps": 1e-5,
            "cross_attention_dim": .integer(textWidth), "attention_head_dim": .integer(heads),
        ]
    }

    private static func vae(
        channels: [Int], layers: Int, groups: Int, side: Int, scaling: Double
    ) -> JSONObject {
        [
            "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3,
            "down_block_types": .array(channels.map { _ in "DownEncoderBlock2D" }),
            "up_block_types": .array(channels.map { _ in "UpDecoderBlock2D" }),
            "block_out_channels": list(channels), "layers_per_block": .integer(layers),
            "act_fn": "silu", "latent_channels": 4, "norm_num_groups": .integer(groups),
            "sample_size": .integer(side), "scaling_factor": .number(scaling),
            "force_upcast": true,
        ]
    }

    /// The end token 2 is what SDXL's and SD 1.5's own files say: the old rule of the highest id.
    private static func text(
        width: Int, inner: Int, layers: Int, heads: Int, activation: String,
        projection: Int? = nil, vocabulary: Int = SyntheticTokenizer.vocabularySize,
        endToken: Int = 2
    ) -> JSONObject {
        let kind = projection == nil ? "CLIPTextModel" : "CLIPTextModelWithProjection"
        return [
            "architectures": [.string(kind)], "model_type": "clip_text_model",
            "vocab_size": .integer(vocabulary), "hidden_size": .integer(width),
            "intermediate_size": .integer(inner), "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads), "max_position_embeddings": 77,
            "hidden_act": .string(activation), "layer_norm_eps": 1e-5,
            "projection_dim": .integer(projection ?? width), "bos_token_id": 0,
            "eos_token_id": .integer(endToken), "pad_token_id": 1, "attention_dropout": 0.0,
            "dropout": 0.0, "initializer_factor": 1.0, "initializer_range": 0.02,
        ]
    }

    /// As SDXL 1.0 base has it.
    private static let eulerXL: JSONObject = [
        "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": false, "interpolation_type": "linear",
        "num_train_timesteps": 1000, "prediction_type": "epsilon", "sample_max_value": 1,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
        "timestep_spacing": "leading", "trained_betas": nil, "use_karras_sigmas": false,
    ]

    /// Stable Diffusion 1.5's schedule; its own file names PNDM, which is not among our samplers.
    private static let ddimSD: JSONObject = [
        "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": false, "num_train_timesteps": 1000,
        "prediction_type": "epsilon", "set_alpha_to_one": false, "steps_offset": 1,
        "timestep_spacing": "leading", "trained_betas": nil,
    ]
}
