internal import Tensors

/// What lies between a latent as it is denoised and as the autoencoder knows it, per channel:
/// autoencoder = denoised · deviation / factor + mean + shift (diffusers' pipelines for SDXL, and
/// for the models with a shift factor).
struct LatentScale: Sendable {
    private let factor: Float
    /// Per channel.
    private let deviations: [Float]
    /// Per channel.
    private let shifts: [Float]

    init(_ configuration: VAEConfiguration) {
        let channels = configuration.latentChannels
        let means = configuration.latentMeans ?? Array(repeating: 0, count: channels)
        factor = Float(configuration.scalingFactor)
        deviations = (configuration.latentDeviations ?? Array(repeating: 1, count: channels))
            .map(Float.init)
        shifts = means.map { Float($0 + configuration.shiftFactor) }
    }

    /// Writes what is decoded: `latent`, as it was denoised, with this model's channels.
    func write(_ latent: Latent, to buffer: UnsafeMutableBufferPointer<Float>) {
        for channel in 0..<latent.channels {
            let (deviation, shift) = (deviations[channel], shifts[channel])
            for index in channel * latent.plane..<(channel + 1) * latent.plane {
                unsafe buffer[index] = latent.values[index] * deviation / factor + shift
            }
        }
    }

    /// What is denoised: of values that were encoded, (channels, height, width).
    func latent(
        _ encoded: UnsafeBufferPointer<Float>.SubSequence,
        height: Int,
        width: Int
    ) -> Latent {
        var latent = unsafe Latent(
            channels: shifts.count, height: height, width: width, values: Array(encoded))
        for channel in 0..<latent.channels {
            let (deviation, shift) = (deviations[channel], shifts[channel])
            for index in channel * latent.plane..<(channel + 1) * latent.plane {
                latent.values[index] = (latent.values[index] - shift) * factor / deviation
            }
        }
        return latent
    }
}
