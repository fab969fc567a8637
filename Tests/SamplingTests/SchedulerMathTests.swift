import Sampling
import Tensors
import TestSupport
import Testing

/// SDXL's schedule.
private func sdxl(_ className: String) -> SchedulerConfiguration {
    var configuration = SchedulerConfiguration.latentDiffusion(className: className)
    configuration.timestepSpacing = "leading"
    configuration.stepsOffset = 1
    configuration.setAlphaToOne = false
    return configuration
}

private func single(_ value: Float) -> Latent {
    Latent(channels: 1, height: 1, width: 1, values: [value])
}

@Suite(
    "What the samplers compute (Euler: arXiv 2206.00364, algorithm 1; DDIM: arXiv 2010.02502, equation 12)",
    .watched)
struct SchedulerMathTests {
    @Test("Euler is DDIM in other units, but for the last step", arguments: [10, 25, 50])
    func eulerEqualsDDIM(steps: Int) throws {
        var euler = try EulerDiscreteScheduler(
            configuration: sdxl("EulerDiscreteScheduler"), steps: steps)
        var ddim = try DDIMScheduler(configuration: sdxl("DDIMScheduler"), steps: steps)
        var exploding = single(Float(euler.initialNoiseSigma))
        let sigma = euler.timesteps[0].sigma
        var preserving = exploding.mapValues { $0 / Float((1 + sigma * sigma).squareRoot()) }
        for step in 0..<steps {
            let index = StepIndex(step)
            let input = euler.scaledModelInput(exploding, at: index)
            let noise = single(input.values[0] * 0.7 + Float(step % 3) / 10)
            exploding = euler.step(prediction: noise, sample: exploding, at: index)
            preserving = ddim.step(prediction: noise, sample: preserving, at: index)
            let arrival = euler.sigma(after: index)
            let converted = exploding.values[0] / Float((1 + arrival * arrival).squareRoot())
            let isLast = step == steps - 1
            #expect((abs(converted - preserving.values[0]) < 1e-4) == !isLast, "step \(step)")
        }
    }

    @Test(
        "timesteps that are listed are taken as they are, each arriving where the next begins",
        arguments: Schedulers.all.map(\.name))
    func listedTimesteps(name: String) throws {
        let entry = try Schedulers.entry(named: name, configuration: sdxl("DDIMScheduler"))
        let configuration = sdxl(entry.className)
        let times = [999, 606, 343, 200]
        var listed = try entry.makeScheduler(
            configuration: configuration, timesteps: .listed(times))
        #expect(listed.timesteps.map(\.value) == times.map(Double.init))
        let trained = try configuration.noiseSchedule()
        for (step, time) in times.enumerated() {
            #expect(abs(listed.timesteps[step].sigma / Double(trained.sigma(at: time)) - 1) < 1e-6)
            let next = step < 3 ? listed.timesteps[step + 1].sigma : 0
            #expect(abs(listed.sigma(after: StepIndex(step)) - next) < 1e-6 * max(1, next))
        }
        let last = StepIndex(3)
        let clean = listed.clean(prediction: single(0.3), sample: single(2), at: last)
        let end = listed.step(prediction: single(0.3), sample: single(2), at: last)
        #expect(abs(end.values[0] - clean.values[0]) < 1e-6)
        for outside in [-1, 1000] {
            #expect(throws: SamplingError.timestepOutOfRange(outside, trainTimesteps: 1000)) {
                try entry.makeScheduler(
                    configuration: configuration, timesteps: .listed([5, outside]))
            }
        }
    }

    @Test(
        "on Gaussian data Euler multiplies by the closed form",
        arguments: [
            (1.0, 10, 0.104102245), (1, 50, 0.073933811), (0.5, 10, 0.047904862),
            (0.5, 50, 0.036210933),
        ])
    func eulerOnGaussianData(deviation: Double, steps: Int, golden: Double) throws {
        var euler = try EulerDiscreteScheduler(
            configuration: sdxl("EulerDiscreteScheduler"), steps: steps)
        var state = single(1)
        for step in 0..<steps {
            let sigma = euler.timesteps[step].sigma
            let noise = state.mapValues { value in
                Float(Double(value) * sigma / (deviation * deviation + sigma * sigma))
            }
            state = euler.step(prediction: noise, sample: state, at: StepIndex(step))
        }
        #expect(abs(Double(state.values[0]) - golden) < 2e-6)
    }

    @Test(
        "on Gaussian data DDIM multiplies by the closed form",
        arguments: [(1.0, 50, 0.973613660), (0.5, 50, 0.478573423), (0.5, 10, 0.406577442)])
    func ddimOnGaussianData(deviation: Double, steps: Int, golden: Double) throws {
        var ddim = try DDIMScheduler(configuration: sdxl("DDIMScheduler"), steps: steps)
        var state = single(1)
        for step in 0..<steps {
            let variance = deviation * deviation
            let sigma = ddim.timesteps[step].sigma
            let signal = 1 / (1 + sigma * sigma)
            let noise = state.mapValues { value in
                Float(Double(value) * (1 - signal).squareRoot() / (signal * variance + 1 - signal))
            }
            state = ddim.step(prediction: noise, sample: state, at: StepIndex(step))
        }
        #expect(abs(Double(state.values[0]) - golden) < 5e-6)
    }

    @Test("The three prediction types say the same thing", arguments: Schedulers.all.map(\.name))
    func predictionTypes(name: String) throws {
        let entry = try Schedulers.entry(named: name, configuration: sdxl("-"))
        for step in [0, 3, 6] {
            var results: [Float] = []
            for type in PredictionType.allCases {
                var configuration = sdxl(entry.className)
                configuration.predictionType = type.rawValue
                var scheduler = try entry.makeScheduler(configuration: configuration, steps: 8)
                let index = StepIndex(step)
                let sigma = scheduler.timesteps[step].sigma
                let signal = 1 / (1 + sigma * sigma)
                let (clean, noise) = (0.4, -0.8)
                let preserving = signal.squareRoot() * clean + (1 - signal).squareRoot() * noise
                let state = name == "euler" ? clean + sigma * noise : preserving
                let output =
                    switch type {
                    case .epsilon: noise
                    case .sample: clean
                    case .vPrediction:
                        signal.squareRoot() * noise - (1 - signal).squareRoot() * clean
                    }
                results.append(
                    scheduler.step(
                        prediction: single(Float(output)), sample: single(Float(state)), at: index
                    ).values[0])
            }
            for result in results { #expect(abs(result - results[0]) < 2e-5, "step \(step)") }
        }
    }
}

@Suite("Every registered scheduler", .watched)
struct SchedulerConformanceTests {
    static let names = Schedulers.all.map(\.name)

    private func scheduler(_ name: String, steps: Int) throws -> any Scheduler {
        let entry = try Schedulers.entry(named: name, configuration: SchedulerConfiguration())
        return try entry.makeScheduler(configuration: sdxl(entry.className), steps: steps)
    }

    @Test("has as many timesteps as asked for, falling, as sigma does", arguments: names)
    func timesteps(name: String) throws {
        for steps in [1, 2, 7, 50, 61] {
            let scheduler = try scheduler(name, steps: steps)
            #expect(scheduler.timesteps.count == steps)
            for (earlier, later) in zip(scheduler.timesteps, scheduler.timesteps.dropFirst()) {
                #expect(earlier.value > later.value)
                #expect(earlier.sigma > later.sigma)
            }
        }
    }

    @Test("the step of a mean is the mean of the steps", arguments: names)
    func isAffine(name: String) throws {
        var scheduler = try scheduler(name, steps: 9)
        let state = single(1.25)
        for step in 0..<9 {
            let index = StepIndex(step)
            let parts: [Float] = [0.3, -1.1, 0.7]
            let stepped = parts.map {
                scheduler.step(prediction: single($0), sample: state, at: index).values[0]
            }
            let mean = single(parts.reduce(0, +) / 3)
            let whole = scheduler.step(prediction: mean, sample: state, at: index).values[0]
            #expect(abs(whole - stepped.reduce(0, +) / 3) < 3e-6)
        }
    }

    @Test("takes a prediction apart into what makes the state again", arguments: names)
    func parts(name: String) throws {
        for type in PredictionType.allCases {
            let entry = try Schedulers.entry(named: name, configuration: SchedulerConfiguration())
            var configuration = sdxl(entry.className)
            configuration.predictionType = type.rawValue
            let scheduler = try entry.makeScheduler(configuration: configuration, steps: 10)
            for step in 0..<10 {
                let index = StepIndex(step)
                let (state, output) = (single(0.9), single(-0.4))
                let clean = scheduler.clean(prediction: output, sample: state, at: index)
                let noise = scheduler.noise(prediction: output, sample: state, at: index)
                let again = scheduler.noised(clean, with: noise, at: index).values[0]
                #expect(abs(again - 0.9) < 1e-4, "step \(step) of \(type)")
                let under = scheduler.clean(under: noise, sample: state, at: index).values[0]
                // Both are differences of numbers as large as σ.
                let limit = 1e-6 * Float(1 + scheduler.timesteps[step].sigma)
                #expect(abs(under - clean.values[0]) < 10 * limit, "step \(step) of \(type)")
            }
        }
    }

    @Test("gives the same answer whatever was asked before", arguments: names)
    func isStateless(name: String) throws {
        var fresh = try scheduler(name, steps: 5)
        var used = fresh
        for step in [4, 0, 2] {
            _ = used.step(prediction: single(0.1), sample: single(0.2), at: StepIndex(step))
        }
        let index = StepIndex(3)
        #expect(
            fresh.step(prediction: single(0.3), sample: single(1), at: index)
                == used.step(prediction: single(0.3), sample: single(1), at: index))
    }

    @Test("refuses step counts that make no schedule", arguments: names)
    func stepCounts(name: String) throws {
        for steps in [0, -3, 1001] {
            #expect(throws: SamplingError.invalidStepCount(steps, limit: 1000)) {
                try scheduler(name, steps: steps)
            }
        }
    }
}
