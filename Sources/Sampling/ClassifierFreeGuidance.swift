package import Tensors

/// Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): pushes the prediction away
/// from what the network says without the prompt.
package struct ClassifierFreeGuidance: Equatable, Sendable {
    /// w in ε = ε_u + w·(ε_c − ε_u); 1 is no guidance.
    package let scale: Double

    /// φ of arXiv 2305.08891, equations 15 and 16: how far the standard deviation of the result
    /// is pulled back to that of the conditional prediction; 0 is not at all.
    package let rescale: Double

    package init(scale: Double, rescale: Double = 0) {
        self.scale = scale
        self.rescale = rescale
    }

    /// Whether the unconditional prediction is needed at all, as diffusers decides it.
    package var isActive: Bool { scale > 1 }

    /// Combines the two predictions of one view. The standard deviations of the rescaling are
    /// taken over this view (channels, height and width), not over the whole picture.
    package func combine(conditional: Latent, unconditional: Latent) -> Latent {
        rescaled(
            guided(conditional: conditional, unconditional: unconditional), as: conditional)
    }

    /// ε_u + w·(ε_c − ε_u), not rescaled.
    package func guided(conditional: Latent, unconditional: Latent) -> Latent {
        let weight = Float(scale)
        return unconditional.combined(with: conditional) { negative, positive in
            negative + weight * (positive - negative)
        }
    }

    /// A guided prediction, its standard deviation pulled back to the conditional one's.
    package func rescaled(_ guided: Latent, as conditional: Latent) -> Latent {
        guard rescale > 0 else { return guided }
        let deviation = Self.standardDeviation(guided.values)
        guard deviation > 0 else { return guided }
        let ratio = Self.standardDeviation(conditional.values) / deviation
        let factor = Float(rescale * ratio + (1 - rescale))
        return guided.mapValues { $0 * factor }
    }

    /// With Bessel's correction, as PyTorch's `std`; 0 for fewer than two values.
    static func standardDeviation(_ values: [Float]) -> Double {
        guard values.count > 1 else { return 0 }
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let squares = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        return (squares / Double(values.count - 1)).squareRoot()
    }
}
