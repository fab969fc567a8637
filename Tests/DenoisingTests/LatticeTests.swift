import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@Suite("Lattices and pixel interaction (CutDiffusion, arXiv 2404.15141, stage one)", .watched)
struct LatticeTests {
    static let grid = LatticeGrid(
        canvas: Extent(height: 8, width: 18), rowStride: 2, columnStride: 3)

    private let canvas = InitialNoise.native.latent(channels: 3, height: 8, width: 18, seed: 4)

    private func patches(_ table: InteractionTable? = nil) -> [Latent] {
        Self.grid.lattices.map { LatentView.lattice($0).gather(from: canvas, through: table) }
    }

    private func scattered(_ patches: [Latent], _ table: InteractionTable? = nil) -> Latent {
        var result = Latent(zeros: 3, height: 8, width: 18)
        for (lattice, patch) in zip(Self.grid.lattices, patches) {
            LatentView.lattice(lattice).scatter(patch, into: &result, through: table)
        }
        return result
    }

    private func table(_ mode: InteractionMode, channels: Int = 3) -> InteractionTable {
        PixelInteraction(seed: 8, step: 2, mode: mode).table(for: Self.grid, channels: channels)
    }

    @Test("gather and scatter are inverse, and equal depth-to-space")
    func relocation() {
        let patches = patches()
        #expect(scattered(patches) == canvas)
        var reference = Latent(zeros: 3, height: 8, width: 18)
        for channel in 0..<3 {
            for y in 0..<8 {
                for x in 0..<18 {
                    let patch = (y % 2) * 3 + x % 3
                    reference.values[(channel * 8 + y) * 18 + x] =
                        patches[patch].values[(channel * 4 + y / 2) * 6 + x / 3]
                }
            }
        }
        #expect(reference == canvas)
        #expect(Self.grid.lattices[4].relocated(row: 1, column: 2) == (3, 7))
    }

    @Test("A window reads zeros beyond the edge and drops what it writes there")
    func overhang() {
        let view = LatentView.window(Window(y: -2, x: 15, height: 4, width: 5))
        let seen = view.gather(from: canvas)
        #expect(seen.values[0..<10].allSatisfy { $0 == 0 })
        #expect(seen.values[10] == canvas.values[15])
        #expect(seen.values[13] == 0)
        var target = canvas
        view.scatter(seen.mapValues { _ in 9 }, into: &target)
        #expect(target.values.count { $0 == 9 } == 3 * 2 * 3)
    }

    @Test(
        "every cell has a permutation", arguments: [InteractionMode.position, .perChannel])
    func permutations(mode: InteractionMode) {
        let table = table(mode)
        for channel in 0..<3 {
            for cell in 0..<table.cells {
                let sources = (0..<6).map {
                    table.source(patch: $0, channel: channel, cell: cell)
                }
                #expect(sources.sorted() == Array(0..<6))
            }
        }
        #expect(scattered(patches(table), table) == canvas)
    }

    @Test("a single patch is left alone")
    func singlePatch() throws {
        let plan = try CutDiffusionMethod().plan(for: makeRequest(height: 64, width: 64))
        #expect(plan.step(at: 0).groups[0].interaction == nil)
        #expect(plan.interactionTable(at: 0, group: 0) == nil)
    }

    @Test(
        "stepping the exchanged state and undoing the exchange is stepping the state",
        arguments: Schedulers.all.map(\.name))
    func exchangeCommutesWithSteps(name: String) throws {
        var scheduler = try makeScheduler(makeSampler(name), steps: 5)
        let table = table(.perChannel)
        let prediction = InitialNoise.native.latent(channels: 3, height: 8, width: 18, seed: 77)
        let index = StepIndex(2)
        let direct = scheduler.step(prediction: prediction, sample: canvas, at: index)

        func exchanged(_ latent: Latent) -> [Latent] {
            Self.grid.lattices.map { LatentView.lattice($0).gather(from: latent, through: table) }
        }
        let stepped = zip(exchanged(prediction), exchanged(canvas)).map {
            scheduler.step(prediction: $0.0, sample: $0.1, at: index)
        }
        #expect(scattered(stepped, table) == direct)
    }

    @Test("the values of a cell stay the same set")
    func multisets() {
        let (before, after) = (patches(), patches(table(.perChannel)))
        for index in before[0].values.indices {
            #expect(
                before.map { $0.values[index] }.sorted() == after.map { $0.values[index] }.sorted())
        }
    }

    @Test("permutations are uniform and neighbours independent, by chi-square")
    func uniformity() {
        let grid = LatticeGrid(
            canvas: Extent(height: 2, width: 200_000), rowStride: 2, columnStride: 2)
        let table = PixelInteraction(seed: 1, step: 0, mode: .position)
            .table(for: grid, channels: 1)
        let sources = (0..<4).map { Array(table.sources(ofPatch: $0)) }
        var orders: [Int: Int] = [:]
        var pairs: [Int: Int] = [:]
        for cell in 0..<table.cells {
            let order = sources.reduce(0) { $0 * 4 + Int($1[cell]) }
            orders[order, default: 0] += 1
            if cell > 0 {
                pairs[Int(sources[0][cell - 1]) * 4 + Int(sources[0][cell]), default: 0] += 1
            }
        }
        #expect(orders.count == 24)
        // 99.9 % quantiles for 23 and 15 degrees of freedom.
        #expect(chiSquare(orders) < 49.7)
        #expect(chiSquare(pairs) < 37.7)
    }

    @Test("channels share a permutation or have their own")
    func channels() {
        let grid = LatticeGrid(
            canvas: Extent(height: 2, width: 8000), rowStride: 2, columnStride: 2)
        let shared = PixelInteraction(seed: 1, step: 0, mode: .position).table(
            for: grid, channels: 2)
        let own = PixelInteraction(seed: 1, step: 0, mode: .perChannel).table(
            for: grid, channels: 2)
        var pairs: [Int: Int] = [:]
        for cell in 0..<4000 {
            #expect(
                shared.source(patch: 1, channel: 0, cell: cell)
                    == shared.source(patch: 1, channel: 1, cell: cell))
            let (first, second) = (
                own.source(patch: 1, channel: 0, cell: cell),
                own.source(patch: 1, channel: 1, cell: cell)
            )
            pairs[first * 4 + second, default: 0] += 1
        }
        #expect(pairs.count == 16)
        #expect(chiSquare(pairs) < 37.7)
    }

    private func chiSquare(_ counts: [Int: Int]) -> Double {
        let expected = Double(counts.values.reduce(0, +)) / Double(counts.count)
        return counts.values.reduce(0) {
            $0 + (Double($1) - expected) * (Double($1) - expected) / expected
        }
    }
}
