package import ComputeBackends
internal import Tensors

/// The network that paints a latent: the decoder half of diffusers' `AutoencoderKL`
/// (Rombach et al. 2021, arXiv 2112.10752).
package struct VAEDecoder: Sendable {
    /// What the network was built from.
    package let configuration: VAEConfiguration

    private let postQuantization: LinearWeights?
    private let convolutionIn: ConvolutionWeights
    private let middle: VAEMiddle
    private let blocks: [Block]
    private let normOut: NormWeights
    private let convolutionOut: ConvolutionWeights

    private struct Block: Sendable {
        let residuals: [ResidualBlock]
        let upsampler: Upsampler?
    }

    /// Loads the decoder. Throws ``WeightsError`` naming what is missing or has another shape.
    package init(
        configuration: VAEConfiguration,
        weights: WeightStore,
        backend: any ComputeBackend,
        preparation: Preparation
    ) throws(WeightsError) {
        let loader = LayerLoader(
            store: weights, backend: backend, preparation: preparation)
        let channels = configuration.blockOutChannels
        let top = channels[channels.count - 1]
        self.configuration = configuration
        let latent = configuration.latentChannels
        postQuantization =
            configuration.hasPostQuantConvolution
            ? try loader.pointwise("post_quant_conv", latent, latent) : nil
        convolutionIn = try loader.convolution("decoder.conv_in", latent, top, size: 3)
        middle = try VAEMiddle(loader, "decoder", configuration)
        blocks = try Array(loading: configuration.decoderBlocks) {
            (_, layout) throws(WeightsError) in
            let residuals = try Array(loading: layout.residuals) {
                (index, shape) throws(WeightsError) in
                try ResidualBlock(
                    loader, "\(layout.name).resnets.\(index)", shape, embedding: 0,
                    groups: configuration.normGroups, epsilon: VAEMiddle.epsilon)
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
        hidden = middle.apply(hidden, on: backend)
        for block in blocks {
            for residual in block.residuals { hidden = residual.apply(hidden, on: backend) }
            if let upsampler = block.upsampler {
                hidden = upsampler.apply(
                    hidden, height: 2 * hidden.height, width: 2 * hidden.width, on: backend)
            }
        }
        hidden = backend.groupNorm(
            hidden, normOut, groups: configuration.normGroups, epsilon: VAEMiddle.epsilon,
            silu: true)
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
