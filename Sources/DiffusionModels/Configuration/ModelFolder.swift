package import Sampling

/// The pipelines this program runs.
package enum ModelFamily: String, Sendable, CaseIterable {
    /// SDXL and what shares its shape: two text encoders, size and crop conditioning.
    case stableDiffusionXL = "StableDiffusionXLPipeline"
    /// Stable Diffusion 1.x and what shares its shape: one text encoder.
    case stableDiffusion = "StableDiffusionPipeline"
}

/// One text encoder of a model: its shape, weights and tokenizer's folder.
package struct TextEncoderFiles: Sendable {
    /// From its `config.json`.
    package let configuration: CLIPTextConfiguration
    /// Checked against the configuration.
    package let weights: WeightStore
    /// Holds `vocab.json` and `merges.txt`.
    package let tokenizerFolder: String
}

/// A model on disk, in the layout of a diffusers pipeline: `model_index.json` and one folder per
/// component. Opening it reads and checks every configuration and the name and shape of every
/// tensor; weights stay on disk until they are asked for.
package struct ModelFolder: Sendable {
    /// The folder, as it was given.
    package let path: String
    /// From `model_index.json`.
    package let family: ModelFamily
    /// From `unet/config.json`.
    package let unet: UNetConfiguration
    /// Checked against ``unet``.
    package let unetWeights: WeightStore
    /// From `vae/config.json`.
    package let vae: VAEConfiguration
    /// Checked against ``vae``, the decoder only.
    package let vaeWeights: WeightStore
    /// One for Stable Diffusion, two for SDXL.
    package let textEncoders: [TextEncoderFiles]
    /// From `scheduler/scheduler_config.json`, not yet checked.
    package let scheduler: SchedulerConfiguration
    /// No negative prompt means zeros instead of the embedding of an empty text.
    package let forcesZerosForEmptyPrompt: Bool

    /// Side of the pictures the model was trained on, in latent pixels.
    package var nativeLatentSide: Int { unet.sampleSize }

    /// Side of the pictures the model was trained on, in pixels.
    package var nativeSide: Int { unet.sampleSize * vae.scaleFactor }

    /// Opens the folder. Throws ``WeightsError``: the folder or a file is missing, damaged, of
    /// another architecture, or says something this program cannot do.
    package init(path: String) throws(WeightsError) {
        guard fileExists(path) else {
            throw .missing(path: path, advice: Self.adviceForModels)
        }
        let index = try ConfigurationFields(
            path: "\(path)/model_index.json", adviceWhenMissing: Self.adviceForModels)
        let className = try index.string("_class_name")
        guard let family = ModelFamily(rawValue: className) else {
            let known = ModelFamily.allCases.map(\.rawValue).joined(separator: " or ")
            throw index.error("_class_name", expected: known)
        }
        self.path = path
        self.family = family
        let isXL = family == .stableDiffusionXL
        let components =
            ["unet", "vae", "scheduler", "text_encoder", "tokenizer"]
            + (isXL ? ["text_encoder_2", "tokenizer_2"] : [])
        for component in components { try Self.checkPresent(component, in: index) }
        forcesZerosForEmptyPrompt =
            try index.bool("force_zeros_for_empty_prompt", default: true) && isXL
        scheduler = try Self.readScheduler("\(path)/scheduler/scheduler_config.json")
        unet = try UNetConfiguration(path: "\(path)/unet/config.json")
        vae = try VAEConfiguration(path: "\(path)/vae/config.json")
        unetWeights = try WeightStore(component: "\(path)/unet")
        try unetWeights.check(unet.parameters)
        vaeWeights = try WeightStore(component: "\(path)/vae")
        try vaeWeights.check(vae.decoderParameters)
        var encoders = [try Self.textEncoder(path, suffix: "")]
        if isXL { encoders.append(try Self.textEncoder(path, suffix: "_2")) }
        textEncoders = encoders
        try checkAgreement()
    }

    private static let adviceForModels =
        "give a folder in the diffusers layout (model_index.json, unet, vae, text_encoder, "
        + "tokenizer, scheduler), for instance SDXL's, or write one with tessera synthesize"

    /// The index names a library and a class for every component that is there.
    private static func checkPresent(
        _ component: String,
        in index: ConfigurationFields
    ) throws(WeightsError) {
        guard case .array(let entry)? = index.value(component), entry.count == 2,
            entry[1] != .null
        else {
            throw index.error(component, expected: "the component's library and class")
        }
    }

    private static func textEncoder(
        _ path: String,
        suffix: String
    ) throws(WeightsError) -> TextEncoderFiles {
        let folder = "\(path)/text_encoder\(suffix)"
        let configuration = try CLIPTextConfiguration(path: "\(folder)/config.json")
        let weights = try WeightStore(component: folder)
        try weights.check(configuration.parameters)
        return TextEncoderFiles(
            configuration: configuration, weights: weights,
            tokenizerFolder: "\(path)/tokenizer\(suffix)")
    }

    /// What one component gives must be what the next one takes.
    private func checkAgreement() throws(WeightsError) {
        let textWidth = textEncoders.map(\.configuration.hiddenWidth).reduce(0, +)
        let pooledWidth = textEncoders[textEncoders.count - 1].configuration.projectionWidth
        let added = unet.addedConditioning
        for (field, found, expected) in [
            ("cross_attention_dim", unet.crossAttentionWidth, textWidth),
            ("in_channels", unet.inChannels, vae.latentChannels),
            ("out_channels", unet.outChannels, vae.latentChannels),
        ] where found != expected {
            throw .field(
                path: "\(path)/unet/config.json", field: field,
                expected: "\(expected), to fit the text encoders and the autoencoder",
                found: "\(found)")
        }
        switch family {
        case .stableDiffusion:
            guard added == nil else {
                throw .field(
                    path: "\(path)/unet/config.json", field: "addition_embed_type",
                    expected: "null in a \(family.rawValue)", found: "\"text_time\"")
            }
        case .stableDiffusionXL:
            guard let added, added.pooledWidth == pooledWidth else {
                throw .field(
                    path: "\(path)/unet/config.json",
                    field: "projection_class_embeddings_input_dim",
                    expected: "the projection_dim of text_encoder_2 (\(pooledWidth ?? 0)) + 6 × "
                        + "addition_time_embed_dim",
                    found: added.map { "\($0.inputWidth)" } ?? "no text_time conditioning")
            }
        }
    }
}
