import Sampling
import Tensors
import TestSupport
import Testing

@testable import Denoising

/// DemoFusion (arXiv 2311.16973).
@Suite("DemoFusion", .watched)
struct DemoFusionTests {
    private func request(
        _ height: Int, _ width: Int, steps: Int = 50,
        _ change: (inout PlanRequest) -> Void = { _ in }
    ) -> PlanRequest {
        makeRequest(height: height, width: width, model: sdxlModel, steps: steps, change)
    }

    @Test(
        "takes T·(1 + Σ(V + s²)) evaluations",
        arguments: [(1024, 50), (2048, 700), (3072, 2400), (4096, 5650), (8192, 44_150)])
    func forwardCounts(side: Int, count: Int) throws {
        let plan = try DemoFusionMethod().plan(for: request(side, side))
        #expect(plan.forwardCount == count)
        #expect(plan.phases.count == side / 1024)
        let canvases = (1...side / 1024).map { Extent(height: 128 * $0, width: 128 * $0) }
        #expect(plan.phases.map(\.canvas) == canvases)
    }

    /// Methods that begin with 1024×512: the published code's count (50 + 350 + 950 + 1850).
    @Test("begins a wide picture with a longer side of native length", arguments: [true, false])
    func wide(isUpright: Bool) throws {
        let plan = try DemoFusionMethod().plan(
            for: isUpright ? request(2048, 4096) : request(4096, 2048))
        #expect(plan.forwardCount == 3200)
        let sides = (1...4).map { (128 * $0, 64 * $0) }
        #expect(
            plan.phases.map(\.latent)
                == sides.map {
                    isUpright
                        ? Extent(height: $0.1, width: $0.0) : Extent(height: $0.0, width: $0.1)
                })
    }

    @Test("is refused where it would never end")
    func endless() throws {
        let plan = try DemoFusionMethod().plan(
            for: makeRequest(height: 32_768, width: 32_768, steps: 50))
        #expect(
            throws: PlanningError.tooManyViewsInAll(plan.forwardCount, limit: PlanLimits.views)
        ) { try plan.validate() }
    }

    @Test("keeps the picture's shape in every phase, whatever the size")
    func shapes() throws {
        for (height, width) in [(2048, 4096), (1030, 1500), (1024, 8192), (3001, 2999)] {
            let plan = try DemoFusionMethod().plan(for: request(height, width, steps: 2))
            try plan.validate()
            for (phase, next) in zip(plan.phases, plan.phases.dropFirst()) {
                #expect(phase.latent.area < next.latent.area)
                let shape = Double(phase.latent.width) / Double(phase.latent.height)
                #expect(abs(shape / (Double(width) / Double(height)) - 1) < 0.1)
            }
            #expect(max(plan.noise.height, plan.noise.width) == 128)
        }
    }

    @Test(
        "fades along a cosine of the timestep",
        arguments: [
            (0, 0.9991, 0.9973, 0.9991), (5, 0.9655, 0.8999, 0.9658), (10, 0.8863, 0.6961, 0.8874),
            (15, 0.7692, 0.4552, 0.7715), (20, 0.6259, 0.2452, 0.6296),
            (25, 0.4702, 0.1039, 0.4755), (30, 0.3174, 0.0320, 0.3242),
            (40, 0.0787, 0.0005, 0.0879), (49, 0.0000, 0.0000, 0.0100),
        ])
    func cosines(index: Int, global: Double, residual: Double, blur: Double) throws {
        let plan = try DemoFusionMethod().plan(for: request(2048, 2048))
        let step = plan.step(at: 50 + index)
        #expect(abs(step.groups[0].share - global) < 1e-4)
        #expect(abs(step.groups[1].share - (1 - global)) < 1e-4)
        guard case .mixAnchor(_, let weight) = step.before[0],
            case .blurred(let size, let sigma) = step.groups[0].source
        else {
            Issue.record("a step mixes the anchor in, and has a blurred group")
            return
        }
        #expect(abs(weight.value(at: step.place) - residual) < 1e-4)
        #expect(size == 3)
        #expect(abs(sigma - 0.8 * blur) < 1e-4)
    }

    @Test("without its global path (c₂ = 0) has MultiDiffusion's windows in every phase")
    func noGlobalPath() throws {
        let demo = try DemoFusionMethod(hasGlobalPath: false).plan(
            for: makeRequest(height: 192, width: 192, steps: 5))
        let last = demo.phases.indices.upperBound - 1
        let multi = try MultiDiffusionMethod().plan(
            for: makeRequest(height: 192, width: 192, steps: demo.stepCount) {
                $0.jitter = true
                $0.windowCrops = true
            })
        for number in demo.steps(ofPhase: last) {
            #expect(demo.step(at: number).groups.count == 1)
            #expect(demo.step(at: number).views == multi.step(at: number).views)
        }
    }

    @Test("an anchor that counts in full leaves nothing of the canvas (c₁ = 1)")
    func fullAnchor() throws {
        let plan = try DemoFusionMethod().plan(for: makeRequest(height: 128, width: 128, steps: 5))
        var phase = plan.phases[1]
        let stage = PlanStage(
            name: "test", steps: 0..<5, before: [.mixAnchor("previous", weight: .one)],
            groups: phase.stages[0].groups)
        phase = PlanPhase(
            name: "test", latent: phase.latent, canvas: phase.canvas, entry: phase.entry,
            schedule: phase.schedule, stages: [stage])
        let other = DenoisingPlan(
            method: "test", request: plan.request, phases: [plan.phases[0], phase])
        let anchor = InitialNoise.native.latent(channels: 3, height: 8, width: 8, seed: 1)
        let canvas = InitialNoise.native.latent(channels: 3, height: 16, width: 16, seed: 2)
        let begun = StepCanvas(plan: other, phase: 1).begun(
            canvas, other.step(at: 7), kept: [KeptCanvas(name: "previous", latent: anchor)])
        let noise = AddedNoise.latent(
            channels: 0..<3, height: 16, width: 16, seed: plan.request.seed, step: 5)
        let expected = phase.schedule.noised(
            anchor.enlarged(to: Extent(height: 16, width: 16)), with: noise, at: 2)
        #expect(relativeDifference(begun, expected) < 1e-6)
    }

    @Test("a blurred canvas keeps mean and deviation; a kernel of one cell changes nothing")
    func blur() {
        let canvas = InitialNoise.native.latent(channels: 3, height: 20, width: 31, seed: 3)
            .mapValues { 2 * $0 + 0.7 }
        let blurred = PlannedSource.blurred(kernelSize: 7, sigma: 0.8).made(of: canvas)
        let whole = Extent(height: 20, width: 31)
        let (before, after) = (
            Moments(of: canvas, within: whole), Moments(of: blurred, within: whole)
        )
        #expect(abs(before.mean - after.mean) < 1e-5)
        #expect(abs(before.deviation - after.deviation) < 1e-5)
        #expect(relativeDifference(blurred, canvas) > 0.1)
        let same = PlannedSource.blurred(kernelSize: 1, sigma: 0.8).made(of: canvas)
        #expect(relativeDifference(same, canvas) < 1e-6)
    }

    @Test("leaves mean and deviation of the native picture", arguments: [(128, 128), (150, 200)])
    func moments(height: Int, width: Int) async throws {
        let workers = SimulatedWorkers(workers: 2, predict: entangledPredictor)
        let plan = try DemoFusionMethod().plan(
            for: makeRequest(height: height, width: width, steps: 4))
        let noise = InitialNoise.native.latent(
            channels: 3, height: plan.noise.height, width: plan.noise.width, seed: 5)
        let loop = makeLoop(plan)
        var native: Moments?
        let result = try await loop.run(from: loop.initialState(noise: noise), with: workers) {
            event in
            if case .advanced(let state) = event, state.nextStep == 4 {
                native = Moments(of: state.canvas, within: plan.noise)
            }
        }
        let found = Moments(of: result, within: plan.latent)
        let expected = try #require(native)
        #expect(abs(found.mean - expected.mean) < 1e-5 * expected.deviation)
        #expect(abs(found.deviation / expected.deviation - 1) < 1e-5)
    }

    @Test("its dilated views partition the canvas, beside windows that cover it")
    func partition() throws {
        let plan = try DemoFusionMethod().plan(for: makeRequest(height: 200, width: 192))
        let step = plan.step(at: plan.stepCount - 1)
        let canvas = plan.phases[plan.phases.count - 1].canvas
        let cells = step.groups[0].views.reduce(0) { $0 + $1.view.extent(on: canvas).area }
        #expect(cells == canvas.area)
    }
}

@Suite("ScaleDiff in patch form", .watched)
struct ScaleDiffTests {
    @Test(
        "takes T + 0.4·T·ΣV evaluations",
        arguments: [(4096, 64, 1210), (4096, 96, 730), (8192, 64, 5710), (8192, 96, 3150)])
    func forwardCounts(side: Int, stride: Int, count: Int) throws {
        let request = makeRequest(height: side, width: side, model: sdxlModel, steps: 50) {
            $0.stride = stride
        }
        #expect(try ScaleDiffMethod().plan(for: request).forwardCount == count)
    }

    @Test("begins its phases at the thirtieth of fifty timesteps, and fades with the noise")
    func guidance() throws {
        let plan = try ScaleDiffMethod().plan(
            for: makeRequest(height: 2048, width: 2048, model: sdxlModel, steps: 50))
        let steps = plan.steps(ofPhase: 1).map { plan.step(at: $0) }
        #expect(steps.count == 20)
        #expect(steps[0].timestep.value == 381)
        let weights = steps.map { step in
            guard case .holdLow(_, let weight) = step.after[0] else { return -1.0 }
            return weight.value(at: step.place)
        }
        #expect(weights[0] == 1)
        #expect(zip(weights, weights.dropFirst()).allSatisfy { $0 > $1 })
        // (1 − ᾱ₁₈₁) / (1 − ᾱ₃₈₁), from σ = 0.527 and 1.094.
        let expected = (0.527 * 0.527 / (1 + 0.527 * 0.527)) / (1.094 * 1.094 / (1 + 1.094 * 1.094))
        #expect(abs(weights[10] - expected) < 1e-3)
    }
}

/// SpotDiffusion (arXiv 2407.15507).
@Suite("SpotDiffusion", .watched)
struct SpotDiffusionTests {
    @Test("takes a window per native area in every step", arguments: ForwardCounts.table)
    func forwardCounts(row: ForwardCounts) throws {
        let plan = try SpotDiffusionMethod().plan(
            for: makeRequest(height: row.height, width: row.width, model: sdxlModel, steps: 50))
        #expect(plan.forwardCount == 50 * row.patches)
        #expect(plan.phases[0].canvas == plan.latent)
    }

    @Test("visits every position once, wherever the windows are", arguments: 0..<20)
    func once(seed: Int) throws {
        let plan = try SpotDiffusionMethod().plan(
            for: makeRequest(height: 200, width: 330) { $0.seed = UInt64(seed) })
        let canvas = plan.phases[0].canvas
        for number in 0..<plan.stepCount {
            var visits = Latent(zeros: 1, height: canvas.height, width: canvas.width)
            for planned in plan.step(at: number).views {
                var seen = planned.view.gather(from: visits)
                for index in seen.values.indices { seen.values[index] += 1 }
                planned.view.scatter(seen, into: &visits)
            }
            #expect(visits.values.allSatisfy { $0 == 1 })
        }
    }

    @Test("shifts all windows together, elsewhere in every step, and no axis of one window")
    func shifts() {
        let grid = ShiftedGrid(
            canvas: Extent(height: 8, width: 32), window: Extent(height: 8, width: 8))
        var shifts: Set<Int> = []
        for step in 0..<100 {
            let windows = grid.windows(seed: 1, step: step)
            #expect(windows.allSatisfy { $0.y == 0 })
            #expect(windows.map(\.x) == (0..<4).map { windows[0].x + 8 * $0 })
            shifts.insert(windows[0].x)
        }
        #expect(shifts == Set(0..<8))
    }
}
