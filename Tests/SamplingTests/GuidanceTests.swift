import Sampling
import Tensors
import TestSupport
import Testing

@Suite(
    "Classifier-free guidance (arXiv 2207.12598) and its rescale (arXiv 2305.08891, equations 15 and 16)",
    .watched)
struct GuidanceTests {
    private let conditional = Latent(
        channels: 1, height: 2, width: 3, values: [0.5, -1, 2, 0.25, 3, -0.75])
    private let unconditional = Latent(
        channels: 1, height: 2, width: 3, values: [0.25, 1, -0.5, 0.5, 1, -1])

    private func combine(_ scale: Double, rescale: Double = 0) -> Latent {
        ClassifierFreeGuidance(scale: scale, rescale: rescale)
            .combine(conditional: conditional, unconditional: unconditional)
    }

    private func deviation(_ latent: Latent) -> Float {
        let mean = latent.values.reduce(0, +) / Float(latent.values.count)
        let squares = latent.values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Float(latent.values.count - 1)).squareRoot()
    }

    @Test("Weight 1 is the conditional prediction, weight 0 the unconditional one")
    func ends() {
        #expect(combine(1) == conditional)
        #expect(combine(0) == unconditional)
    }

    @Test("The result is linear in the weight")
    func linear() {
        let (low, middle, high) = (combine(2), combine(4.5), combine(7))
        for index in low.values.indices {
            let mean = (low.values[index] + high.values[index]) / 2
            #expect(abs(mean - middle.values[index]) < 1e-5)
        }
    }

    @Test("Rescale 0 changes nothing, rescale 1 restores the standard deviation")
    func rescale() {
        #expect(combine(7.5, rescale: 0) == combine(7.5))
        #expect(abs(deviation(combine(7.5, rescale: 1)) - deviation(conditional)) < 1e-5)
        let half = deviation(combine(7.5, rescale: 0.5))
        let mean = (deviation(conditional) + deviation(combine(7.5))) / 2
        #expect(abs(half - mean) < 1e-4)
    }

    @Test("Guidance needs the unconditional half only above 1, as in diffusers")
    func active() {
        #expect(ClassifierFreeGuidance(scale: 1.01).isActive)
        #expect(!ClassifierFreeGuidance(scale: 1).isActive)
    }

    @Test("A constant prediction is not divided by its vanishing deviation")
    func constant() {
        let flat = Latent(channels: 1, height: 1, width: 2, values: [1, 1])
        let guided = ClassifierFreeGuidance(scale: 3, rescale: 0.7)
            .combine(conditional: flat, unconditional: flat)
        #expect(guided == flat)
    }
}
