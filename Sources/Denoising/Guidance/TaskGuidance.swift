internal import ImageFilters
internal import Sampling
package import Tensors

/// How the two predictions of a task's views become one: classifier-free guidance, in two bands
/// where the task asks for that.
package struct TaskGuidance: Sendable {
    private let plain: ClassifierFreeGuidance
    private let bands: BandSplit?

    /// `scale`, `rescale` and `bands` as in ``DenoiseTask``.
    package init(scale: Double, rescale: Double = 0, bands: BandSplit? = nil) {
        plain = ClassifierFreeGuidance(scale: scale, rescale: rescale)
        self.bands = bands
    }

    /// That of a task.
    package init(of task: DenoiseTask) {
        self.init(
            scale: task.guidanceScale, rescale: task.guidanceRescale, bands: task.bandSplit)
    }

    /// Whether the unconditional prediction is needed at all: where a weight exceeds 1.
    package var isActive: Bool { plain.isActive || bands.map { $0.highScale > 1 } ?? false }

    /// Combines the two predictions of one view, which the bands have to fit. Equal weights are the
    /// plain guidance, to the bit.
    package func combine(conditional: Latent, unconditional: Latent) -> Latent {
        let guided = plain.guided(conditional: conditional, unconditional: unconditional)
        guard let bands, bands.highScale != plain.scale else {
            return plain.rescaled(guided, as: conditional)
        }
        let difference = conditional.combined(with: unconditional, -)
        let fine = difference.combined(with: difference.smoothed(to: bands.low), -)
        let weight = Float(bands.highScale - plain.scale)
        return plain.rescaled(guided.combined(with: fine) { $0 + weight * $1 }, as: conditional)
    }
}

extension Latent {
    /// What is left when it is reduced and enlarged again.
    fileprivate func smoothed(to low: Extent) -> Latent {
        resampled(height: low.height, width: low.width, filter: .bilinear)
            .resampled(height: height, width: width, filter: .bilinear)
    }
}
