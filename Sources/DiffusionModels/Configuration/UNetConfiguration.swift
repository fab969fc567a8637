/// Shape of a diffusers `UNet2DConditionModel`, as its `config.json` says.
///
/// Decoding refuses every field value that this program has no code for, by name.
package struct UNetConfiguration: Equatable, Sendable {
    /// Native side of the latent, in latent pixels.
    package var sampleSize: Int
    /// Channels of the latent.
    package var inChannels: Int
    /// Channels of the prediction.
    package var outChannels: Int
    /// Channels per resolution, finest first; every one a multiple of ``normGroups``.
    package var blockOutChannels: [Int]
    /// Whether the down block of each resolution has cross-attention, finest first.
    package var downBlockAttention: [Bool]
    /// Whether the up block of each resolution has cross-attention, coarsest first.
    package var upBlockAttention: [Bool]
    /// Residual blocks per down block, finest first; the up block has one more.
    package var layersPerBlock: [Int]
    /// Transformer blocks in each attention, per resolution, finest first.
    package var transformerLayers: [Int]
    /// Attention heads per resolution, finest first. The file calls it `attention_head_dim`,
    /// a misnomer that diffusers keeps.
    package var attentionHeads: [Int]
    /// Width of the text hidden states.
    package var crossAttentionWidth: Int
    /// The transformers' projections are linear layers (SDXL), not 1×1 convolutions (SD 1.5).
    package var usesLinearProjection: Bool
    /// SDXL's `text_time` conditioning; nil for models without it.
    package var addedConditioning: AddedConditioning?
    /// Groups of every group norm.
    package var normGroups: Int
    /// Added to the variance in the residual blocks' norms.
    package var normEpsilon: Double
    /// Cosines first in the sinusoidal embeddings.
    package var flipSineToCosine: Bool
    /// `downscale_freq_shift` of the sinusoidal embeddings.
    package var frequencyShift: Double

    /// SDXL's second embedding: the pooled text and the six micro-conditioning numbers.
    package struct AddedConditioning: Equatable, Sendable {
        /// Width of the sinusoidal embedding of each of the six numbers.
        package var timeEmbeddingWidth: Int
        /// Pooled text width + 6 × ``timeEmbeddingWidth``.
        package var inputWidth: Int

        /// Both widths, as the file gives them; `inputWidth` exceeds 6 × `timeEmbeddingWidth`.
        package init(timeEmbeddingWidth: Int, inputWidth: Int) {
            self.timeEmbeddingWidth = timeEmbeddingWidth
            self.inputWidth = inputWidth
        }

        /// Width of the pooled text.
        package var pooledWidth: Int { inputWidth - 6 * timeEmbeddingWidth }
    }

    /// Width of the timestep embedding.
    package var timeEmbeddingWidth: Int { blockOutChannels[0] * 4 }
}

// MARK: - Layout

/// One residual block's channels.
package struct ResidualLayout: Equatable, Sendable {
    /// Includes the skip connection's channels in up blocks.
    package let input: Int
    /// Channels that leave the block.
    package let output: Int
}

/// The attention after each residual block of a block.
package struct TransformerLayout: Equatable, Sendable {
    /// Transformer blocks in sequence.
    package let depth: Int
    /// Attention heads of each.
    package let heads: Int
}

/// One block of the UNet: residual blocks, each followed by attention, and the resampler.
package struct UNetBlockLayout: Equatable, Sendable {
    /// `down_blocks.0`, `mid_block`, `up_blocks.2`, …
    package let name: String
    /// In sequence; never empty.
    package let residuals: [ResidualLayout]
    /// Nil for blocks without cross-attention.
    package let attention: TransformerLayout?
    /// A stride-2 convolution (down) or nearest ×2 and a convolution (up) follows.
    package let resamples: Bool

    /// Channels that leave the block.
    package var channels: Int { residuals[residuals.count - 1].output }
}

extension UNetConfiguration {
    /// The down blocks, finest first.
    package var downBlocks: [UNetBlockLayout] {
        let last = blockOutChannels.count - 1
        return blockOutChannels.indices.map { level in
            let output = blockOutChannels[level]
            let input = level == 0 ? blockOutChannels[0] : blockOutChannels[level - 1]
            return UNetBlockLayout(
                name: "down_blocks.\(level)",
                residuals: (0..<layersPerBlock[level]).map { index in
                    ResidualLayout(input: index == 0 ? input : output, output: output)
                },
                attention: downBlockAttention[level] ? transformer(level: level) : nil,
                resamples: level < last
            )
        }
    }

    /// The middle: two residual blocks with one attention between them.
    package var midBlock: UNetBlockLayout {
        let level = blockOutChannels.count - 1
        let channels = blockOutChannels[level]
        let residual = ResidualLayout(input: channels, output: channels)
        return UNetBlockLayout(
            name: "mid_block", residuals: [residual, residual],
            attention: transformer(level: level), resamples: false
        )
    }

    /// The up blocks, coarsest first. Each residual block takes one skip connection: the outputs
    /// of `conv_in`, of every down layer and of every downsampler, last first.
    package var upBlocks: [UNetBlockLayout] {
        var skips = skipChannels
        var channels = blockOutChannels[blockOutChannels.count - 1]
        return blockOutChannels.indices.map { index in
            let level = blockOutChannels.count - 1 - index
            var residuals: [ResidualLayout] = []
            for _ in 0...layersPerBlock[level] {
                let input = channels + skips.removeLast()
                residuals.append(ResidualLayout(input: input, output: blockOutChannels[level]))
                channels = blockOutChannels[level]
            }
            return UNetBlockLayout(
                name: "up_blocks.\(index)", residuals: residuals,
                attention: upBlockAttention[index] ? transformer(level: level) : nil,
                resamples: level > 0
            )
        }
    }

    /// Channels of every skip connection, in the order they are made.
    private var skipChannels: [Int] {
        var skips = [blockOutChannels[0]]
        for block in downBlocks {
            skips += block.residuals.map(\.output)
            if block.resamples { skips.append(block.channels) }
        }
        return skips
    }

    private func transformer(level: Int) -> TransformerLayout {
        TransformerLayout(depth: transformerLayers[level], heads: attentionHeads[level])
    }
}

// MARK: - Parameters

extension UNetConfiguration {
    /// Every tensor of the network, in the order of the layers.
    package var parameters: [ParameterShape] {
        var list = ParameterList()
        let width = timeEmbeddingWidth
        list.convolution("conv_in", inChannels, blockOutChannels[0], size: 3)
        list.linear("time_embedding.linear_1", blockOutChannels[0], width)
        list.linear("time_embedding.linear_2", width, width)
        if let addedConditioning {
            list.linear("add_embedding.linear_1", addedConditioning.inputWidth, width)
            list.linear("add_embedding.linear_2", width, width)
        }
        for block in downBlocks { add(block, resampler: "downsamplers", to: &list) }
        add(midBlock, resampler: "", to: &list)
        for block in upBlocks { add(block, resampler: "upsamplers", to: &list) }
        list.norm("conv_norm_out", blockOutChannels[0])
        list.convolution("conv_out", blockOutChannels[0], outChannels, size: 3)
        return list.parameters
    }

    private func add(
        _ block: UNetBlockLayout,
        resampler: String,
        to list: inout ParameterList
    ) {
        for (index, residual) in block.residuals.enumerated() {
            list.residual(
                "\(block.name).resnets.\(index)", residual.input, residual.output,
                embedding: timeEmbeddingWidth)
            // The middle block has one attention fewer than residual blocks.
            let isMiddleEnd = block.name == "mid_block" && index > 0
            if let attention = block.attention, !isMiddleEnd {
                add(attention, "\(block.name).attentions.\(index)", residual.output, to: &list)
            }
        }
        if block.resamples {
            list.convolution(
                "\(block.name).\(resampler).0.conv", block.channels, block.channels, size: 3)
        }
    }

    private func add(
        _ transformer: TransformerLayout,
        _ name: String,
        _ channels: Int,
        to list: inout ParameterList
    ) {
        list.norm("\(name).norm", channels)
        for layer in ["proj_in", "proj_out"] {
            if usesLinearProjection {
                list.linear("\(name).\(layer)", channels, channels)
            } else {
                list.convolution("\(name).\(layer)", channels, channels, size: 1)
            }
        }
        for index in 0..<transformer.depth {
            let block = "\(name).transformer_blocks.\(index)"
            for (attention, source) in [("attn1", channels), ("attn2", crossAttentionWidth)] {
                list.linear("\(block).\(attention).to_q", channels, channels, bias: false)
                list.linear("\(block).\(attention).to_k", source, channels, bias: false)
                list.linear("\(block).\(attention).to_v", source, channels, bias: false)
                list.linear("\(block).\(attention).to_out.0", channels, channels)
            }
            for norm in ["norm1", "norm2", "norm3"] { list.norm("\(block).\(norm)", channels) }
            list.linear("\(block).ff.net.0.proj", channels, 8 * channels)
            list.linear("\(block).ff.net.2", 4 * channels, channels)
        }
    }
}
