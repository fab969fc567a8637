import ImageFilters
import Tensors
import TestSupport
import Testing

@Suite("Haar wavelet", .watched)
struct HaarBandsTests {
    @Test("the bands are those of the transform's definition, at odd sides too")
    func goldens() throws {
        let image = wave(channels: 2, height: 7, width: 10)
        for golden in try FilterGoldens.read().haar {
            let bands = HaarBands(
                splitting: image.cropped(height: golden.height, width: golden.width))
            let found = [bands.low, bands.horizontal, bands.vertical, bands.diagonal]
            for (band, expected) in zip(found, golden.bands) {
                #expect(difference(band.values, expected) < 1e-6)
            }
        }
    }

    @Test("merging what was split gives the image back, at any size")
    func reconstruction() {
        for height in 1...6 {
            for width in 1...6 {
                let image = wave(channels: 3, height: height, width: width)
                let merged = HaarBands(splitting: image).merged(height: height, width: width)
                #expect(difference(merged.values, image.values) < 3e-7, "\(height)×\(width)")
            }
        }
        let whole = Latent(
            channels: 1, height: 8, width: 8, values: (0..<64).map { Float($0 * $0 % 101) })
        #expect(
            HaarBands(splitting: whole).merged(height: 8, width: 8) == whole,
            "whole numbers come back exactly")
    }

    @Test("the transform keeps the sum of squares at even sides")
    func energy() {
        func energy(_ image: Latent) -> Double {
            image.values.reduce(0) { $0 + Double($1) * Double($1) }
        }
        let image = wave(channels: 1, height: 8, width: 6)
        let bands = HaarBands(splitting: image)
        let sum = [bands.low, bands.horizontal, bands.vertical, bands.diagonal]
            .map(energy).reduce(0, +)
        #expect(abs(sum - energy(image)) < 1e-5)
    }
}
