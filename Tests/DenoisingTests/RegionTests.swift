import Denoising
import Sampling
import Synchronization
import Tensors
import TestSupport
import Testing

/// Region prompts of MultiDiffusion, arXiv 2302.08113, section 4.2.
@Suite("Regions with prompts of their own", .watched)
struct RegionTests {
    /// What `request` has to have for a method to draw regions, but for those.
    private static let methods = DenoisingMethods.all.map(\.name)
        .filter { !["cutdiffusion", "spotdiffusion", "demofusion", "accdiffusion"].contains($0) }

    private static let overlapping = [
        Rectangle(x: 0, y: 0, width: 70, height: 50),
        Rectangle(x: 40, y: 16, width: 113, height: 40),
        Rectangle(x: 120, y: 0, width: 80, height: 120),
    ]

    private func plan(
        of method: String = "multidiffusion", height: Int = 120, width: Int = 200, steps: Int = 4,
        _ regions: [Rectangle], _ change: (inout PlanRequest) -> Void = { _ in }
    ) throws -> DenoisingPlan {
        let request = makeRequest(height: height, width: width, steps: steps) {
            $0.regions = regions
            change(&$0)
        }
        return try DenoisingMethods.method(named: method).plan(for: request)
    }

    @Test("are drawn or refused, never ignored", arguments: DenoisingMethods.all.map(\.name))
    func everyMethod(name: String) throws {
        guard Self.methods.contains(name) else {
            #expect(
                throws: PlanningError.optionWithoutEffect(
                    "a region with a prompt of its own", method: name)
            ) { try plan(of: name, Self.overlapping) }
            return
        }
        for moves in [true, false] where moves || name != "direct" {
            for views in [1, 3] {
                let plan = try plan(of: name, height: 321, width: 330, Self.overlapping) {
                    $0.viewsPerTask = views
                    if name != "direct" { $0.jitter = moves }
                }
                try plan.validate()
                for number in 0..<plan.stepCount {
                    let step = plan.step(at: number)
                    #expect(step.groups.map(\.prompt) == [0, 1, 2, 3])
                    for task in 0..<step.taskCount {
                        #expect(!step.views(ofTask: task, perTask: views).isEmpty)
                    }
                }
                let count = (0..<plan.stepCount).reduce(0) { $0 + plan.step(at: $1).views.count }
                #expect(count == plan.forwardCount)
                #expect(plan.description.contains("of the text of region 2"))
            }
        }
    }

    @Test("that cover everything with the same text are no regions", arguments: methods)
    func everything(name: String) async throws {
        // One that reads the same text whatever its number.
        let workers = SimulatedWorkers(workers: 3) { view, task in
            entangledPredictor(
                view,
                DenoiseTask(
                    index: task.index, step: task.step, timestep: task.timestep,
                    guidanceScale: task.guidanceScale, views: task.views))
        }
        for (height, width) in [(64, 64), (113, 81), (150, 331)] {
            let plain = try await run(name, height: height, width: width, executor: workers)
            let region = try await run(name, height: height, width: width, executor: workers) {
                $0.regions = [Rectangle(x: 0, y: 0, width: width, height: height)]
            }
            #expect(region == plain)
            let request = makeRequest(height: height, width: width)
            let planned = try plan(
                of: name, height: height, width: width, steps: request.steps,
                [Rectangle(x: 0, y: 0, width: width, height: height)])
            let other = try DenoisingMethods.method(named: name).plan(for: request)
            #expect(planned.forwardCount == other.forwardCount)
            #expect(planned.fingerprint != other.fingerprint)
        }
    }

    @Test("take a window for each text that it has a part in, and no other")
    func forwardCounts() throws {
        // 3 rows of 7 windows of 8 × 8 cells, 4 apart. The left half meets 4 columns of them; 4
        // reach out of it.
        let half = Rectangle(x: 0, y: 0, width: 128, height: 128)
        let halves = try plan(height: 128, width: 256, [half])
        #expect(halves.step(at: 0).groups.map(\.views.count) == [12, 12])
        #expect(halves.forwardCount == 4 * 24)
        #expect(try plan(height: 128, width: 256, []).forwardCount == 4 * 21)
        // Within one window's middle: those that meet it, and all of the background.
        let spot = try plan(
            height: 128, width: 256, [Rectangle(x: 130, y: 70, width: 4, height: 4)])
        #expect(spot.step(at: 0).groups.map(\.views.count) == [21, 4])
        // Two that cover all between them leave nothing to the picture's own text.
        let other = Rectangle(x: 100, y: 0, width: 156, height: 128)
        let covered = try plan(height: 128, width: 256, [half, other])
        #expect(covered.step(at: 0).groups.map(\.prompt) == [1, 2])
        try covered.validate()
    }

    @Test("weigh predictions by their masks, as the paper's fifth equation does")
    func masks() async throws {
        // Every text says something else about every place.
        let predict: Predictor = { view, task in
            let place = view.microConditioning.cropTop + 3 * view.microConditioning.cropLeft
            return view.sample.mapValues { _ in
                Float(task.conditioning) + Float(place) / 500
            }
        }
        let regions = Self.overlapping
        let plan = try plan(steps: 1, regions) { $0.windowCrops = true }
        let loop = makeLoop(plan)
        let noise = InitialNoise.native.latent(channels: 3, height: 15, width: 25, seed: 5)
        let start = loop.initialState(noise: noise)
        let found = try await loop.run(from: start, with: SimulatedWorkers(predict: predict))

        // Σ mask · ε / Σ mask over all windows and texts, asked or not.
        func holds(_ region: Rectangle, _ y: Int, _ x: Int) -> Bool {
            // A cell is a region's when one of its pixels is.
            (region.x / 8..<(region.x + region.width + 7) / 8).contains(x)
                && (region.y / 8..<(region.y + region.height + 7) / 8).contains(y)
        }
        let grid = WindowGrid(
            canvas: Extent(height: 15, width: 25), window: Extent(height: 8, width: 8), stride: 4)
        var prediction = noise
        for y in 0..<15 {
            for x in 0..<25 {
                let inside = regions.indices.filter { holds(regions[$0], y, x) }.map { $0 + 1 }
                var (sum, count) = (0.0, 0.0)
                for window in grid.windows(seed: 11, step: 0)
                where (window.y..<window.y + 8).contains(y)
                    && (window.x..<window.x + 8).contains(x)
                {
                    for text in inside.isEmpty ? [0] : inside {
                        sum += Double(text) + Double(window.y * 8 + 3 * window.x * 8) / 500
                        count += 1
                    }
                }
                for channel in 0..<3 {
                    prediction.values[(channel * 15 + y) * 25 + x] = Float(sum / count)
                }
            }
        }
        let expected = plan.phases[0].schedule.step(
            prediction: prediction, sample: start.canvas, at: 0)
        #expect(relativeDifference(found, expected) < 1e-5)
    }

    @Test("are asked with their own conditioning, one in each task", arguments: [1, 4])
    func conditionings(perTask: Int) async throws {
        let plan = try plan(Self.overlapping) { $0.viewsPerTask = perTask }
        let asked = Mutex<[Int: Int]>([:])
        let loop = makeLoop(plan)
        _ = try await loop.run(
            from: loop.initialState(
                noise: InitialNoise.native.latent(channels: 3, height: 15, width: 25, seed: 5)),
            with: SimulatedWorkers(workers: 2) { view, task in
                asked.withLock { $0[task.conditioning, default: 0] += 1 }
                return view.sample
            })
        let groups = plan.step(at: 0).groups
        let expected = Dictionary(
            uniqueKeysWithValues: groups.map { ($0.prompt, 4 * $0.views.count) })
        #expect(asked.withLock { $0 } == expected)
    }

    @Test("go on from any state, and ask only for what is missing", arguments: methods)
    func resume(method: String) async throws {
        let plan = try plan(of: method, height: 120, width: 128, Array(Self.overlapping.prefix(1)))
        {
            $0.viewsPerTask = 2
        }
        try await expectResumption(of: plan, from: .native)
    }

    @Test("that are empty, outside of the picture or too many are refused in a sentence")
    func refusals() throws {
        func refused(_ regions: [Rectangle]) -> PlanningError? {
            #expect(throws: PlanningError.self) { try plan(regions) }
        }
        let good = Rectangle(x: 0, y: 0, width: 8, height: 8)
        for empty in [
            Rectangle(x: 0, y: 0, width: 0, height: 8), Rectangle(x: 0, y: 0, width: 8, height: -1),
        ] {
            #expect(refused([good, empty]) == .emptyRegion(2, empty))
        }
        for outside in [
            Rectangle(x: -1, y: 0, width: 8, height: 8),
            Rectangle(x: 0, y: -1, width: 8, height: 8),
            Rectangle(x: 193, y: 0, width: 8, height: 8),
            Rectangle(x: 0, y: 113, width: 8, height: 8),
            Rectangle(x: .max, y: 0, width: .max, height: 8),
            Rectangle(x: 1, y: 1, width: 8, height: .max),
        ] {
            #expect(refused([outside]) == .regionOutside(1, outside, height: 120, width: 200))
        }
        #expect(
            refused(Array(repeating: good, count: 17)) == .tooManyRegions(17, limit: 16))
        for error in [
            PlanningError.emptyRegion(2, Rectangle(x: 0, y: 0, width: 0, height: 8)),
            .regionOutside(1, good, height: 4, width: 4), .tooManyRegions(17, limit: 16),
        ] {
            #expect(error.description.count > 20 && !error.description.hasSuffix("."))
        }
    }

    @Test("of equal rectangles in another order are another plan, and so are others")
    func fingerprints() throws {
        var prints: Set<Fingerprint> = []
        let lists = [
            [], [Self.overlapping[0]], [Self.overlapping[1]], Array(Self.overlapping.prefix(2)),
            Array(Self.overlapping.prefix(2).reversed()), Self.overlapping,
        ]
        for list in lists { prints.insert(try plan(list).fingerprint) }
        #expect(prints.count == lists.count)
    }

    @Test("A plan that leaves a window out that counts, or a mask, is not sound")
    func brokenPlans() throws {
        let canvas = Extent(height: 16, width: 16)
        let grid = WindowGrid(canvas: canvas, window: Extent(height: 8, width: 8), stride: 8)
        func plan(_ masks: [RegionMask?]) throws -> DenoisingPlan {
            let groups = masks.map { mask in
                ViewGroup(
                    geometry: .windows(grid), conditioning: .native, guidanceScale: 1,
                    prompt: (mask?.region ?? -1) + 1, mask: mask)
            }
            return try DenoisingPlan(
                method: "broken",
                request: makeRequest(height: 128, width: 128) {
                    $0.regions = [Rectangle(x: 0, y: 0, width: 64, height: 128)]
                },
                canvas: canvas, stages: [PlanStage(name: "all", steps: 0..<6, groups: groups)])
        }
        let regions = [Rectangle(x: 0, y: 0, width: 8, height: 16)]
        let masks = [nil, 0].map { RegionMask(regions: regions, region: $0) }
        try plan(masks).validate()
        for broken in [
            [masks[0]], [masks[1]], [masks[1], masks[0]], [masks[0], nil], [nil, nil],
        ] {
            #expect(throws: PlanningError.self) { try plan(broken).validate() }
        }
    }
}
