import Sampling
import Tensors
import TestSupport
import Testing

@testable import Denoising

/// How many forwards a picture takes by each method: counted from the papers' formulas.
struct ForwardCounts: Sendable {
    let height: Int
    let width: Int
    let patches: Int
    /// Windows at strides 64, 96 and 128.
    let windows: [Int]
    let multiDiffusion: Int
    let cutDiffusion: Int

    static let table = [
        ForwardCounts(
            height: 1024, width: 1024, patches: 1, windows: [1, 1, 1], multiDiffusion: 50,
            cutDiffusion: 50),
        ForwardCounts(
            height: 1024, width: 2048, patches: 2, windows: [3, 3, 2], multiDiffusion: 150,
            cutDiffusion: 125),
        ForwardCounts(
            height: 2048, width: 2048, patches: 4, windows: [9, 9, 4], multiDiffusion: 450,
            cutDiffusion: 325),
        ForwardCounts(
            height: 2048, width: 4096, patches: 8, windows: [21, 15, 8], multiDiffusion: 1050,
            cutDiffusion: 725),
        ForwardCounts(
            height: 3072, width: 3072, patches: 9, windows: [25, 16, 9], multiDiffusion: 1250,
            cutDiffusion: 850),
        ForwardCounts(
            height: 4096, width: 4096, patches: 16, windows: [49, 25, 16], multiDiffusion: 2450,
            cutDiffusion: 1625),
        ForwardCounts(
            height: 8192, width: 8192, patches: 64, windows: [225, 121, 64],
            multiDiffusion: 11250, cutDiffusion: 7225),
    ]
}

@Suite("The methods' plans", .watched)
struct MethodTests {
    @Test("the table of forward counts", arguments: ForwardCounts.table)
    func forwardCounts(row: ForwardCounts) throws {
        func request(_ change: (inout PlanRequest) -> Void) -> PlanRequest {
            makeRequest(
                height: row.height, width: row.width, model: sdxlModel, steps: 50, change)
        }
        for (stride, windows) in zip([64, 96, 128], row.windows) {
            let plan = try MultiDiffusionMethod().plan(for: request { $0.stride = stride })
            #expect(plan.stages[0].viewCount == windows)
        }
        let multi = try MultiDiffusionMethod().plan(for: request { _ in })
        #expect(multi.forwardCount == row.multiDiffusion)
        let published = try CutDiffusionMethod().plan(
            for: request { $0.compatibility = .cutDiffusion })
        #expect(published.stages[0].viewCount == row.patches)
        #expect(published.forwardCount == row.cutDiffusion)
        if row.height == row.width {
            let plan = try CutDiffusionMethod().plan(for: request { $0.structureSteps = 25 })
            #expect(plan.forwardCount == row.cutDiffusion)
        }
    }

    @Test(
        "RectifiedHR grows at the paper's steps: 40, 7 and 3 of 50 at 1024², 2560² and 4096²",
        arguments: [(2048, [40, 10], [128, 256]), (4096, [40, 7, 3], [128, 320, 512])])
    func refreshes(side: Int, steps: [Int], sides: [Int]) throws {
        let plan = try RectifiedHRMethod().plan(
            for: makeRequest(height: side, width: side, model: sdxlModel, steps: 50) {
                $0.guidanceScale = 5
            })
        #expect(plan.phases.map(\.stepCount) == steps)
        #expect(plan.phases.map(\.latent.height) == sides)
        #expect(plan.phases[0].stages[0].groups[0].guidanceScale == 5)
        let strongest = side == 2048 ? 30.0 : 50
        #expect(plan.phases.last?.stages[0].groups[0].guidanceScale == strongest)
    }

    @Test("RectifiedHR takes every step once, whatever their number, and one step makes no refresh")
    func fewRefreshes() throws {
        for steps in 2...60 {
            let plan = try RectifiedHRMethod().plan(
                for: makeRequest(height: 512, width: 320, steps: steps))
            #expect(plan.stepCount == steps)
            let timesteps = plan.phases.flatMap(\.schedule.timesteps).map(\.value)
            #expect(timesteps == timesteps.sorted(by: >))
        }
        #expect(throws: PlanningError.self) {
            try RectifiedHRMethod().plan(for: makeRequest(height: 512, width: 320, steps: 1))
        }
    }

    @Test("DiffuseHigh takes 15 of 50 steps at every enlargement, and holds its band in 5 of them")
    func diffuseHigh() throws {
        let plan = try DiffuseHighMethod().plan(
            for: makeRequest(height: 4096, width: 4096, model: sdxlModel, steps: 50))
        #expect(plan.phases.map(\.latent.height) == [128, 256, 384, 512])
        #expect(plan.phases.map(\.stepCount) == [50, 15, 15, 15])
        #expect(plan.forwardCount == 50 + 15 * (9 + 25 + 49))
        for phase in plan.phases.dropFirst() {
            #expect(phase.stages.map(\.steps) == [0..<5, 5..<15])
            #expect(phase.stages.map { $0.after.isEmpty } == [false, true])
        }
    }

    @Test(
        "PixelRush inverts in one step and takes a quarter of the steps down: one of four",
        arguments: [(4, 1), (50, 12), (1, 1)])
    func pixelRush(steps: Int, down: Int) throws {
        let plan = try PixelRushMethod().plan(
            for: makeRequest(height: 4096, width: 4096, model: sdxlModel, steps: steps))
        #expect(plan.phases.map(\.latent.height) == [128, 256, 512])
        #expect(plan.forwardCount == steps + (1 + down) * (9 + 49))
        for phase in plan.phases.dropFirst() {
            let schedule = phase.schedule
            #expect(schedule.timesteps[0] == schedule.timesteps[down])
            #expect(schedule.arrivals[0] == schedule.timesteps[1].sigma)
            #expect(phase.stages[0].groups[0].guidanceScale == 1)
        }
    }

    @Test("an inversion and the step back leave the canvas as it was, where the noise is the same")
    func inversion() throws {
        for scheduler in ["euler", "ddim"] {
            let schedule = try makeSampler(scheduler).schedule(
                length: 4, steps: 3..<4, inverted: true)
            let canvas = InitialNoise.native.latent(channels: 3, height: 8, width: 8, seed: 1)
            let noise = InitialNoise.native.latent(channels: 3, height: 8, width: 8, seed: 2)
            let up = schedule.step(prediction: noise, sample: canvas, at: 0)
            #expect(relativeDifference(up, canvas) < 1e-6)
            let other = try makeSampler(scheduler).schedule(
                length: 50, steps: 38..<50, inverted: true)
            let high = other.step(prediction: noise, sample: canvas, at: 0)
            let clean = other.clean(prediction: noise, sample: canvas, at: 0)
            #expect(relativeDifference(high, other.noised(clean, with: noise, at: 1)) < 1e-6)
        }
    }

    @Test("noise that is injected not at all is what it was, and in full the drawn one")
    func injection() {
        let noise = InitialNoise.native.latent(channels: 3, height: 8, width: 8, seed: 1)
        func injected(_ share: Double) -> Latent {
            NoiseInjection(
                share: share, seed: 5, step: 7, extent: Extent(height: 8, width: 8)
            ).applied(to: noise)
        }
        let drawn = AddedNoise.latent(
            channels: 0..<3, height: 8, width: 8, seed: 5, step: 7, purpose: .injection)
        #expect(relativeDifference(injected(0), noise) < 1e-6)
        #expect(relativeDifference(injected(1), drawn) < 1e-6)
        let half = injected(0.5).values.reduce(0) { $0 + Double($1) * Double($1) }
        #expect(abs(half / Double(noise.values.count) - 1) < 0.3)
    }

    @Test("AccDiffusion without an exchange is DemoFusion")
    func exchange() throws {
        let request = makeRequest(height: 192, width: 192)
        let demofusion = try DemoFusionMethod().plan(for: request)
        var still = request
        still.interaction = .off
        #expect(try AccDiffusionMethod().plan(for: still).phases == demofusion.phases)
        #expect(try AccDiffusionMethod().plan(for: request).phases != demofusion.phases)
    }

    @Test("as many work items are issued as the plan says")
    func issuedItems() async throws {
        final class Counter: @unchecked Sendable { var views = 0 }
        let counter = Counter()
        _ = try await run(
            "cutdiffusion", height: 256, width: 256,
            executor: SimulatedWorkers { view, _ in
                counter.views += 1
                return view.sample
            }
        ) { $0.structureSteps = 2 }
        #expect(counter.views == 2 * 16 + 2 * 49)
    }

    private func timeIDs(
        _ method: some DenoisingMethod, step: Int, view: Int,
        _ change: (inout PlanRequest) -> Void = { _ in }
    ) throws -> [Int] {
        let request = makeRequest(
            height: 2048, width: 4096, model: sdxlModel, steps: 10, change)
        return try method.plan(for: request).step(at: step).views[view].microConditioning.timeIDs
    }

    @Test("what views are told")
    func microConditioning() throws {
        let native = [1024, 1024, 0, 0, 1024, 1024]
        let picture = [2048, 4096, 0, 0, 2048, 4096]
        let still = { (request: inout PlanRequest) in request.jitter = false }
        #expect(try timeIDs(DirectMethod(), step: 0, view: 0) == native)
        #expect(
            try timeIDs(DirectMethod(), step: 0, view: 0) { $0.sizeConditioning = .picture }
                == picture)
        #expect(try timeIDs(MultiDiffusionMethod(), step: 3, view: 8) == native)
        #expect(
            try timeIDs(MultiDiffusionMethod(), step: 3, view: 8) { $0.windowCrops = true }
                == [2112, 4224, 512, 512, 1024, 1024].replacingCanvas(2048, 4096))
        #expect(try timeIDs(CutDiffusionMethod(), step: 0, view: 0) == native)
        // The canvas of three patches per axis is padded to 2112 × 4224 pixels.
        #expect(
            try timeIDs(CutDiffusionMethod(), step: 9, view: 1, still)
                == [2112, 4224, 0, 512, 1024, 1024])
        #expect(
            try timeIDs(CutDiffusionMethod(), step: 9, view: 1) {
                $0.jitter = false
                $0.windowCrops = false
            } == native)
    }

    @Test("as published, crops count from the corner of the padding")
    func publishedCrops() throws {
        let request = makeRequest(height: 2048, width: 2048, model: sdxlModel, steps: 2) {
            $0.compatibility = .cutDiffusion
        }
        let plan = try CutDiffusionMethod().plan(for: request)
        #expect(
            plan.step(at: 0).views[3].microConditioning.timeIDs == [2048, 2048, 0, 0, 2048, 2048])
        for planned in plan.step(at: 1).views {
            guard case .window(let window) = planned.view else {
                Issue.record("stage two has windows")
                continue
            }
            #expect(
                planned.microConditioning.timeIDs
                    == [2048, 2048, (window.y + 16) * 8, (window.x + 16) * 8, 2048, 2048])
        }
        #expect(plan.step(at: 0).groups[0].interaction?.mode == .perChannel)
        #expect(plan.step(at: 1).views.contains { $0.view.overhangs(plan.phases[0].canvas) })
    }

    @Test("without stage one CutDiffusion is MultiDiffusion, step by step")
    func noStageOne() async throws {
        func choices(_ request: inout PlanRequest) {
            request.jitter = true
            request.windowCrops = true
        }
        let request = makeRequest(height: 120, width: 200, choices)
        let multi = try MultiDiffusionMethod().plan(for: request)
        var cutRequest = request
        cutRequest.structureSteps = 0
        let cut = try CutDiffusionMethod().plan(for: cutRequest)
        #expect(cut.phases[0].canvas == multi.phases[0].canvas)
        for step in 0..<6 { #expect(cut.step(at: step) == multi.step(at: step)) }

        let workers = SimulatedWorkers(predict: entangledPredictor)
        let one = try await run(
            "multidiffusion", height: 120, width: 200, executor: workers, choices)
        let other = try await run(
            "cutdiffusion", height: 120, width: 200, executor: workers
        ) {
            choices(&$0)
            $0.structureSteps = 0
        }
        #expect(one == other)
    }

    @Test("any number of structure steps makes a whole plan")
    func everyShare() throws {
        for steps in 1...60 {
            for share in stride(from: 0.0, through: 1, by: 0.05) {
                let structure = Int((Double(steps) * share).rounded())
                let plan = try CutDiffusionMethod().plan(
                    for: makeRequest(height: 128, width: 128, steps: steps) {
                        $0.structureSteps = structure
                    })
                let covered = plan.stages.map(\.steps.count).reduce(0, +)
                #expect(covered == steps)
                #expect(plan.phases[0].canvas == plan.latent)
                #expect(plan.forwardCount == structure * 4 + (steps - structure) * 9)
            }
        }
    }

    @Test("stage one alone gives one relocated picture")
    func stageOneAlone() async throws {
        let result = try await run(
            "cutdiffusion", makeSampler("ddim"), steps: 3, height: 128, width: 128,
            executor: SimulatedWorkers(predict: entangledPredictor)
        ) { $0.structureSteps = 3 }
        #expect((result.height, result.width) == (16, 16))
    }

    @Test(
        "The scale is the same on both axes, with patches of about native area",
        arguments: [
            (128, 128, 1), (180, 180, 1), (182, 182, 2), (128, 256, 2), (256, 512, 3),
            (512, 512, 4), (128, 1024, 3), (1024, 1024, 8),
        ])
    func isotropicScale(height: Int, width: Int, scale: Int) {
        let extent = Extent(height: height, width: width)
        #expect(LatticeGrid.isotropicScale(latent: extent, window: 128) == scale)
    }

    @Test("A third of the steps, half a window: the defaults")
    func defaults() throws {
        let request = makeRequest(height: 128, width: 192, steps: 20)
        let cut = try CutDiffusionMethod().plan(for: request).request
        #expect(cut.structureSteps == 6)
        #expect(cut.stride == 4)
        #expect(cut.jitter == true)
        #expect(cut.windowCrops == true)
        #expect(cut.interaction == .position)
        let multi = try MultiDiffusionMethod().plan(for: request).request
        #expect(multi.jitter == false)
        #expect(multi.windowCrops == false)
        #expect(multi.structureSteps == nil)
    }

    @Test("Each stage has its guidance")
    func guidance() throws {
        let plan = try CutDiffusionMethod().plan(
            for: makeRequest(height: 128, width: 128) {
                $0.guidanceScale = 5
                $0.refinementGuidanceScale = 7.5
                $0.structureSteps = 2
            })
        #expect(
            (0..<6).map { plan.step(at: $0).groups[0].guidanceScale } == [5, 5, 7.5, 7.5, 7.5, 7.5])
    }
}

extension LatentView {
    fileprivate func overhangs(_ canvas: Extent) -> Bool {
        guard case .window(let window) = self else { return false }
        return window.y < 0 || window.x < 0 || window.y + window.height > canvas.height
            || window.x + window.width > canvas.width
    }
}

extension [Int] {
    /// Time ids with another original size.
    fileprivate func replacingCanvas(_ height: Int, _ width: Int) -> [Int] {
        [height, width] + dropFirst(2)
    }
}
