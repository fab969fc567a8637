internal import Sampling
internal import Tensors

/// Turns the noise in a canvas towards another: see ``PredictionOperation/injectNoise(share:)``.
///
/// Both are taken for vectors of all channels of the phase's latent, between which spherical linear
/// interpolation goes (Shoemake 1985): sin((1−s)θ)/sin θ · a + sin(sθ)/sin θ · b, θ being their
/// angle. So what comes out has about the length of what goes in, as a mean would not. The noise is
/// drawn channel by channel, twice, so that little is held.
struct NoiseInjection {
    /// Of the angle.
    let share: Double
    let seed: UInt64
    /// Counted over the whole plan.
    let step: Int
    /// Of the phase's latent.
    let extent: Extent

    func applied(to noise: Latent) -> Latent {
        let angle = angle(to: noise)
        // Vectors of one direction leave nothing to interpolate.
        guard angle > 1e-6 else { return noise }
        let sine = Elementary.sineAndCosine(angle).sine
        let own = Float(Elementary.sineAndCosine((1 - share) * angle).sine / sine)
        let other = Float(Elementary.sineAndCosine(share * angle).sine / sine)
        var turned = noise
        for channel in 0..<noise.channels {
            let drawn = drawn(channel).padded(to: noise.extent)
            let first = channel * noise.plane
            for index in 0..<noise.plane {
                turned.values[first + index] =
                    own * noise.values[first + index] + other * drawn.values[index]
            }
        }
        return turned
    }

    /// Between the noise in the phase's latent and the drawn one, from 0 to π.
    private func angle(to noise: Latent) -> Double {
        var (product, length, drawnLength) = (0.0, 0.0, 0.0)
        for channel in 0..<noise.channels {
            let drawn = drawn(channel)
            for y in 0..<extent.height {
                let start = (channel * noise.height + y) * noise.width
                for x in 0..<extent.width {
                    let (own, other) = (
                        Double(noise.values[start + x]), Double(drawn.values[y * extent.width + x])
                    )
                    product += own * other
                    length += own * own
                    drawnLength += other * other
                }
            }
        }
        guard length > 0, drawnLength > 0 else { return 0 }
        return Elementary.arccosine(product / (length * drawnLength).squareRoot())
    }

    private func drawn(_ channel: Int) -> Latent {
        AddedNoise.latent(
            channels: channel..<channel + 1, height: extent.height, width: extent.width,
            seed: seed, step: step, purpose: .injection)
    }
}
