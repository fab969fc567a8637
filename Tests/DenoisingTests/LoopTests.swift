import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@Suite("The loop: what may not change a picture, and its closed form on Gaussian data", .watched)
struct LoopTests {
    /// The exact noise prediction for data from N(0, s²): the network of item 24.
    private func gaussianPredictor(
        _ scheduler: any Scheduler, deviation: Double
    ) -> Predictor {
        let levels = Dictionary(
            uniqueKeysWithValues: scheduler.timesteps.map { ($0.value, $0.sigma) })
        return { view, task in
            let sigma = levels[task.timestep] ?? .nan
            let factor =
                (sigma * sigma + 1).squareRoot() * sigma / (deviation * deviation + sigma * sigma)
            return view.sample.mapValues { $0 * Float(factor) }
        }
    }

    @Test(
        "what a pointwise network draws depends on no window, stride or exchange",
        arguments: ["zero", "linear", "gaussian"])
    func pointwise(kind: String) async throws {
        let scheduler = try makeScheduler(makeSampler(), steps: 10)
        let predictor: Predictor =
            switch kind {
            case "zero": { view, _ in view.sample.mapValues { _ in 0 } }
            case "linear":
                { view, task in
                    view.sample.mapValues { $0 * Float(0.5 + task.timestep / 4000) }
                }
            default: gaussianPredictor(scheduler, deviation: 1)
            }
        let workers = SimulatedWorkers(predict: predictor)
        let direct = try await run("direct", steps: 10, height: 128, width: 200, executor: workers)
        let variants: [(String, (inout PlanRequest) -> Void)] = [
            ("multidiffusion", { $0.stride = 3 }),
            ("multidiffusion", { $0.feather = .gaussian }),
            ("cutdiffusion", { _ in }),
            ("cutdiffusion", { $0.interaction = .perChannel }),
            ("cutdiffusion", { $0.interaction = .off }),
            (
                "cutdiffusion",
                {
                    $0.structureSteps = 9
                    $0.jitter = false
                    $0.viewsPerTask = 4
                }
            ),
        ]
        for (method, change) in variants {
            let result = try await run(
                method, steps: 10, height: 128, width: 200, executor: workers, change)
            #expect(relativeDifference(result, direct) < 1e-5)
        }
        guard kind == "gaussian" else { return }
        let noise = InitialNoise.native.latent(channels: 3, height: 16, width: 25, seed: 5)
        let start = noise.mapValues { $0 * Float(scheduler.initialNoiseSigma) }
        let expected = start.mapValues { $0 * 0.104102245 }
        #expect(relativeDifference(direct, expected) < 1e-5)
    }

    @Test(
        "a pointwise network cannot see the exchange", arguments: Schedulers.all.map(\.name)
    )
    func invisibleExchange(name: String) async throws {
        let workers = SimulatedWorkers { view, _ in view.sample.mapValues { $0 * 0.6 } }
        var results: [Latent] = []
        for mode in InteractionMode.allCases {
            results.append(
                try await run(
                    "cutdiffusion", makeSampler(name), height: 128, width: 192,
                    executor: workers
                ) {
                    $0.interaction = mode
                    $0.structureSteps = 4
                })
        }
        #expect(results[0] == results[1])
        #expect(results[0] == results[2])
    }

    @Test(
        "workers, order of arrival and repeats change no bit",
        arguments: DenoisingMethods.all.map(\.name))
    func arrival(method: String) async throws {
        let reference = try await run(
            method, height: 100, width: 184,
            executor: SimulatedWorkers(predict: entangledPredictor))
        for workers in [1, 2, 3, 7] {
            for seed in [1, 2] as [UInt64] {
                let result = try await run(
                    method, height: 100, width: 184,
                    executor: SimulatedWorkers(
                        workers: workers, seed: seed, repeatsAnswers: true,
                        predict: entangledPredictor))
                #expect(result == reference, "\(workers) workers")
            }
        }
    }

    @Test("answers computed at the same time change no bit")
    func concurrency() async throws {
        let reference = try await run(
            "cutdiffusion", makeSampler("ddim"), steps: 3, height: 128, width: 128,
            executor: SimulatedWorkers(predict: entangledPredictor))
        let result = try await run(
            "cutdiffusion", makeSampler("ddim"), steps: 3, height: 128, width: 128,
            executor: ConcurrentExecutor(predict: entangledPredictor))
        #expect(result == reference)
    }

    @Test("the number of views in a task changes no bit", arguments: [2, 5, 100])
    func viewsPerTask(count: Int) async throws {
        let workers = SimulatedWorkers(workers: 3, predict: entangledPredictor)
        let reference = try await run(
            "cutdiffusion", steps: 3, height: 128, width: 128, executor: workers)
        let result = try await run(
            "cutdiffusion", steps: 3, height: 128, width: 128, executor: workers
        ) { $0.viewsPerTask = count }
        #expect(result == reference)
    }

    @Test(
        "A run goes on from any state, and asks only for what is missing",
        arguments: DenoisingMethods.all.map(\.name), [1, 3])
    func resume(method: String, viewsPerTask: Int) async throws {
        let request = makeRequest(height: 120, width: 128, steps: 5) {
            $0.viewsPerTask = viewsPerTask
            if method == "cutdiffusion" { $0.interaction = .perChannel }
        }
        let plan = try DenoisingMethods.method(named: method).plan(for: request)
        try await expectResumption(of: plan, from: .torchCPU)
    }

    @Test("What is no state of the plan is told from one that is")
    func foreignStates() throws {
        let plan = try MultiDiffusionMethod().plan(
            for: makeRequest(height: 128, width: 128, steps: 3))
        let loop = makeLoop(plan)
        let canvas = Latent(zeros: 3, height: 16, width: 16)
        let tasks = plan.step(at: 0).taskCount
        try #require(tasks > 1)
        func state(
            _ step: Int, tasks: Int? = nil, canvas: Latent = canvas, sum: Latent = canvas
        ) -> DenoisingState {
            DenoisingState(
                canvas: canvas, nextStep: step,
                underWay: tasks.map { PartialStep(mergedTasks: $0, sum: sum) })
        }
        for good in [state(0), state(3), state(0, tasks: 1), state(2, tasks: tasks - 1)] {
            #expect(loop.isStart(good))
        }
        let narrow = Latent(zeros: 3, height: 16, width: 15)
        let flat = Latent(zeros: 2, height: 16, width: 16)
        for bad in [
            state(-1), state(4), state(3, tasks: 1), state(0, tasks: 0), state(0, tasks: tasks),
            state(0, canvas: narrow), state(0, canvas: flat), state(0, tasks: 1, sum: narrow),
            state(0, tasks: 1, sum: flat),
        ] {
            #expect(!loop.isStart(bad))
        }
    }

    @Test("In the middle of a step, what was mixed before is there from the second group on")
    func foreignMixtures() throws {
        let plan = try DemoFusionMethod().plan(for: makeRequest(height: 128, width: 128, steps: 3))
        let loop = makeLoop(plan)
        let canvas = Latent(zeros: 3, height: 16, width: 16)
        let previous = KeptCanvas(name: "previous", latent: Latent(zeros: 3, height: 8, width: 8))
        try #require(plan.step(at: 4).groups.map(\.views.count) == [4, 9])
        func isStart(_ tasks: Int, mixed: Latent?) -> Bool {
            loop.isStart(
                DenoisingState(
                    phase: 1, canvas: canvas, kept: [previous], nextStep: 4,
                    underWay: PartialStep(mergedTasks: tasks, sum: canvas, mixed: mixed)))
        }
        for tasks in 1...4 {
            #expect(isStart(tasks, mixed: nil))
            #expect(!isStart(tasks, mixed: canvas))
        }
        for tasks in 5...12 {
            #expect(isStart(tasks, mixed: canvas))
            #expect(!isStart(tasks, mixed: nil))
            #expect(!isStart(tasks, mixed: Latent(zeros: 3, height: 16, width: 15)))
        }
    }

    @Test("What pads the canvas repeats the noise from the opposite side")
    func padding() throws {
        let request = makeRequest(
            height: 104, width: 150, steps: 2, sampler: makeSampler("ddim"))
        let plan = try CutDiffusionMethod().plan(for: request)
        #expect(plan.latent == Extent(height: 13, width: 19))
        #expect(plan.phases[0].canvas == Extent(height: 16, width: 20))
        let loop = makeLoop(plan)
        let noise = InitialNoise.native.latent(channels: 3, height: 13, width: 19, seed: 11)
        let state = loop.initialState(noise: noise)
        for (y, x) in [(0, 0), (12, 18), (13, 0), (15, 19), (4, 19)] {
            #expect(
                state.canvas.values[(16 + y) * 20 + x]
                    == noise.values[(13 + y % 13) * 19 + x % 19])
        }
        let window = Window(y: 0, x: 0, height: 13, width: 19)
        #expect(LatentView.window(window).gather(from: state.canvas) == noise)
    }

    @Test("Answers that do not fit are named")
    func unsuitableAnswers() async throws {
        await #expect(throws: DenoisingError.self) {
            _ = try await run(
                "direct", steps: 2, height: 64, width: 64,
                executor: SimulatedWorkers { _, _ in Latent(zeros: 3, height: 4, width: 8) })
        }
        await #expect(throws: DenoisingError.notFinite(step: 0)) {
            _ = try await run(
                "direct", steps: 2, height: 64, width: 64,
                executor: SimulatedWorkers { view, _ in view.sample.mapValues { _ in .nan } })
        }
        await #expect(throws: DenoisingError.unanswered(step: 0, missing: 1)) {
            _ = try await run(
                "direct", steps: 2, height: 64, width: 64, executor: SilentExecutor())
        }
    }
}

/// Computes all answers at once and delivers them as they come.
private struct ConcurrentExecutor: TaskExecutor {
    let predict: Predictor

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: (Int, WorkAnswer).self) { group in
            for position in 0..<items.count {
                group.addTask { [predict] in (position, toyAnswer(to: items[position], predict)) }
            }
            for try await (position, answer) in group { try await deliver(position, answer) }
        }
    }
}

/// Never answers.
private struct SilentExecutor: TaskExecutor {
    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {}
}
