package import ComputeBackends
internal import Tensors

/// The network that paints a latent: the decoder half of diffusers' `AutoencoderKL`
/// (Rombach et al. 2021, arXiv 2112.10752).
package struct VAEDecoder: Sendable {
    /// What the network was built from.
    package let configuration: VAEConfiguration

    private let postQuantization: LinearWeights?
    private let convolutionIn: ConvolutionWeights
    private let middle: [ResidualBlock]
    private let attention: VAEAttention?
    private let blocks: [Block]
    private let normOut: NormWeights
    private let convolutionOut: ConvolutionWeights

    private struct Block: Sendable {
        let residuals: [ResidualBlock]
        let upsampler: Upsampler?
    }

    /// The autoencoder's normalisations do not follow a configuration.
    fileprivate static let epsilon = 1e-6

    /// Loads the decoder. Throws ``WeightsError`` naming what is missing or has another shape.
    package init(
        configuration: VAEConfiguration,
        weights: WeightStore,
        backend: any ComputeBackend,
        preparation: Preparation
    ) throws(WeightsError) {
        let loader = LayerLoader(
            store: weights, backend: backend, preparation: preparation)
        let groups = configuration.normGroups
        let channels = configuration.blockOutChannels
        let top = channels[channels.count - 1]
        func residual(
            _ name: String,
            _ layout: ResidualLayout
        ) throws(WeightsError) -> ResidualBlock {
            try ResidualBlock(
                loader, name, layout, embedding: 0, groups: groups, epsilon: Self.epsilon)
        }
        self.configuration = configuration
        let latent = configuration.latentChannels
        postQuantization =
            configuration.hasPostQuantConvolution
            ? try loader.pointwise("post_quant_conv", latent, latent) : nil
        convolutionIn = try loader.convolution("decoder.conv_in", latent, top, size: 3)
        middle = try Array(loading: 0..<2) { (_, index) throws(WeightsError) in
            try residual(
                "decoder.mid_block.resnets.\(index)", ResidualLayout(input: top, output: top))
        }
        attention =
            configuration.hasMidAttention
            ? try VAEAttention(
                loader, "decoder.mid_block.attentions.0", channels: top, groups: groups) : nil
        blocks = try Array(loading: configuration.decoderBlocks) {
            (_, layout) throws(WeightsError) in
            let residuals = try Array(loading: layout.residuals) {
                (index, shape) throws(WeightsError) in
                try residual("\(layout.name).resnets.\(index)", shape)
            }
            let output = layout.residuals[layout.residuals.count - 1].output
            let upsampler =
                layout.resamples
                ? try Upsampler(loader, "\(layout.name).upsamplers.0", channels: output) : nil
            return Block(residuals: residuals, upsampler: upsampler)
        }
        normOut = try loader.norm("decoder.conv_norm_out", channels[0])
        convolutionOut = try loader.convolution(
            "decoder.conv_out", channels[0], configuration.imageChannels, size: 3)
    }

    /// (items, h, w, latent channels), already divided by the scaling factor, to (items, h·s,
    /// w·s, 3) with s = ``VAEConfiguration/scaleFactor``, nominally in [−1, 1].
    package func decode(_ latents: DeviceTensor, on backend: any ComputeBackend) -> DeviceTensor {
        let start = postQuantization.map { backend.linear(latents, $0) } ?? latents
        var hidden = backend.convolution(start, convolutionIn, padding: Padding(1))
        hidden = middle[0].apply(hidden, on: backend)
        hidden = attention?.apply(hidden, on: backend) ?? hidden
        hidden = middle[1].apply(hidden, on: backend)
        for block in blocks {
            for residual in block.residuals { hidden = residual.apply(hidden, on: backend) }
            if let upsampler = block.upsampler {
                hidden = upsampler.apply(
                    hidden, height: 2 * hidden.height, width: 2 * hidden.width, on: backend)
            }
        }
        hidden = backend.groupNorm(
            hidden, normOut, groups: configuration.normGroups, epsilon: Self.epsilon, silu: true)
        return backend.convolution(hidden, convolutionOut, padding: Padding(1))
    }

    /// Roughly the most memory that decoding `positions` latent pixels takes beside the weights,
    /// in bytes: three images of the widest kind at full resolution.
    package func workingBytes(positions: Int) -> Double {
        let channels = configuration.blockOutChannels
        let widest = channels.count > 1 ? channels[1] : channels[0]
        let pixels =
            Double(positions) * Double(configuration.scaleFactor)
            * Double(configuration.scaleFactor)
        return 3 * pixels * Double(widest) * 4
    }
}

/// One head of self-attention over the pixels, after group normalisation.
private struct VAEAttention: Sendable {
    private let norm: NormWeights
    private let groups: Int
    private let query: LinearWeights
    private let key: LinearWeights
    private let value: LinearWeights
    private let output: LinearWeights

    init(
        _ loader: LayerLoader,
        _ name: String,
        channels: Int,
        groups: Int
    ) throws(WeightsError) {
        norm = try loader.norm("\(name).group_norm", channels)
        self.groups = groups
        query = try loader.pointwise("\(name).to_q", channels, channels)
        key = try loader.pointwise("\(name).to_k", channels, channels)
        value = try loader.pointwise("\(name).to_v", channels, channels)
        output = try loader.pointwise("\(name).to_out.0", channels, channels)
    }

    func apply(_ x: DeviceTensor, on backend: any ComputeBackend) -> DeviceTensor {
        let normalized = backend.groupNorm(
            x, norm, groups: groups, epsilon: VAEDecoder.epsilon, silu: false)
        let seen = backend.attention(
            queries: backend.linear(normalized, query), keys: backend.linear(normalized, key),
            values: backend.linear(normalized, value), heads: 1, causal: false)
        return backend.linear(seen, output, residual: x)
    }
}
