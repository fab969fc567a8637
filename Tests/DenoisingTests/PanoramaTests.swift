import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

/// The circular padding of diffusers' panorama pipeline for MultiDiffusion, arXiv 2302.08113.
@Suite("A panorama", .watched)
struct PanoramaTests {
    private func plan(
        height: Int = 64, width: Int, stride: Int? = nil,
        _ change: (inout PlanRequest) -> Void = { _ in }
    ) throws -> DenoisingPlan {
        try MultiDiffusionMethod().plan(
            for: makeRequest(height: height, width: width, steps: 3) {
                $0.panorama = true
                $0.stride = stride
                change(&$0)
            })
    }

    @Test(
        "has columns of windows all the way round: as many as strides begin on its width",
        arguments: [(64, 1, 8), (64, 4, 2), (256, 4, 8), (200, 4, 7), (200, 8, 4), (256, 3, 11)])
    func forwardCounts(width: Int, stride: Int, columns: Int) throws {
        let plan = try plan(width: width, stride: stride)
        try plan.validate()
        #expect(plan.forwardCount == 3 * columns)
        let tall = try self.plan(height: 128, width: width, stride: stride)
        let rows = WindowGrid.starts(length: 16, window: 8, stride: stride).count
        #expect(tall.forwardCount == plan.forwardCount * rows)
    }

    @Test(
        "covers every position, those at its sides as often as others", arguments: [1, 2, 3, 4, 8])
    func coverage(stride: Int) throws {
        let plan = try plan(height: 100, width: 200, stride: stride)
        let extent = plan.phases[0].canvas
        var counts = Latent(zeros: 1, height: extent.height, width: extent.width)
        for planned in plan.step(at: 1).views {
            for y in 0..<8 {
                for x in 0..<8 {
                    guard case .wrapped(let window) = planned.view else {
                        Issue.record("a view does not wrap")
                        return
                    }
                    let column = (window.x + x) % extent.width
                    counts.values[(window.y + y) * extent.width + column] += 1
                }
            }
        }
        #expect(counts.values.allSatisfy { $0 > 0 })
        guard extent.width % stride == 0, 8 % stride == 0 else { return }
        for y in 0..<extent.height {
            let row = counts.values[y * extent.width..<(y + 1) * extent.width]
            #expect(Set(row).count == 1)
        }
    }

    @Test("has no sides: from noise that is turned by a stride comes the picture, turned as far")
    func turning() async throws {
        let plan = try plan(width: 256) { $0.feather = .cosine }
        let loop = makeLoop(plan)
        let noise = InitialNoise.native.latent(channels: 3, height: 8, width: 32, seed: 5)
        let workers = SimulatedWorkers(workers: 2, predict: entangledPredictor)
        func turned(_ latent: Latent) -> Latent {
            var result = latent
            for index in result.values.indices {
                let (row, x) = index.quotientAndRemainder(dividingBy: latent.width)
                result.values[index] = latent.values[row * latent.width + (x + 4) % latent.width]
            }
            return result
        }
        let picture = try await loop.run(from: loop.initialState(noise: noise), with: workers)
        let other = try await loop.run(
            from: loop.initialState(noise: turned(noise)), with: workers)
        #expect(relativeDifference(other, turned(picture)) < 1e-5)
        let flat = try await run(
            "multidiffusion", steps: 3, height: 64, width: 256, executor: workers)
        #expect(relativeDifference(flat, picture) > 1e-3)
    }

    @Test("is drawn or refused, never ignored", arguments: DenoisingMethods.all.map(\.name))
    func everyMethod(name: String) throws {
        let request = makeRequest(height: 128, width: 256) { $0.panorama = true }
        let method = try DenoisingMethods.method(named: name)
        guard name == "multidiffusion" else {
            #expect(throws: PlanningError.optionWithoutEffect("a panorama", method: name)) {
                try method.plan(for: request)
            }
            return
        }
        var plain = request
        plain.panorama = false
        #expect(try method.plan(for: request).fingerprint != method.plan(for: plain).fingerprint)
    }

    @Test("has cells that are whole, and no windows that move or have a place")
    func refusals() throws {
        #expect(throws: PlanningError.panoramaWidth(201, scaleFactor: 8)) {
            try plan(width: 201)
        }
        #expect(
            PlanningError.panoramaWidth(201, scaleFactor: 8).description.contains("ask for 200"))
        #expect(throws: PlanningError.self) { try plan(width: 200) { $0.jitter = true } }
        #expect(throws: PlanningError.self) { try plan(width: 200) { $0.windowCrops = true } }
    }

    @Test("may have regions, which windows that go on on the other side reach from there")
    func regions() throws {
        // One cell at the left; windows of 8 cells, 4 apart, on 32.
        let plan = try plan(width: 256) {
            $0.regions = [Rectangle(x: 0, y: 0, width: 8, height: 64)]
        }
        try plan.validate()
        let lefts = plan.step(at: 0).groups[1].views.compactMap { planned in
            if case .wrapped(let window) = planned.view { window.x } else { nil }
        }
        #expect(lefts == [0, 28])
    }
}
