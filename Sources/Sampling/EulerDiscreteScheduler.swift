package import Tensors

/// Euler's method on the probability-flow ODE in σ-space (Karras et al. 2022, arXiv 2206.00364,
/// algorithm 2 without churn), as `EulerDiscreteScheduler` of diffusers 0.42.1 defines it.
///
/// The state is x = x₀ + σ·noise; the network sees x/√(σ²+1). Arithmetic is float32 in
/// diffusers' order of operations.
package struct EulerDiscreteScheduler: Scheduler {
    package let timesteps: [Timestep]
    package let initialNoiseSigma: Double
    package let predictionType: PredictionType

    /// σ per step and the one after the last, float32.
    private let sigmas: [Float]

    /// Throws ``SamplingError`` on Karras, exponential and beta sigmas, unknown names and step
    /// counts outside 1 ... training timesteps.
    package init(configuration: SchedulerConfiguration, steps: Int) throws(SamplingError) {
        let trained = try Self.trainedSigmas(of: configuration)
        guard (1...trained.count).contains(steps) else {
            throw .invalidStepCount(steps, limit: trained.count)
        }
        let spacing = try configuration.named(
            configuration.timestepSpacing, field: "timestep_spacing",
            default: TimestepSpacing.linspace)
        let interpolation = try configuration.named(
            configuration.interpolationType, field: "interpolation_type",
            default: SigmaInterpolation.linear)
        let final = try configuration.named(
            configuration.finalSigmasType, field: "final_sigmas_type", default: FinalSigma.zero)

        let times = spacing.timesteps(
            steps: steps, trainTimesteps: trained.count, offset: configuration.stepsOffset ?? 0
        ).map { Float($0) }
        var sigmas: [Float]
        switch interpolation {
        case .linear:
            sigmas = times.map { Self.interpolated(trained, at: Double($0)) }
        case .logLinear:
            sigmas = Self.logLinear(trained, steps: steps)
        }
        sigmas.append(final == .zero ? 0 : trained[0])
        try self.init(configuration, times: times, sigmas: sigmas, spacing: spacing)
    }

    /// Through `timesteps` of the training schedule, noisiest first: each step goes down to the next
    /// one and the last to no noise at all. Throws as ``init(configuration:steps:)``, and on timesteps
    /// outside the training schedule.
    package init(
        configuration: SchedulerConfiguration, timesteps times: [Int]
    ) throws(SamplingError) {
        let trained = try Self.trainedSigmas(of: configuration)
        if let outside = times.first(where: { !trained.indices.contains($0) }) {
            throw .timestepOutOfRange(outside, trainTimesteps: trained.count)
        }
        let spacing = try configuration.named(
            configuration.timestepSpacing, field: "timestep_spacing",
            default: TimestepSpacing.linspace)
        try self.init(
            configuration, times: times.map { Float($0) }, sigmas: times.map { trained[$0] } + [0],
            spacing: spacing)
    }

    /// `sigmas` has the one after the last, too.
    private init(
        _ configuration: SchedulerConfiguration, times: [Float], sigmas: [Float],
        spacing: TimestepSpacing
    ) throws(SamplingError) {
        self.sigmas = sigmas
        predictionType = try configuration.prediction()
        timesteps = zip(times, sigmas).map { Timestep(value: Double($0), sigma: Double($1)) }
        let largest = sigmas.reduce(0, max)
        initialNoiseSigma = Double(
            spacing == .leading ? (largest * largest + 1).squareRoot() : largest)
    }

    package func sigma(after step: StepIndex) -> Double { Double(sigmas[step.value + 1]) }

    package func scaledModelInput(_ sample: Latent, at step: StepIndex) -> Latent {
        let sigma = sigmas[step.value]
        let divisor = (sigma * sigma + 1).squareRoot()
        return sample.mapValues { $0 / divisor }
    }

    package mutating func step(
        prediction: Latent, sample: Latent, at step: StepIndex
    ) -> Latent {
        let mixture = mixture(at: step)
        let change = sigmas[step.value + 1] - mixture.sigma
        return sample.combined(with: prediction) { state, output in
            state + (state - mixture.clean(of: state, by: output)) / mixture.sigma * change
        }
    }

    package func noised(_ clean: Latent, with noise: Latent, at step: StepIndex) -> Latent {
        let sigma = sigmas[step.value]
        return clean.combined(with: noise) { $0 + sigma * $1 }
    }

    package func clean(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: prediction) { mixture.clean(of: $0, by: $1) }
    }

    package func noise(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: prediction) { mixture.noise(of: $0, by: $1) }
    }

    package func clean(under noise: Latent, sample: Latent, at step: StepIndex) -> Latent {
        let sigma = sigmas[step.value]
        return sample.combined(with: noise) { $0 - sigma * $1 }
    }

    package func prediction(
        meaning clean: Latent, sample: Latent, at step: StepIndex
    ) -> Latent {
        let mixture = mixture(at: step)
        return sample.combined(with: clean) { mixture.prediction(meaning: $1, of: $0) }
    }

    private func mixture(at step: StepIndex) -> Mixture {
        Mixture(sigma: sigmas[step.value], kind: predictionType)
    }

    /// x = x₀ + σ·noise, and what a prediction says of its parts.
    private struct Mixture {
        /// Never 0: only the level after the last step is.
        let sigma: Float
        let kind: PredictionType
        private let variance: Float
        private let outputWeight: Float

        init(sigma: Float, kind: PredictionType) {
            self.sigma = sigma
            self.kind = kind
            variance = sigma * sigma + 1
            outputWeight = -sigma / variance.squareRoot()
        }

        func clean(of state: Float, by output: Float) -> Float {
            switch kind {
            case .epsilon: state - sigma * output
            case .vPrediction: output * outputWeight + state / variance
            case .sample: output
            }
        }

        /// As sums: σ may be small, and the difference of state and clean sample then is, too.
        func noise(of state: Float, by output: Float) -> Float {
            switch kind {
            case .epsilon: output
            case .vPrediction:
                (output + state * sigma / variance.squareRoot()) / variance.squareRoot()
            case .sample: (state - output) / sigma
            }
        }

        func prediction(meaning clean: Float, of state: Float) -> Float {
            switch kind {
            case .epsilon: (state - clean) / sigma
            case .vPrediction: (clean - state / variance) / outputWeight
            case .sample: clean
            }
        }
    }

    /// σ of every training timestep.
    private static func trainedSigmas(
        of configuration: SchedulerConfiguration
    ) throws(SamplingError) -> [Float] {
        try refuseUnsupported(configuration)
        var signals = try configuration.noiseSchedule().cumulativeAlphas
        if configuration.rescaleBetasZeroSNR ?? false {
            // The smallest float16 above 0 instead of 0 keeps the first σ finite.
            signals[signals.count - 1] = 0x1p-24
        }
        return signals.map(NoiseSchedule.sigma(cumulativeAlpha:))
    }

    private static func refuseUnsupported(
        _ configuration: SchedulerConfiguration
    ) throws(SamplingError) {
        let advice = "choose --scheduler ddim, which knows no such spacing"
        try configuration.refuse(
            configuration.useKarrasSigmas, field: "use_karras_sigmas", advice: advice)
        try configuration.refuse(
            configuration.useExponentialSigmas, field: "use_exponential_sigmas", advice: advice)
        try configuration.refuse(
            configuration.useBetaSigmas, field: "use_beta_sigmas", advice: advice)
    }

    /// σ at a fractional training timestep, clamped to the schedule's ends, computed in float64.
    private static func interpolated(_ trained: [Float], at timestep: Double) -> Float {
        guard timestep > 0 else { return trained[0] }
        guard timestep < Double(trained.count - 1) else { return trained[trained.count - 1] }
        let lower = Int(timestep)
        let (low, high) = (Double(trained[lower]), Double(trained[lower + 1]))
        return Float(low + (high - low) * (timestep - Double(lower)))
    }

    /// `steps` values out of `steps + 1`, evenly spaced in log σ from the largest down; diffusers
    /// keeps the smallest as one more σ that the final one is appended to.
    private static func logLinear(_ trained: [Float], steps: Int) -> [Float] {
        let largest = Float(Elementary.logarithm(Double(trained[trained.count - 1])))
        let smallest = Float(Elementary.logarithm(Double(trained[0])))
        return NoiseSchedule.evenlySpaced(
            from: Double(largest), to: Double(smallest), count: steps + 1
        ).map { Float(Elementary.exponential(Double($0))) }
    }
}
