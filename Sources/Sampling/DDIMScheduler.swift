package import Tensors

/// The deterministic sampler (η = 0) of "Denoising Diffusion Implicit Models" (Song et al. 2020,
/// arXiv 2010.02502, equation 12), as `DDIMScheduler` of diffusers 0.42.1 defines it.
///
/// The state is x = √ᾱ·x₀ + √(1−ᾱ)·noise and the network sees it as it is. Arithmetic is float32
/// in diffusers' order of operations.
///
/// A step always goes down by trainTimesteps / steps training timesteps, as in diffusers. Under
/// "linspace" spacing the steps lie (trainTimesteps − 1) / (steps − 1) apart, so that each arrives
/// above the noise level that the next one assumes, most of all at the end: with 10 steps the last
/// but one arrives at 3.5 times the σ of the last.
package struct DDIMScheduler: Scheduler {
    package let timesteps: [Timestep]
    package let initialNoiseSigma = 1.0
    package let predictionType: PredictionType

    /// ᾱ at each step and at the timestep that the step arrives at.
    private let signals: [(now: Float, next: Float)]

    /// Throws ``SamplingError`` on sample clipping (see ``SchedulerConfiguration/clipsSample``),
    /// thresholding, unknown names, ε-prediction at zero terminal SNR, and step counts outside
    /// 1 ... training timesteps.
    package init(configuration: SchedulerConfiguration, steps: Int) throws(SamplingError) {
        let schedule = try Self.schedule(of: configuration)
        let count = schedule.count
        guard (1...count).contains(steps) else { throw .invalidStepCount(steps, limit: count) }
        let spacing = try configuration.named(
            configuration.timestepSpacing, field: "timestep_spacing",
            default: TimestepSpacing.leading)
        let times = spacing.timesteps(
            steps: steps, trainTimesteps: count, offset: configuration.stepsOffset ?? 0
        ).map { Int($0.rounded(.toNearestOrEven)) }
        let table = schedule.cumulativeAlphas
        let arrival = configuration.setAlphaToOne ?? true ? 1 : table[0]
        try self.init(
            configuration, schedule, times: times,
            arrivals: times.map { time in
                let previous = time - count / steps
                return table.indices.contains(previous) ? table[previous] : arrival
            })
    }

    /// Through `timesteps` of the training schedule, noisiest first: each step goes down to the next
    /// one and the last to no noise at all. Throws as ``init(configuration:steps:)``, and on timesteps
    /// outside the training schedule.
    package init(
        configuration: SchedulerConfiguration, timesteps times: [Int]
    ) throws(SamplingError) {
        let schedule = try Self.schedule(of: configuration)
        let next = times.dropFirst().filter { (0..<schedule.count).contains($0) }
        try self.init(
            configuration, schedule, times: times,
            arrivals: next.map { schedule.cumulativeAlphas[$0] } + [1])
    }

    private static func schedule(
        of configuration: SchedulerConfiguration
    ) throws(SamplingError) -> NoiseSchedule {
        if configuration.clipsSample {
            throw .unsupportedField(
                "clip_sample",
                value: configuration.clipSample == nil ? "true (its default)" : "true",
                advice: "latents are not bounded by 1: choose --scheduler euler, which never clips")
        }
        try configuration.refuse(
            configuration.thresholding, field: "thresholding",
            advice: "it is meant for pixels, not latents: choose --scheduler euler, which has none")
        return try configuration.noiseSchedule()
    }

    /// `arrivals` is ᾱ where each step arrives.
    private init(
        _ configuration: SchedulerConfiguration, _ schedule: NoiseSchedule, times: [Int],
        arrivals: [Float]
    ) throws(SamplingError) {
        predictionType = try configuration.prediction()
        if let outside = times.first(where: { !(0..<schedule.count).contains($0) }) {
            throw .timestepOutOfRange(outside, trainTimesteps: schedule.count)
        }
        let table = schedule.cumulativeAlphas
        if predictionType == .epsilon, table[times[0]] == 0 {
            throw .unsupportedField(
                "prediction_type", value: "epsilon",
                advice: "at zero terminal SNR the noise tells nothing about the picture: use "
                    + "v_prediction, or \"leading\" spacing")
        }
        signals = zip(times, arrivals).map { (now: table[$0], next: $1) }
        timesteps = times.map { time in
            Timestep(value: Double(time), sigma: Double(schedule.sigma(at: time)))
        }
    }

    package func sigma(after step: StepIndex) -> Double {
        Double(NoiseSchedule.sigma(cumulativeAlpha: signals[step.value].next))
    }

    package func scaledModelInput(_ sample: Latent, at step: StepIndex) -> Latent { sample }

    package mutating func step(
        prediction: Latent, sample: Latent, at step: StepIndex
    ) -> Latent {
        let next = signals[step.value].next
        let (nextRoot, nextNoiseRoot) = (next.squareRoot(), (1 - next).squareRoot())
        let mixture = mixture(at: step)
        return sample.combined(with: prediction) { state, output in
            let (clean, noise) = mixture.parts(of: state, by: output)
            return nextRoot * clean + nextNoiseRoot * noise
        }
    }

    package func noised(_ clean: Latent, with noise: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return clean.combined(with: noise) { $0 * mixture.root + $1 * mixture.noiseRoot }
    }

    package func clean(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: prediction) { mixture.parts(of: $0, by: $1).clean }
    }

    package func noise(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: prediction) { mixture.parts(of: $0, by: $1).noise }
    }

    package func clean(under noise: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: noise) { ($0 - mixture.noiseRoot * $1) / mixture.root }
    }

    package func prediction(
        meaning clean: Latent, sample: Latent, at step: StepIndex
    ) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: clean) { mixture.prediction(meaning: $1, of: $0) }
    }

    private func mixture(at step: StepIndex) -> Mixture {
        let signal = signals[step.value].now
        return Mixture(
            root: signal.squareRoot(), noiseRoot: (1 - signal).squareRoot(), kind: predictionType)
    }

    /// x = root·x₀ + noiseRoot·noise, and what a prediction says of its parts.
    private struct Mixture {
        /// √ᾱ, 0 at zero terminal SNR.
        let root: Float
        /// √(1−ᾱ), never 0.
        let noiseRoot: Float
        let kind: PredictionType

        func parts(of state: Float, by output: Float) -> (clean: Float, noise: Float) {
            switch kind {
            case .epsilon: ((state - noiseRoot * output) / root, output)
            case .vPrediction:
                (root * state - noiseRoot * output, root * output + noiseRoot * state)
            case .sample: (output, (state - root * output) / noiseRoot)
            }
        }

        func prediction(meaning clean: Float, of state: Float) -> Float {
            let noise = (state - root * clean) / noiseRoot
            return switch kind {
            case .epsilon: noise
            case .vPrediction: root * noise - noiseRoot * clean
            case .sample: clean
            }
        }
    }
}
