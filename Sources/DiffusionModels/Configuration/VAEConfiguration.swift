/// Shape of a diffusers `AutoencoderKL`, as its `config.json` says.
package struct VAEConfiguration: Equatable, Sendable {
    /// Channels of the picture, 3.
    package var imageChannels: Int
    /// Channels of the latent, 4 for the SD family.
    package var latentChannels: Int
    /// Channels per resolution, finest first; every one a multiple of ``normGroups``.
    package var blockOutChannels: [Int]
    /// Residual blocks per encoder block; the decoder's blocks have one more.
    package var layersPerBlock: Int
    /// Groups of every group norm.
    package var normGroups: Int
    /// Latents are divided by it before decoding, and multiplied by it after encoding.
    package var scalingFactor: Double
    /// Added to latents after that division; 0 for SD and SDXL.
    package var shiftFactor: Double
    /// Added to latents after that division too, per latent channel; nil for most models.
    package var latentMeans: [Double]?
    /// Multiplied with latents before that division, per latent channel; nil for most models.
    package var latentDeviations: [Double]?
    /// Side of the pictures it was trained on, in pixels.
    package var sampleSize: Int
    /// The middle blocks have an attention.
    package var hasMidAttention: Bool
    /// A 1×1 convolution precedes the decoder.
    package var hasPostQuantConvolution: Bool
    /// A 1×1 convolution follows the encoder.
    package var hasQuantConvolution: Bool
    /// The file says that it overflows when it is computed in half precision (`force_upcast`).
    package var overflowsInHalfPrecision: Bool

    /// Pixels per latent pixel and side: 8 for the SD family.
    package var scaleFactor: Int { 1 << (blockOutChannels.count - 1) }
}

/// One block of the decoder or encoder: residual blocks and the resampler.
package struct VAEBlockLayout: Equatable, Sendable {
    /// `decoder.up_blocks.0`, …
    package let name: String
    /// In sequence; never empty.
    package let residuals: [ResidualLayout]
    /// Nearest ×2 and a convolution (decoder), or a stride-2 convolution (encoder) follows.
    package let resamples: Bool
}

extension VAEConfiguration {
    /// The decoder's blocks, coarsest first.
    package var decoderBlocks: [VAEBlockLayout] {
        blocks(
            "decoder.up_blocks", Array(blockOutChannels.reversed()), layers: layersPerBlock + 1)
    }

    /// The encoder's blocks, finest first.
    package var encoderBlocks: [VAEBlockLayout] {
        blocks("encoder.down_blocks", blockOutChannels, layers: layersPerBlock)
    }

    private func blocks(_ name: String, _ channels: [Int], layers: Int) -> [VAEBlockLayout] {
        channels.indices.map { index in
            let input = index == 0 ? channels[0] : channels[index - 1]
            return VAEBlockLayout(
                name: "\(name).\(index)",
                residuals: (0..<layers).map { layer in
                    ResidualLayout(
                        input: layer == 0 ? input : channels[index], output: channels[index])
                },
                resamples: index < channels.count - 1
            )
        }
    }

    /// Every tensor that decoding needs, in the order of the layers.
    package var decoderParameters: [ParameterShape] {
        var list = ParameterList()
        if hasPostQuantConvolution {
            list.convolution("post_quant_conv", latentChannels, latentChannels, size: 1)
        }
        let top = blockOutChannels[blockOutChannels.count - 1]
        list.convolution("decoder.conv_in", latentChannels, top, size: 3)
        addMiddle("decoder", to: &list)
        for block in decoderBlocks { add(block, resampler: "upsamplers", to: &list) }
        list.norm("decoder.conv_norm_out", blockOutChannels[0])
        list.convolution("decoder.conv_out", blockOutChannels[0], imageChannels, size: 3)
        return list.parameters
    }

    /// Every tensor that encoding needs, in the order of the layers.
    package var encoderParameters: [ParameterShape] {
        var list = ParameterList()
        list.convolution("encoder.conv_in", imageChannels, blockOutChannels[0], size: 3)
        for block in encoderBlocks { add(block, resampler: "downsamplers", to: &list) }
        addMiddle("encoder", to: &list)
        let top = blockOutChannels[blockOutChannels.count - 1]
        list.norm("encoder.conv_norm_out", top)
        list.convolution("encoder.conv_out", top, 2 * latentChannels, size: 3)
        if hasQuantConvolution {
            list.convolution("quant_conv", 2 * latentChannels, 2 * latentChannels, size: 1)
        }
        return list.parameters
    }

    private func addMiddle(_ half: String, to list: inout ParameterList) {
        let top = blockOutChannels[blockOutChannels.count - 1]
        for index in 0..<2 {
            list.residual("\(half).mid_block.resnets.\(index)", top, top, embedding: 0)
        }
        guard hasMidAttention else { return }
        let name = "\(half).mid_block.attentions.0"
        list.norm("\(name).group_norm", top)
        for layer in ["to_q", "to_k", "to_v", "to_out.0"] {
            list.linear("\(name).\(layer)", top, top)
        }
    }

    private func add(
        _ block: VAEBlockLayout,
        resampler: String,
        to list: inout ParameterList
    ) {
        for (index, residual) in block.residuals.enumerated() {
            list.residual(
                "\(block.name).resnets.\(index)", residual.input, residual.output, embedding: 0)
        }
        if block.resamples, let last = block.residuals.last {
            list.convolution(
                "\(block.name).\(resampler).0.conv", last.output, last.output, size: 3)
        }
    }
}

extension VAEConfiguration {
    /// Decodes a `vae/config.json`; throws ``WeightsError/field(path:field:expected:found:)`` by
    /// name for whatever this program cannot do.
    package init(path: String) throws(WeightsError) {
        try self.init(
            fields: ConfigurationFields(
                path: path, adviceWhenMissing: "a model folder has one beside its weights"))
    }

    init(fields: ConfigurationFields) throws(WeightsError) {
        try fields.requireNeutral([
            ("_class_name", "AutoencoderKL"), ("act_fn", "silu"), ("out_channels", 3),
            ("in_channels", 3),
        ])
        let types = try fields.strings("up_block_types")
        guard (1...8).contains(types.count), types.allSatisfy({ $0 == "UpDecoderBlock2D" }) else {
            throw fields.error("up_block_types", expected: "1 to 8 of UpDecoderBlock2D")
        }
        imageChannels = 3
        latentChannels = try fields.integer("latent_channels", in: 1...64, default: 4)
        normGroups = try fields.integer("norm_num_groups", in: 1...1024, default: 32)
        blockOutChannels = try fields.integers(
            "block_out_channels", in: 1...16384, count: types.count)
        layersPerBlock = try fields.integer("layers_per_block", in: 1...16, default: 1)
        scalingFactor = try fields.number("scaling_factor", in: 1e-6...1e6, default: 0.18215)
        shiftFactor = try fields.number("shift_factor", in: -1e6...1e6, default: 0)
        latentMeans = try fields.numbers("latents_mean", in: -1e6...1e6, count: latentChannels)
        latentDeviations = try fields.numbers("latents_std", in: 1e-6...1e6, count: latentChannels)
        sampleSize = try fields.integer("sample_size", in: 1...65536, default: 32)
        hasMidAttention = try fields.bool("mid_block_add_attention", default: true)
        hasPostQuantConvolution = try fields.bool("use_post_quant_conv", default: true)
        hasQuantConvolution = try fields.bool("use_quant_conv", default: true)
        // diffusers takes a file that says nothing for one that does; what is known is what is said.
        overflowsInHalfPrecision = try fields.bool("force_upcast", default: false)
        guard blockOutChannels.allSatisfy({ $0 % normGroups == 0 }) else {
            throw fields.error(
                "block_out_channels", expected: "multiples of norm_num_groups (\(normGroups))")
        }
    }
}
