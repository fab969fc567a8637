import ImageFilters
import Tensors
import TestSupport
import Testing

@Suite("Gaussian blur", .watched)
struct GaussianBlurTests {
    @Test("a blur is PyTorch's, in a mirror or among zeros")
    func goldens() throws {
        let image = wave(channels: 2, height: 7, width: 10)
        for golden in try FilterGoldens.read().blur {
            let blur = GaussianBlur(
                kernelSize: golden.kernelSize, sigma: golden.sigma,
                surroundings: golden.surroundings == "zeros" ? .zeros : .reflection)
            #expect(difference(blur(image).values, golden.values) < 2e-6, "\(blur)")
        }
    }

    @Test("an image of one colour keeps it in a mirror, however small it is")
    func constant() {
        for side in 1...5 {
            let image = Latent(
                channels: 1, height: side, width: 2,
                values: Array(repeating: 3, count: 2 * side))
            let blurred = GaussianBlur(kernelSize: 9, sigma: 2)(image)
            #expect(blurred.values.allSatisfy { abs($0 - 3) < 1e-5 })
        }
    }

    @Test("a kernel of one element changes nothing")
    func identity() {
        let image = wave(channels: 2, height: 4, width: 5)
        #expect(GaussianBlur(kernelSize: 1, sigma: 0.3)(image) == image)
    }
}
