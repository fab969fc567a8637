import ImageFilters
import Sampling
import Tensors
import TestSupport
import Testing

@testable import Denoising

@Suite("Guidance in two bands (arXiv 2410.18410, section 3.3)", .watched)
struct TaskGuidanceTests {
    private let conditional = InitialNoise.native.latent(
        channels: 4, height: 8, width: 12, seed: 1)
    private let unconditional = InitialNoise.native.latent(
        channels: 4, height: 8, width: 12, seed: 2)

    private func combine(
        _ scale: Double, high: Double?, rescale: Double = 0,
        low: Extent = Extent(height: 4, width: 6)
    ) -> Latent {
        TaskGuidance(
            scale: scale, rescale: rescale,
            bands: high.map { BandSplit(highScale: $0, low: low) }
        ).combine(conditional: conditional, unconditional: unconditional)
    }

    @Test("of one weight is the plain guidance, to the bit", arguments: [0, 0.7])
    func oneWeight(rescale: Double) {
        let plain = ClassifierFreeGuidance(scale: 7.5, rescale: rescale)
            .combine(conditional: conditional, unconditional: unconditional)
        #expect(combine(7.5, high: nil, rescale: rescale) == plain)
        #expect(combine(7.5, high: 7.5, rescale: rescale) == plain)
    }

    @Test("is the sum over both bands of ε_u + w·(ε_c − ε_u)")
    func sum() {
        func low(_ latent: Latent) -> Latent {
            latent.resampled(height: 4, width: 6, filter: .bilinear)
                .resampled(height: 8, width: 12, filter: .bilinear)
        }
        func weighted(_ u: Latent, _ c: Latent, _ weight: Float) -> Latent {
            u.combined(with: c) { $0 + weight * ($1 - $0) }
        }
        let coarse = weighted(low(unconditional), low(conditional), 7.5)
        let fine = weighted(
            unconditional.combined(with: low(unconditional), -),
            conditional.combined(with: low(conditional), -), 35)
        #expect(relativeDifference(combine(7.5, high: 35), coarse.combined(with: fine, +)) < 1e-6)
    }

    @Test("leaves what has no details to the low band, and no low band where it is the view")
    func ends() {
        let flat = conditional.mapValues { _ in 3 }
        let zero = conditional.mapValues { _ in 0 }
        let low = Extent(height: 4, width: 6)
        let guided = TaskGuidance(scale: 2, bands: BandSplit(highScale: 9, low: low))
            .combine(conditional: flat, unconditional: zero)
        #expect(relativeDifference(guided, flat.mapValues { $0 * 2 }) < 1e-6)
        let whole = combine(7.5, high: 35, low: Extent(height: 8, width: 12))
        #expect(relativeDifference(whole, combine(7.5, high: nil)) < 1e-6)
    }

    @Test("needs the prediction without the prompt where one of its weights exceeds 1")
    func active() {
        let low = Extent(height: 4, width: 4)
        func isActive(_ scale: Double, _ high: Double?) -> Bool {
            TaskGuidance(scale: scale, bands: high.map { BandSplit(highScale: $0, low: low) })
                .isActive
        }
        #expect(isActive(2, nil) && isActive(1, 2) && isActive(2, 1))
        #expect(!isActive(1, nil) && !isActive(1, 1))
    }

    @Test("makes another question; one without it keeps its digest")
    func fingerprints() {
        func fingerprint(_ bands: BandSplit?) -> Fingerprint {
            WorkItem.denoise(
                DenoiseTask(
                    index: 0, step: 0, timestep: 951, guidanceScale: 7.5, bandSplit: bands,
                    views: [
                        ViewInput(
                            sample: Latent(channels: 1, height: 1, width: 2, values: [0.5, -1]),
                            microConditioning: MicroConditioning(timeIDs: [8, 8, 0, -4, 16, 16]))
                    ])
            ).fingerprint
        }
        let low = Extent(height: 1, width: 1)
        let all = [
            fingerprint(nil), fingerprint(BandSplit(highScale: 35, low: low)),
            fingerprint(BandSplit(highScale: 25, low: low)),
            fingerprint(BandSplit(highScale: 35, low: Extent(height: 1, width: 2))),
        ]
        #expect(Set(all).count == all.count)
        #expect("\(all[0])" == "bffc401775ca9ef1")
    }
}
