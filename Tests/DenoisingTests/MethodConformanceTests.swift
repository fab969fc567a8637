import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@Suite("Every registered method", .watched)
struct MethodConformanceTests {
    static let names = DenoisingMethods.all.map(\.name)

    /// Pixels: native, twice, non-square, and multiples of nothing.
    static let sizes = [(64, 64), (128, 128), (64, 200), (75, 64), (113, 81), (321, 130)]

    @Test("plans sizes that pass their own proof", arguments: names)
    func sizes(name: String) throws {
        let method = try DenoisingMethods.method(named: name)
        for (height, width) in Self.sizes {
            for views in [1, 3] {
                let plan = try method.plan(
                    for: makeRequest(height: height, width: width) { $0.viewsPerTask = views })
                try plan.validate()
                #expect(plan.method == name)
                #expect(plan.latent.height == (height + 7) / 8)
                #expect(plan.latent.width == (width + 7) / 8)
                let views = (0..<plan.stepCount).reduce(0) { $0 + plan.step(at: $1).views.count }
                #expect(views == plan.forwardCount)
            }
        }
    }

    @Test("covers every position in every step", arguments: names)
    func coverage(name: String) throws {
        let method = try DenoisingMethods.method(named: name)
        for (height, width) in Self.sizes {
            let plan = try method.plan(for: makeRequest(height: height, width: width, steps: 4))
            for index in 0..<plan.stepCount {
                let extent = plan.phases[plan.phase(ofStep: index)].canvas
                let ones = Latent(zeros: 3, height: extent.height, width: extent.width)
                    .mapValues { _ in 1 }
                for (number, group) in plan.step(at: index).groups.enumerated() {
                    var accumulator = OverlapAccumulator(channels: 3, extent: extent)
                    let table = plan.interactionTable(at: index, group: number)
                    for planned in group.views {
                        let view = planned.view.gather(from: ones, through: table)
                        accumulator.add(view, through: planned.view, table: table)
                    }
                    #expect(accumulator.average() == ones)
                }
            }
        }
    }

    @Test(
        "gives equal plans and fingerprints to equal requests, others to others", arguments: names)
    func fingerprints(name: String) throws {
        let method = try DenoisingMethods.method(named: name)
        func fingerprint(_ change: (inout PlanRequest) -> Void = { _ in }) throws -> Fingerprint {
            try method.plan(for: makeRequest(height: 128, width: 200, change)).fingerprint
        }
        let base = try fingerprint()
        #expect(try fingerprint() == base)
        let others = try [
            fingerprint { $0.seed = 12 }, fingerprint { $0.width = 201 },
            fingerprint { $0.guidanceScale = 4 }, fingerprint { $0.viewsPerTask = 2 },
            fingerprint { $0.guidanceRescale = 0.5 },
            fingerprint { $0.steps = 7 },
            fingerprint { $0.sizeConditioning = .picture },
        ]
        #expect(Set(others + [base]).count == others.count + 1)
    }

    @Test("is the plain sampler at native size", arguments: names)
    func nativeSize(name: String) async throws {
        let scheduler = try makeScheduler(makeSampler(), steps: 3)
        let workers = SimulatedWorkers(predict: entangledPredictor)
        let direct = try await run(
            "direct", steps: 3, height: 64, width: 64, executor: workers)
        let result = try await run(name, steps: 3, height: 64, width: 64, executor: workers)
        #expect(result == direct)
        var sampler = scheduler
        var state = InitialNoise.native.latent(channels: 3, height: 8, width: 8, seed: 5)
            .mapValues { $0 * Float(scheduler.initialNoiseSigma) }
        for step in 0..<3 {
            let index = StepIndex(step)
            let view = ViewInput(
                sample: sampler.scaledModelInput(state, at: index),
                microConditioning: MicroConditioning(timeIDs: [64, 64, 0, 0, 64, 64]))
            let task = DenoiseTask(
                index: 0, step: step, timestep: sampler.timesteps[step].value, guidanceScale: 3,
                views: [view])
            state = sampler.step(
                prediction: entangledPredictor(view, task), sample: state, at: index)
        }
        #expect(result == state)
    }

    @Test("says what it will do in a few lines", arguments: names)
    func description(name: String) throws {
        let plan = try DenoisingMethods.method(named: name)
            .plan(for: makeRequest(height: 120, width: 200))
        let text = plan.description
        #expect(text.contains(name))
        #expect(text.contains("200×120 pixels"))
        #expect(text.contains("fingerprint \(plan.fingerprint)"))
    }

    @Test("refuses what makes no picture", arguments: names)
    func refusals(name: String) throws {
        let method = try DenoisingMethods.method(named: name)
        func error(
            height: Int = 128, width: Int = 128, _ change: (inout PlanRequest) -> Void = { _ in }
        ) -> PlanningError? {
            #expect(throws: PlanningError.self) {
                try method.plan(for: makeRequest(height: height, width: width, change))
            }
        }
        #expect(
            error(height: 63) == .belowNative(height: 63, width: 128, nativePixels: 64))
        #expect(error(width: 0) == .belowNative(height: 128, width: 0, nativePixels: 64))
        #expect(error(width: -5) == .belowNative(height: 128, width: -5, nativePixels: 64))
        #expect(
            error(width: .max) == .tooLarge(height: 128, width: .max, limit: 65_536))
        #expect(error { $0.steps = 0 } == .noSteps(0))
        #expect(error { $0.viewsPerTask = 0 } == .invalidViewsPerTask(0))
        #expect(error { $0.guidanceScale = .nan } != nil)
        #expect(error { $0.guidanceRescale = 2 } != nil)
    }

    @Test("is found by its name, and nothing else is")
    func registry() {
        #expect(Set(Self.names).count == Self.names.count)
        #expect(throws: PlanningError.unknownMethod("magic", known: Self.names)) {
            try DenoisingMethods.method(named: "magic")
        }
    }
}

@Suite("What only some methods refuse", .watched)
struct PlanningErrorTests {
    private func error(
        _ method: some DenoisingMethod, height: Int = 128, width: Int = 128,
        _ change: (inout PlanRequest) -> Void
    ) -> PlanningError? {
        #expect(throws: PlanningError.self) {
            try method.plan(for: makeRequest(height: height, width: width, change))
        }
    }

    @Test("Strides and structure steps out of range")
    func ranges() {
        for stride in [0, -1, 9, .max] {
            let expected = PlanningError.strideOutOfRange(stride, window: 8)
            #expect(error(MultiDiffusionMethod()) { $0.stride = stride } == expected)
            #expect(error(CutDiffusionMethod()) { $0.stride = stride } == expected)
        }
        for count in [-1, 7, .max] {
            #expect(
                error(CutDiffusionMethod()) { $0.structureSteps = count }
                    == .structureStepsOutOfRange(count, steps: 6))
        }
    }

    @Test("Options that mean nothing to the method")
    func optionsWithoutEffect() {
        #expect(error(DirectMethod()) { $0.stride = 4 } != nil)
        #expect(error(DirectMethod()) { $0.interaction = .position } != nil)
        #expect(error(MultiDiffusionMethod()) { $0.structureSteps = 1 } != nil)
        #expect(error(MultiDiffusionMethod()) { $0.compatibility = .cutDiffusion } != nil)
    }

    @Test("every stride up to the native side makes a sound plan", arguments: 1...8)
    func everyStride(stride: Int) throws {
        for method in DenoisingMethods.all where method.options.contains(.stride) {
            for (height, width) in [(128, 128), (256, 256), (136, 520)] {
                let plan = try method.plan(
                    for: makeRequest(height: height, width: width) { $0.stride = stride })
                #expect(throws: Never.self, "\(method.name), \(height)×\(width)") {
                    try plan.validate()
                }
            }
        }
    }

    @Test("The published code's sizes are multiples of native")
    func publishedSizes() {
        #expect(
            error(CutDiffusionMethod(), height: 192, width: 200) {
                $0.compatibility = .cutDiffusion
            } == .notMultiplesOfNative(height: 192, width: 200, nativePixels: 64))
    }

    @Test("More views than a step may have")
    func tooManyViews() {
        let limit = PlanLimits.viewsPerStep
        #expect(
            error(MultiDiffusionMethod(), height: 65_536, width: 65_536) { $0.stride = 1 }
                == .tooManyViews(8185 * 8185, limit: limit))
    }

    @Test("Every sentence names what was found and what to do")
    func sentences() {
        let errors: [PlanningError] = [
            .belowNative(height: 512, width: 900, nativePixels: 1024),
            .tooLarge(height: 70_000, width: 1024, limit: 65_536), .noSteps(-1),
            .tooManyViewsInAll(1 << 30, limit: PlanLimits.views),
            .strideOutOfRange(200, window: 128), .structureStepsOutOfRange(60, steps: 50),
            .optionWithoutEffect("a stride", method: "direct"),
        ]
        for error in errors {
            #expect(error.description.count > 20)
            #expect(!error.description.hasSuffix("."))
        }
        #expect(errors[0].description.contains("900×512"))
    }
}

@Suite("A plan's own proof", .watched)
struct ValidationTests {
    private func plan(canvas: Extent, window: Extent) throws -> DenoisingPlan {
        let grid = WindowGrid(canvas: canvas, window: window, stride: 1)
        let stage = PlanStage(
            name: "broken", steps: 0..<6,
            groups: [
                ViewGroup(geometry: .windows(grid), conditioning: .native, guidanceScale: 1)
            ])
        return try DenoisingPlan(
            method: "broken", request: makeRequest(height: 128, width: 128), canvas: canvas,
            stages: [stage])
    }

    @Test("fails for a canvas that is too small and for views the network cannot take")
    func brokenPlans() throws {
        let whole = Extent(height: 16, width: 16)
        try plan(canvas: whole, window: whole).validate()
        #expect(
            throws: PlanningError.brokenPlan("the canvas 16×8 is smaller than the latent 16×16")
        ) {
            try plan(canvas: Extent(height: 8, width: 16), window: Extent(height: 8, width: 8))
                .validate()
        }
        #expect(throws: PlanningError.brokenPlan("broken: 7×8 is no multiple of 2")) {
            try plan(canvas: whole, window: Extent(height: 8, width: 7)).validate()
        }
    }
}
