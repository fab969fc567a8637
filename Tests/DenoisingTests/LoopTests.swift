import Denoising
import Sampling
import Tensors
import Testing

@Suite("methods.md 14, items 9, 15, 24 and 38: the loop")
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
        "Items 15 and 24: what a pointwise network draws depends on no window, stride or exchange",
        arguments: ["zero", "linear", "gaussian"])
    func pointwise(kind: String) async throws {
        let scheduler = try makeScheduler("euler", steps: 10)
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
        let direct = try await run("direct", scheduler, height: 128, width: 200, executor: workers)
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
                method, scheduler, height: 128, width: 200, executor: workers, change)
            #expect(relativeDifference(result, direct) < 1e-5)
        }
        guard kind == "gaussian" else { return }
        let noise = InitialNoise.native.latent(channels: 3, height: 16, width: 25, seed: 5)
        let start = noise.mapValues { $0 * Float(scheduler.initialNoiseSigma) }
        let expected = start.mapValues { $0 * 0.104102245 }
        #expect(relativeDifference(direct, expected) < 1e-5)
    }

    @Test(
        "Item 9: a pointwise network cannot see the exchange", arguments: Schedulers.all.map(\.name)
    )
    func invisibleExchange(name: String) async throws {
        let scheduler = try makeScheduler(name, steps: 4)
        let workers = SimulatedWorkers { view, _ in view.sample.mapValues { $0 * 0.6 } }
        var results: [Latent] = []
        for mode in InteractionMode.allCases {
            results.append(
                try await run(
                    "cutdiffusion", scheduler, name: name, height: 128, width: 192,
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
        "Item 38: workers, order of arrival and repeats change no bit",
        arguments: DenoisingMethods.all.map(\.name))
    func arrival(method: String) async throws {
        let scheduler = try makeScheduler("euler", steps: 4)
        let reference = try await run(
            method, scheduler, height: 100, width: 184,
            executor: SimulatedWorkers(predict: entangledPredictor))
        for workers in [1, 2, 3, 7] {
            for seed in [1, 2] as [UInt64] {
                let result = try await run(
                    method, scheduler, height: 100, width: 184,
                    executor: SimulatedWorkers(
                        workers: workers, seed: seed, repeatsAnswers: true,
                        predict: entangledPredictor))
                #expect(result == reference, "\(workers) workers")
            }
        }
    }

    @Test("Item 38: answers computed at the same time change no bit")
    func concurrency() async throws {
        let scheduler = try makeScheduler("ddim", steps: 3)
        let reference = try await run(
            "cutdiffusion", scheduler, name: "ddim", height: 128, width: 128,
            executor: SimulatedWorkers(predict: entangledPredictor))
        let result = try await run(
            "cutdiffusion", scheduler, name: "ddim", height: 128, width: 128,
            executor: ConcurrentExecutor(predict: entangledPredictor))
        #expect(result == reference)
    }

    @Test("Item 38: the number of views in a task changes no bit", arguments: [2, 5, 100])
    func viewsPerTask(count: Int) async throws {
        let scheduler = try makeScheduler("euler", steps: 3)
        let workers = SimulatedWorkers(workers: 3, predict: entangledPredictor)
        let reference = try await run(
            "cutdiffusion", scheduler, height: 128, width: 128, executor: workers)
        let result = try await run(
            "cutdiffusion", scheduler, height: 128, width: 128, executor: workers
        ) { $0.viewsPerTask = count }
        #expect(result == reference)
    }

    @Test("A run goes on from any state as if it had not stopped")
    func resume() async throws {
        let scheduler = try makeScheduler("euler", steps: 5)
        let request = makeRequest(
            height: 120, width: 128,
            schedule: SamplingSchedule(name: "euler", scheduler: scheduler))
        let plan = try CutDiffusionMethod().plan(for: request)
        let loop = DenoisingLoop(
            plan: plan, scheduler: scheduler, conditioning: emptyConditioning)
        let noise = InitialNoise.torchCPU.latent(channels: 3, height: 15, width: 16, seed: 1)
        let workers = SimulatedWorkers(predict: entangledPredictor)
        var states: [DenoisingState] = [loop.initialState(noise: noise)]
        var merged = 0
        let result = try await loop.run(
            from: states[0], with: workers, onTask: { _, _ in merged += 1 },
            onStep: { states.append($0) })
        #expect(states.map(\.nextStep) == Array(0...5))
        #expect(merged == plan.forwardCount)
        for state in states {
            #expect(try await loop.run(from: state, with: workers) == result)
        }
    }

    @Test("What pads the canvas repeats the noise from the opposite side")
    func padding() throws {
        let scheduler = try makeScheduler("ddim", steps: 2)
        let request = makeRequest(
            height: 104, width: 150,
            schedule: SamplingSchedule(name: "ddim", scheduler: scheduler))
        let plan = try CutDiffusionMethod().plan(for: request)
        #expect(plan.latent == Extent(height: 13, width: 19))
        #expect(plan.canvas == Extent(height: 16, width: 20))
        let loop = DenoisingLoop(
            plan: plan, scheduler: scheduler, conditioning: emptyConditioning)
        let noise = InitialNoise.native.latent(channels: 3, height: 13, width: 19, seed: 11)
        let state = loop.initialState(noise: noise)
        for (y, x) in [(0, 0), (12, 18), (13, 0), (15, 19), (4, 19)] {
            #expect(
                state.canvas.values[(16 + y) * 20 + x]
                    == noise.values[(13 + y % 13) * 19 + x % 19])
        }
        #expect(plan.cropped(state.canvas) == noise)
    }

    @Test("Answers that do not fit are named")
    func unsuitableAnswers() async throws {
        let scheduler = try makeScheduler("euler", steps: 2)
        await #expect(throws: DenoisingError.self) {
            _ = try await run(
                "direct", scheduler, height: 64, width: 64,
                executor: SimulatedWorkers { _, _ in Latent(zeros: 3, height: 4, width: 8) })
        }
        await #expect(throws: DenoisingError.notFinite(step: 0)) {
            _ = try await run(
                "direct", scheduler, height: 64, width: 64,
                executor: SimulatedWorkers { view, _ in view.sample.mapValues { _ in .nan } })
        }
        await #expect(throws: DenoisingError.unanswered(step: 0, missing: 1)) {
            _ = try await run(
                "direct", scheduler, height: 64, width: 64, executor: SilentExecutor())
        }
    }
}

/// Computes all answers at once and delivers them as they come.
private struct ConcurrentExecutor: TaskExecutor {
    let predict: Predictor

    func execute(
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: (Int, WorkAnswer).self) { group in
            for (index, item) in items.enumerated() {
                guard case .denoise(let task) = item else { continue }
                group.addTask { [predict] in
                    (index, .denoise(task.views.map { predict($0, task) }))
                }
            }
            for try await (index, answer) in group { try await deliver(index, answer) }
        }
    }
}

/// Never answers.
private struct SilentExecutor: TaskExecutor {
    func execute(
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {}
}
