import ImageFilters
import Tensors
import TestSupport
import Testing

@Suite("Resampling", .watched)
struct ResamplingTests {
    @Test("any size is made as PyTorch makes it", arguments: ResamplingFilter.allCases)
    func goldens(_ filter: ResamplingFilter) throws {
        let goldens = try FilterGoldens.read()
        let cases =
            switch filter {
            case .bicubic: goldens.bicubic
            case .antialiasedBilinear: goldens.antialiasedBilinear
            case .bilinear: goldens.bilinear
            case .nearest: goldens.nearest
            }
        let image = wave(channels: 2, height: 7, width: 10)
        for golden in cases {
            let found = image.resampled(
                height: golden.height, width: golden.width, filter: filter)
            #expect(found.height == golden.height && found.width == golden.width)
            #expect(
                difference(found.values, golden.values) < 2e-6,
                "\(golden.height)×\(golden.width)")
        }
    }

    @Test(
        "an image of one colour keeps it, whatever the size", arguments: ResamplingFilter.allCases)
    func constant(_ filter: ResamplingFilter) {
        for (height, width) in [(1, 1), (5, 3), (16, 9)] {
            let image = RGBImage(
                height: height, width: width,
                values: Array(repeating: 0.7, count: 3 * height * width))
            for (newHeight, newWidth) in [(1, 1), (4, 7), (33, 2)] {
                let found = image.resampled(height: newHeight, width: newWidth, filter: filter)
                #expect(found.values.allSatisfy { abs($0 - 0.7) < 1e-6 })
            }
        }
    }

    @Test("the same size is the same image", arguments: ResamplingFilter.allCases)
    func identity(_ filter: ResamplingFilter) {
        let image = wave(channels: 3, height: 9, width: 6)
        #expect(image.resampled(height: 9, width: 6, filter: filter) == image)
    }

    @Test("bands of any height give the same values", arguments: ResamplingFilter.allCases)
    func bands(_ filter: ResamplingFilter) {
        let image = wave(channels: 2, height: 23, width: 11)
        for (height, width) in [(46, 22), (9, 30), (1, 1), (23, 11), (70, 4)] {
            let whole = image.resampled(height: height, width: width, filter: filter)
            for step in [1, 2, 7, 22, 23] {
                var resampler = BandResampler<Latent>(
                    filter: filter, channels: 2, height: 23, width: 11, newHeight: height,
                    newWidth: width)
                var row = 0
                for first in stride(from: 0, to: 23, by: step) {
                    guard let band = resampler.add(image.rows(first..<min(first + step, 23)))
                    else { continue }
                    #expect(band == whole.rows(row..<row + band.height))
                    row += band.height
                }
                #expect(row == height, "\(height)×\(width) in bands of \(step)")
            }
        }
    }
}
