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
    /// Holds `vocab.json` and `merges.txt`, or `tokenizer.json`.
    package let tokenizerFolder: String

    /// Reads the tokenizer. Throws ``WeightsError``: a file is missing or damaged, or has a token
    /// that is no row of the encoder's table.
    package func tokenizer() throws(WeightsError) -> BPETokenizer {
        let tokenizer = try BPETokenizer(folder: tokenizerFolder)
        try tokenizer.checkFits(rows: configuration.vocabularySize, folder: tokenizerFolder)
        return tokenizer
    }
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
    /// From `scheduler/scheduler_config.json`, not yet checked; its class from `model_index.json`
    /// where it names none.
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
        let index = try ModelIndex(folder: path)
        self.path = path
        family = index.family
        forcesZerosForEmptyPrompt = index.forcesZerosForEmptyPrompt
        scheduler = try Self.readScheduler(
            "\(path)/scheduler/scheduler_config.json", className: index.schedulerClass)
        unet = try UNetConfiguration(path: "\(path)/unet/config.json")
        vae = try VAEConfiguration(path: "\(path)/vae/config.json")
        unetWeights = try WeightStore(component: "\(path)/unet")
        try unetWeights.check(unet.parameters)
        vaeWeights = try WeightStore(component: "\(path)/vae")
        try vaeWeights.check(vae.decoderParameters)
        var encoders: [TextEncoderFiles] = []
        for suffix in family.textEncoderSuffixes {
            encoders.append(try Self.textEncoder(path, suffix: suffix))
        }
        textEncoders = encoders
        let shape = PipelineShape(
            family: family, unet: unet, vae: vae, textEncoders: encoders.map(\.configuration))
        try shape.checkAgreement(in: path)
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
}
