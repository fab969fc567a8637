internal import ComputeBackends

/// Everything that a synthesized folder's files are made of.
struct ModelBlueprint: Sendable {
    var family: ModelFamily
    var unet: JSONObject
    var vae: JSONObject
    /// One for Stable Diffusion, two for SDXL.
    var textEncoders: [JSONObject]
    /// One per text encoder.
    var tokenizers: [TokenizerSource]
    var scheduler: JSONObject
    var elementType: FloatType
    /// SDXL: no negative prompt means zeros instead of the embedding of an empty text.
    var forcesZerosForEmptyPrompt = true
    /// Where the configurations come from, for the paths in errors.
    var origin = "preset"
}

extension ModelBlueprint {
    /// `model_index.json`.
    var index: JSONObject {
        let isXL = family == .stableDiffusionXL
        var index: JSONObject = ["_class_name": .string(family.rawValue)]
        let schedulerClass = scheduler["_class_name"] ?? nil
        var entries: [(String, JSONValue)] = [
            ("scheduler", ["diffusers", schedulerClass]),
            ("text_encoder", ["transformers", Self.className(textEncoders[0])]),
            ("tokenizer", ["transformers", "CLIPTokenizer"]),
            ("unet", ["diffusers", "UNet2DConditionModel"]),
            ("vae", ["diffusers", "AutoencoderKL"]),
        ]
        if isXL {
            entries += [
                ("force_zeros_for_empty_prompt", .bool(forcesZerosForEmptyPrompt)),
                ("text_encoder_2", ["transformers", Self.className(textEncoders[1])]),
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
    private static func className(_ textEncoder: JSONObject) -> JSONValue {
        guard case .array(let names)? = textEncoder["architectures"] else { return nil }
        return names.first ?? nil
    }
}

// MARK: - Components

extension ModelBlueprint {
    /// One folder with weights.
    struct Component: Sendable {
        let folder: String
        let weightsName: String
        let configuration: JSONObject
        let parameters: [ParameterShape]
    }

    /// The networks, the UNet first. Throws ``WeightsError/field(path:field:expected:found:)``
    /// for whatever could not be opened or run afterwards.
    ///
    /// The bounds on every field keep the element counts far below `Int.max`: the largest UNet
    /// that can be said has some 10¹⁴ parameters.
    func components() throws(WeightsError) -> [Component] {
        let unet = try UNetConfiguration(fields: fields("unet", self.unet))
        let vae = try VAEConfiguration(fields: fields("vae", self.vae))
        var components = [
            Component(
                folder: "unet", weightsName: "diffusion_pytorch_model.safetensors",
                configuration: self.unet, parameters: unet.parameters),
            Component(
                folder: "vae", weightsName: "diffusion_pytorch_model.safetensors",
                configuration: self.vae,
                parameters: vae.encoderParameters + vae.decoderParameters),
        ]
        var encoders: [CLIPTextConfiguration] = []
        for (json, suffix) in zip(textEncoders, family.textEncoderSuffixes) {
            let folder = "text_encoder\(suffix)"
            let encoder = try CLIPTextConfiguration(fields: fields(folder, json))
            encoders.append(encoder)
            components.append(
                Component(
                    folder: folder, weightsName: "model.safetensors", configuration: json,
                    parameters: encoder.parameters))
        }
        let shape = PipelineShape(family: family, unet: unet, vae: vae, textEncoders: encoders)
        try shape.checkAgreement(in: origin)
        return components
    }

    private func fields(_ component: String, _ object: JSONObject) -> ConfigurationFields {
        ConfigurationFields(path: "\(origin)/\(component)/config.json", object: object)
    }
}
