internal import ComputeBackends

extension ModelBlueprint {
    /// The configuration files of a diffusers pipeline's folder; weights are not looked at.
    ///
    /// Throws ``WeightsError`` for a file that is missing or damaged, and for a tokenizer that
    /// does not fit; whether the networks can be built is for ``components()`` to say.
    init(like folder: String, elementType: FloatType) throws(WeightsError) {
        let index = try ModelIndex(folder: folder)
        func fields(_ name: String) throws(WeightsError) -> ConfigurationFields {
            try ConfigurationFields(
                path: "\(folder)/\(name)",
                adviceWhenMissing: "complete the folder; it needs a pipeline's configuration "
                    + "files, not its weights")
        }
        let scheduler = try fields("scheduler/scheduler_config.json")
        // The index needs the class, and the types of the rest must let the folder open.
        _ = try scheduler.string("_class_name")
        _ = try ModelFolder.readScheduler(scheduler.path)
        let unet = try fields("unet/config.json")
        let vae = try fields("vae/config.json")
        var textEncoders: [JSONObject] = []
        var tokenizers: [TokenizerSource] = []
        for suffix in index.family.textEncoderSuffixes {
            let encoder = try fields("text_encoder\(suffix)/config.json")
            textEncoders.append(encoder.object)
            tokenizers.append(
                try TokenizerSource(
                    folder: "\(folder)/tokenizer\(suffix)", encoder: encoder,
                    // As SDXL's two tokenizers pad.
                    padding: suffix.isEmpty ? "<|endoftext|>" : "!"))
        }
        self.init(
            family: index.family, unet: unet.object, vae: vae.object, textEncoders: textEncoders,
            tokenizers: tokenizers, scheduler: scheduler.object, elementType: elementType,
            forcesZerosForEmptyPrompt: index.forcesZerosForEmptyPrompt, origin: folder)
    }
}
