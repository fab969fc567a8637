import Denoising
import Sampling
import TestSupport
import Testing

@Suite("Windows (MultiDiffusion, arXiv 2302.08113)", .watched)
struct WindowGridTests {
    @Test("starts follow the formula for every length, window and stride")
    func formula() {
        for window in [1, 2, 5, 8, 32, 128] {
            for stride in Set([1, 2, 3, window / 2, window - 1, window])
            where (1...window) ~= stride {
                for length in [1, 2, window - 1, window, window + 1]
                    + Array(Swift.stride(from: window + 2, to: 600, by: 7))
                where length > 0 {
                    let starts = WindowGrid.starts(length: length, window: window, stride: stride)
                    var expected: [Int] = []
                    var next = 0
                    while expected.last.map({ $0 + window < length }) ?? true {
                        expected.append(max(0, min(next, length - window)))
                        next += stride
                    }
                    guard starts != expected else { continue }
                    Issue.record("length \(length), window \(window), stride \(stride): \(starts)")
                }
            }
        }
    }

    @Test("the published count, trunc((L−k)/d − 10⁻⁶) + 2, is the same")
    func publishedCount() {
        for length in 129...600 {
            for stride in [1, 32, 64, 96, 128] {
                let count = Int(Double(length - 128) / Double(stride) - 1e-6) + 2
                #expect(
                    WindowGrid.starts(length: length, window: 128, stride: stride).count == count)
            }
        }
    }

    private func coverage(_ grid: WindowGrid, seed: UInt64, step: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: grid.canvas.area)
        for window in grid.windows(seed: seed, step: step) {
            for y in max(0, window.y)..<min(grid.canvas.height, window.y + window.height) {
                for x in max(0, window.x)..<min(grid.canvas.width, window.x + window.width) {
                    counts[y * grid.canvas.width + x] += 1
                }
            }
        }
        return counts
    }

    @Test("every position is covered whatever is drawn", arguments: 1...8)
    func everythingIsCovered(stride: Int) {
        for (height, width) in [(8, 8), (8, 21), (17, 9), (24, 30)] {
            for edge in [EdgeRule.clamped, .zeroPadded] {
                let grid = WindowGrid(
                    canvas: Extent(height: height, width: width),
                    window: Extent(height: 8, width: 8), stride: stride, moving: .each, edge: edge)
                for seed in 0..<4 {
                    let counts = coverage(grid, seed: UInt64(seed), step: seed)
                    #expect(counts.allSatisfy { $0 >= 1 }, "\(grid)")
                }
            }
        }
    }

    @Test("windows that do not overlap cover every position once")
    func exactTiling() {
        let grid = WindowGrid(
            canvas: Extent(height: 16, width: 32), window: Extent(height: 8, width: 8), stride: 8,
            moving: .each)
        #expect(grid.jitter == 0)
        #expect(coverage(grid, seed: 1, step: 2).allSatisfy { $0 == 1 })
    }

    @Test("shifts stay in the range of their place and reach both its ends")
    func jitterRanges() {
        let grid = WindowGrid(
            canvas: Extent(height: 128, width: 512), window: Extent(height: 128, width: 128),
            stride: 64, moving: .each, edge: .zeroPadded)
        #expect(grid.jitter == 16)
        #expect(grid.jitterRange(at: 0, of: 7) == -16...0)
        #expect(grid.jitterRange(at: 3, of: 7) == -16...16)
        #expect(grid.jitterRange(at: 6, of: 7) == 0...16)
        #expect(grid.jitterRange(at: 0, of: 1) == 0...0)
        var seen: [Set<Int>] = Array(repeating: [], count: 7)
        for step in 0..<200 {
            for (index, window) in grid.windows(seed: 3, step: step).enumerated() {
                #expect(window.y == 0)
                seen[index].insert(window.x - grid.columnStarts[index])
            }
        }
        for index in 0..<7 {
            let range = grid.jitterRange(at: index, of: 7)
            #expect(seen[index].min() == range.lowerBound)
            #expect(seen[index].max() == range.upperBound)
        }
    }

    @Test("clamped windows stay inside the canvas, and interior ones still move")
    func clamped() {
        let grid = WindowGrid(
            canvas: Extent(height: 32, width: 32), window: Extent(height: 16, width: 16),
            stride: 2, moving: .each)
        var moved = 0
        for (index, window) in grid.windows(seed: 1, step: 0).enumerated() {
            #expect(window.y >= 0 && window.y + 16 <= 32)
            #expect(window.x >= 0 && window.x + 16 <= 32)
            if window.x != grid.columnStarts[index % grid.columnStarts.count] { moved += 1 }
        }
        #expect(moved > grid.count / 2)
    }

    @Test("a shift depends on seed, step and window only")
    func keys() {
        let small = WindowGrid(
            canvas: Extent(height: 16, width: 64), window: Extent(height: 16, width: 16),
            stride: 8, moving: .each)
        #expect(small.windows(seed: 1, step: 4) == small.windows(seed: 1, step: 4))
        #expect(small.windows(seed: 1, step: 4) != small.windows(seed: 1, step: 5))
        #expect(small.windows(seed: 1, step: 4) != small.windows(seed: 2, step: 4))
    }
}
