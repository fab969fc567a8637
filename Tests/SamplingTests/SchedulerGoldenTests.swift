import Sampling
import Tensors
import TestSupport
import Testing

@Suite("Schedules equal diffusers'", .watched)
struct SchedulerGoldenTests {
    private func scheduler(for golden: Goldens.Schedule) throws -> any Scheduler {
        let entry = try #require(Schedulers.all.first { $0.className == golden.className })
        return try entry.makeScheduler(configuration: golden.configuration, steps: golden.steps)
    }

    /// PyTorch's square root is its vector library's, a unit in the last place off at times: what
    /// comes after the zero-SNR rescaling is close instead of equal.
    private func isRescaled(_ configuration: SchedulerConfiguration) -> Bool {
        configuration.rescaleBetasZeroSNR ?? false
    }

    @Test("Cumulative alphas equal diffusers' to the last bit", arguments: Goldens.all.tables)
    func cumulativeAlphas(golden: Goldens.Table) throws {
        let fields = golden.configuration
        let schedule = NoiseSchedule(
            trainTimesteps: 1000,
            betaStart: try #require(fields.betaStart),
            betaEnd: try #require(fields.betaEnd),
            betaSchedule: try #require(BetaSchedule(rawValue: fields.betaSchedule ?? "")),
            zeroTerminalSNR: fields.rescaleBetasZeroSNR ?? false
        )
        for (index, value) in golden.picks {
            let found = schedule.cumulativeAlphas[try #require(Int(index))]
            #expect(abs(found - value) <= value * (isRescaled(fields) ? 1e-5 : 0), "ᾱ[\(index)]")
        }
        #expect(CRC32C.of(schedule.cumulativeAlphas) == golden.crc || isRescaled(fields))
    }

    @Test(
        "Timesteps, sigmas and the initial sigma are diffusers'", arguments: Goldens.all.schedules)
    func schedule(golden: Goldens.Schedule) throws {
        let scheduler = try scheduler(for: golden)
        #expect(scheduler.timesteps.map(\.value) == golden.timesteps)
        #expect(
            abs(scheduler.initialNoiseSigma - golden.initialSigma) <= 1e-7 * golden.initialSigma)
        guard let sigmas = golden.sigmas else { return }
        let found =
            [scheduler.timesteps[0].sigma]
            + (0..<golden.steps).map { scheduler.sigma(after: StepIndex($0)) }
        let tolerance = isRescaled(golden.configuration) ? 1e-5 : 3e-7
        for (sigma, expected) in zip(found, sigmas) {
            #expect(abs(sigma - expected) <= tolerance * expected)
        }
    }

    @Test("A run with a stand-in network takes diffusers' path", arguments: Goldens.all.schedules)
    func trajectory(golden: Goldens.Schedule) throws {
        var scheduler = try scheduler(for: golden)
        let sigma = Float(scheduler.initialNoiseSigma)
        var state = Latent(
            channels: 1, height: 3, width: 4,
            values: (0..<12).map { Float((5 * $0) % 13 - 6) / 4 * sigma })
        let pattern = (0..<12).map { Float((7 * $0) % 11 - 5) / 8 }
        var states: [[Float]] = []
        for step in scheduler.timesteps.indices {
            let index = StepIndex(step)
            let share = Float(Double(step + 1) / Double(golden.steps))
            var output = scheduler.scaledModelInput(state, at: index)
            for element in 0..<12 {
                output.values[element] = pattern[element] * share + output.values[element] / 4
            }
            state = scheduler.step(prediction: output, sample: state, at: index)
            states.append(state.values)
        }
        let picked = [states[0], states[states.count / 2], states[states.count - 1]]
        for (values, expected) in zip(picked, golden.states) {
            let tolerance = isRescaled(golden.configuration) ? 5e-5 : 2e-6
            #expect(relativeDifference(values, expected) < tolerance)
        }
    }

    @Test("Spacings equal diffusers' for 1 to 300 steps", arguments: Goldens.all.spacings)
    func spacing(golden: Goldens.Spacing) throws {
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.predictionType = "v_prediction"
        configuration.timestepSpacing = golden.spacing.rawValue
        configuration.stepsOffset = 1
        var bytes: [UInt8] = []
        for steps in 1...300 {
            let times = try DDIMScheduler(configuration: configuration, steps: steps)
                .timesteps.map(\.value)
            #expect(times.count == steps)
            for time in times {
                let bits = UInt32(bitPattern: Int32(time))
                for shift in stride(from: UInt32(0), to: 32, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
                }
            }
        }
        #expect(CRC32C.of(bytes) == golden.crc)
    }

    @Test(
        "SDXL's first timestep, first sigma and initial sigma are diffusers'",
        arguments: [
            (10, 901.0, 8.390685, 8.450065), (20, 951, 11.028331, 11.073576),
            (25, 961, 11.676046, 11.718791), (30, 958, 11.476846, 11.520330),
            (50, 981, 13.120411, 13.158464),
        ])
    func sdxl(steps: Int, first: Double, sigma: Double, initial: Double) throws {
        var configuration = SchedulerConfiguration.latentDiffusion(
            className: "EulerDiscreteScheduler")
        configuration.timestepSpacing = "leading"
        configuration.stepsOffset = 1
        let scheduler = try EulerDiscreteScheduler(configuration: configuration, steps: steps)
        #expect(scheduler.timesteps[0].value == first)
        #expect(abs(scheduler.timesteps[0].sigma - sigma) < 8e-6)
        #expect(abs(scheduler.initialNoiseSigma - initial) < 8e-6)
        #expect(scheduler.timesteps[steps - 1].value == 1)
        #expect(abs(scheduler.timesteps[steps - 1].sigma - 0.041314) < 1e-6)
    }

    @Test("ᾱ and σ of the training schedule (arXiv 2112.10752: √β linear)")
    func trainingSchedule() {
        let schedule = NoiseSchedule(
            trainTimesteps: 1000, betaStart: 0.00085, betaEnd: 0.012, betaSchedule: .scaledLinear)
        #expect(abs(schedule.cumulativeAlphas[0] - 0.99915) < 1e-7)
        #expect(abs(schedule.cumulativeAlphas[249] - 0.675432) < 1e-6)
        #expect(abs(schedule.cumulativeAlphas[999] - 0.004660099) < 1e-8)
        #expect(abs(schedule.sigma(at: 0) - 0.02916716) < 1e-6)
        #expect(abs(schedule.sigma(at: 999) - 14.61464123) < 1e-5)
    }
}
