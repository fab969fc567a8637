package import ComputeBackends
internal import Tensors

/// The network that says which latent a picture is painted from: the encoder half of diffusers'
/// `AutoencoderKL` (Rombach et al. 2021, arXiv 2112.10752).
package struct VAEEncoder: Sendable {
    /// What the network was built from.
    package let configuration: VAEConfiguration

    private let convolutionIn: ConvolutionWeights
    private let blocks: [Block]
    private let middle: VAEMiddle
    private let normOut: NormWeights
    private let convolutionOut: ConvolutionWeights
    private let quantization: LinearWeights?

    private struct Block: Sendable {
        let residuals: [ResidualBlock]
        let downsampler: Downsampler?
    }

    /// Loads the encoder. Throws ``WeightsError`` naming what is missing or has another shape.
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
        let moments = 2 * configuration.latentChannels
        self.configuration = configuration
        convolutionIn = try loader.convolution(
            "encoder.conv_in", configuration.imageChannels, channels[0], size: 3)
        blocks = try Array(loading: configuration.encoderBlocks) {
            (_, layout) throws(WeightsError) in
            let residuals = try Array(loading: layout.residuals) {
                (index, shape) throws(WeightsError) in
                try ResidualBlock(
                    loader, "\(layout.name).resnets.\(index)", shape, embedding: 0,
                    groups: configuration.normGroups, epsilon: VAEMiddle.epsilon)
            }
            let output = layout.residuals[layout.residuals.count - 1].output
            let downsampler =
                layout.resamples
                ? try Downsampler(loader, "\(layout.name).downsamplers.0", channels: output) : nil
            return Block(residuals: residuals, downsampler: downsampler)
        }
        middle = try VAEMiddle(loader, "encoder", configuration)
        normOut = try loader.norm("encoder.conv_norm_out", top)
        convolutionOut = try loader.convolution("encoder.conv_out", top, moments, size: 3)
        quantization =
            configuration.hasQuantConvolution
            ? try loader.pointwise("quant_conv", moments, moments) : nil
    }

    /// (items, h·s, w·s, 3), nominally in [−1, 1] and with s = ``VAEConfiguration/scaleFactor``,
    /// to the moments of the posterior, (items, h, w, 2 · latent channels): first the means, not
    /// yet multiplied by the scaling factor, then the logarithms of the variances.
    package func moments(of pictures: DeviceTensor, on backend: any ComputeBackend)
        -> DeviceTensor
    {
        var hidden = backend.convolution(pictures, convolutionIn, padding: Padding(1))
        for block in blocks {
            for residual in block.residuals { hidden = residual.apply(hidden, on: backend) }
            // The autoencoder pads below and after the image only: diffusers' `Downsample2D` with
            // `padding=0`.
            hidden =
                block.downsampler?.apply(
                    hidden, padding: Padding(top: 0, left: 0, bottom: 1, right: 1), on: backend)
                ?? hidden
        }
        hidden = middle.apply(hidden, on: backend)
        hidden = backend.groupNorm(
            hidden, normOut, groups: configuration.normGroups, epsilon: VAEMiddle.epsilon,
            silu: true)
        hidden = backend.convolution(hidden, convolutionOut, padding: Padding(1))
        return quantization.map { backend.linear(hidden, $0) } ?? hidden
    }

    /// Roughly the most memory that encoding to `positions` latent pixels takes beside the
    /// weights, in bytes: three images of the finest kind at full resolution.
    package func workingBytes(positions: Int) -> Double {
        let pixels =
            Double(positions) * Double(configuration.scaleFactor)
            * Double(configuration.scaleFactor)
        return 3 * pixels * Double(configuration.blockOutChannels[0]) * 4
    }
}

extension VAEEncoder {
    /// Encoding of pictures of one size, laid out ahead: it allocates nothing. The same values as
    /// ``VAEEncoder/moments(of:on:)``.
    ///
    /// One encoding at a time, from any thread.
    package final class Forward: Sendable {
        /// The operations and their memory.
        package let plan: ForwardPlan

        /// Plans for `items` pictures, of which each becomes a latent of `height`×`width`. Nil for
        /// a backend that only computes at once. Throws `MemoryShortage` when there is no room.
        package init?(
            _ encoder: VAEEncoder,
            items: Int,
            height: Int,
            width: Int,
            on backend: any ComputeBackend
        ) throws(MemoryShortage) {
            guard let recorder = backend.recorder() else { return nil }
            let (configuration, factor) = (encoder.configuration, encoder.configuration.scaleFactor)
            let pictures = recorder.input(
                Shape(items, configuration.imageChannels, height * factor, width * factor))
            let moments = encoder.moments(of: recorder.channelsLast(pictures), on: recorder)
            plan = try recorder.plan(output: recorder.channelsFirst(moments))
        }

        /// Encodes once. `pictures` writes all of (items, 3, h·s, w·s), channels first, in
        /// [−1, 1]; `read` sees (items, 2 · latent channels, h, w), channels first too, which is
        /// gone when it returns. Neither may use this forward.
        package func encode<Result: Sendable>(
            pictures: (UnsafeMutableBufferPointer<Float>) -> Void,
            read: (DeviceTensor) -> Result
        ) -> Result {
            unsafe plan.run(
                fill: { _, buffer in unsafe pictures(buffer) },
                bind: { _ in preconditionFailure("nothing comes along with pictures") },
                read: read)
        }
    }
}
