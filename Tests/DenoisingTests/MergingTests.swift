import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@Suite("Merging (MultiDiffusion, arXiv 2302.08113, equation 5)", .watched)
struct MergingTests {
    private let canvas = InitialNoise.native.latent(channels: 2, height: 17, width: 21, seed: 2)

    private func merged(_ field: Latent, stride: Int, feather: Feather) -> Latent {
        let extent = Extent(height: 17, width: 21)
        let grid = WindowGrid(
            canvas: extent, window: Extent(height: 8, width: 8), stride: stride, moving: .each)
        var accumulator = OverlapAccumulator(channels: 2, extent: extent)
        for window in grid.windows(seed: 6, step: 1) {
            let view = LatentView.window(window)
            accumulator.add(view.gather(from: field), through: view, feather: feather)
        }
        return accumulator.average()
    }

    @Test("normalised weights sum to one everywhere", arguments: Feather.allCases)
    func weights(feather: Feather) {
        let ones = canvas.mapValues { _ in 1 }
        for stride in [1, 3, 4, 8] {
            let result = merged(ones, stride: stride, feather: feather)
            #expect(result.values.allSatisfy { abs($0 - 1) < 1e-6 })
        }
    }

    @Test("equal predictions in overlaps are the result", arguments: Feather.allCases)
    func equalPredictions(feather: Feather) {
        let result = merged(canvas, stride: 3, feather: feather)
        for (value, expected) in zip(result.values, canvas.values) {
            #expect(abs(value - expected) <= 1e-6 * abs(expected))
        }
    }

    @Test("two views that agree give that very number")
    func bitwise() {
        var accumulator = OverlapAccumulator(channels: 2, extent: Extent(height: 17, width: 21))
        let view = LatentView.window(Window(y: 0, x: 0, height: 17, width: 21))
        for _ in 0..<4 { accumulator.add(canvas, through: view) }
        #expect(accumulator.average() == canvas)
    }

    @Test("Weights are positive and symmetric", arguments: Feather.allCases)
    func profiles(feather: Feather) {
        for count in [1, 2, 7, 128] {
            let profile = feather.profile(count)
            #expect(profile.count == count)
            #expect(profile.allSatisfy { $0 > 0 })
            #expect(profile == profile.reversed())
        }
        #expect(Feather.linear.profile(5) == [1, 2, 3, 2, 1])
    }

    @Test("Any order of arrival comes out in order, repeats are ignored")
    func reordering() {
        var buffer = ReorderBuffer<String>()
        var order: [Int] = []
        for index in [3, 0, 0, 2, 3, 1, 5, 1, 4, 5] {
            for (index, element) in buffer.insert("\(index)", at: index) {
                #expect(element == "\(index)")
                order.append(index)
            }
        }
        #expect(order == Array(0...5))
        #expect(buffer.count == 0)
        #expect(buffer.next == 6)
    }
}
