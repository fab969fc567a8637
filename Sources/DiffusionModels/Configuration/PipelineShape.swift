/// The shapes of a pipeline's networks together: what one gives must be what the next one takes.
struct PipelineShape: Equatable, Sendable {
    let family: ModelFamily
    let unet: UNetConfiguration
    let vae: VAEConfiguration
    /// As many as the family has.
    let textEncoders: [CLIPTextConfiguration]

    /// Throws ``WeightsError/field(path:field:expected:found:)`` for the first field that does
    /// not fit the other networks; `folder` is the model's, for the error's path.
    func checkAgreement(in folder: String) throws(WeightsError) {
        let textWidth = textEncoders.map(\.hiddenWidth).reduce(0, +)
        for (field, found, expected) in [
            ("cross_attention_dim", unet.crossAttentionWidth, textWidth),
            ("in_channels", unet.inChannels, vae.latentChannels),
            ("out_channels", unet.outChannels, vae.latentChannels),
        ] where found != expected {
            throw .field(
                path: "\(folder)/unet/config.json", field: field,
                expected: "\(expected), to fit the text encoders and the autoencoder",
                found: "\(found)")
        }
        switch family {
        case .stableDiffusion: try checkNothingIsAdded(in: folder)
        case .stableDiffusionXL: try checkPooledWidth(in: folder)
        }
    }

    private func checkNothingIsAdded(in folder: String) throws(WeightsError) {
        guard unet.addedConditioning == nil else {
            throw .field(
                path: "\(folder)/unet/config.json", field: "addition_embed_type",
                expected: "null in a \(family.rawValue)", found: "\"text_time\"")
        }
    }

    private func checkPooledWidth(in folder: String) throws(WeightsError) {
        guard let pooledWidth = textEncoders[textEncoders.count - 1].projectionWidth else {
            throw .field(
                path: "\(folder)/text_encoder_2/config.json", field: "architectures",
                expected: "CLIPTextModelWithProjection in a \(family.rawValue)",
                found: "[\"CLIPTextModel\"]")
        }
        guard let added = unet.addedConditioning, added.pooledWidth == pooledWidth else {
            throw .field(
                path: "\(folder)/unet/config.json",
                field: "projection_class_embeddings_input_dim",
                expected: "the projection_dim of text_encoder_2 (\(pooledWidth)) + 6 × "
                    + "addition_time_embed_dim",
                found: unet.addedConditioning.map { "\($0.inputWidth)" }
                    ?? "no text_time conditioning")
        }
    }
}
