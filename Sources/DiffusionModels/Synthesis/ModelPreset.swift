/// The configurations that can be synthesized by name.
package enum ModelPreset: String, Sendable, CaseIterable {
    case tiny
    case tinySD15 = "tiny-sd15"
    case mini
    case sd15
    case sdxl

    /// One line for help texts.
    package var summary: String {
        switch self {
        case .tiny: "SDXL's shape at tiny width, native 128 px: for tests"
        case .tinySD15: "Stable Diffusion 1.5's shape at tiny width, native 128 px: for tests"
        case .mini: "SDXL in miniature, a UNet of 22 million parameters, native 256 px"
        case .sd15: "the sizes of Stable Diffusion 1.5, native 512 px"
        case .sdxl: "the sizes of SDXL 1.0 base, native 1024 px"
        }
    }

    var blueprint: ModelBlueprint {
        switch self {
        case .tiny: .tiny
        case .tinySD15: .tinySD15
        case .mini: .mini
        case .sd15: .sd15
        case .sdxl: .sdxl
        }
    }
}

/// Everything that a synthesized folder's files are made of.
struct ModelBlueprint: Sendable {
    var family: ModelFamily
    var unet: JSONObject
    var vae: JSONObject
    /// One for Stable Diffusion, two for SDXL.
    var textEncoders: [JSONObject]
    var tokenizers: [SyntheticTokenizer]
    var scheduler: JSONObject
    var elementType: FloatType
}

extension ModelBlueprint {
    /// `model_index.json`.
    var index: JSONObject {
        let isXL = family == .stableDiffusionXL
        var index: JSONObject = ["_class_name": .string(family.rawValue)]
        let schedulerClass = scheduler["_class_name"] ?? nil
        var entries: [(String, JSONValue)] = [
            ("scheduler", ["diffusers", schedulerClass]),
            ("text_encoder", ["transformers", "CLIPTextModel"]),
            ("tokenizer", ["transformers", "CLIPTokenizer"]),
            ("unet", ["diffusers", "UNet2DConditionModel"]),
            ("vae", ["diffusers", "AutoencoderKL"]),
        ]
        if isXL {
            entries += [
                ("force_zeros_for_empty_prompt", true),
                ("text_encoder_2", ["transformers", "CLIPTextModelWithProjection"]),
                ("tokenizer_2", ["transformers", "CLIPTokenizer"]),
            ]
        } else {
            entries += [
                ("safety_checker", [nil, nil]), ("requires_safety_checker", false),
            ]
        }
        entries.append(("feature_extractor", [nil, nil]))
        entries.append(("image_encoder", [nil, nil]))
        for (key, value) in entries {
            precondition(index.insert(value, for: key), "keys differ")
        }
        return index
    }
}
