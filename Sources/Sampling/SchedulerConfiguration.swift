/// How the noise variances grow over the training schedule.
package enum BetaSchedule: String, Codable, Hashable, Sendable, CaseIterable {
    /// β rises linearly (Ho et al. 2020, arXiv 2006.11239).
    case linear
    /// √β rises linearly (latent diffusion, arXiv 2112.10752).
    case scaledLinear = "scaled_linear"
    /// ᾱ follows a squared cosine (Nichol & Dhariwal 2021, arXiv 2102.09672), β at most 0.999.
    case squaredCosine = "squaredcos_cap_v2"
}

/// How sampling steps are laid over the training schedule (arXiv 2305.08891, table 2).
package enum TimestepSpacing: String, Codable, Hashable, Sendable, CaseIterable {
    case leading
    case linspace
    case trailing
}

/// How Euler reads σ between training timesteps.
package enum SigmaInterpolation: String, Codable, Hashable, Sendable, CaseIterable {
    case linear
    case logLinear = "log_linear"
}

/// The σ that Euler's last step arrives at.
package enum FinalSigma: String, Codable, Hashable, Sendable, CaseIterable {
    case zero
    case smallest = "sigma_min"
}

/// What a model's `scheduler/scheduler_config.json` says.
///
/// Every field is optional: an absent field takes the default of the scheduler *class* that is
/// made from it, and those differ (spacing is "linspace" for Euler and "leading" for DDIM), so
/// asking for Euler on a DDIM model equals `EulerDiscreteScheduler.from_config(ddim.config)` of
/// diffusers 0.42.1: written fields carry over, the others fall back to Euler's own defaults.
/// Names and defaults follow diffusers; fields that no supported class reads are ignored.
package struct SchedulerConfiguration: Codable, Equatable, Sendable {
    /// The diffusers class, "EulerDiscreteScheduler" or another.
    package var className: String?
    /// Length of the training schedule; 1000 by default.
    package var trainTimesteps: Int?
    /// 0.0001 by default.
    package var betaStart: Double?
    /// 0.02 by default.
    package var betaEnd: Double?
    /// A name out of ``BetaSchedule``; "linear" by default.
    package var betaSchedule: String?
    /// True when the file lists its own betas, which is not supported.
    package var hasTrainedBetas: Bool = false
    /// A field, with its value, that only schedules other than DDPM's have; nil without one.
    package var fieldOfOtherSchedule: String?
    /// A name out of ``PredictionType``; "epsilon" by default.
    package var predictionType: String?
    /// A name out of ``TimestepSpacing``.
    package var timestepSpacing: String?
    /// Added to "leading" timesteps; 0 by default.
    package var stepsOffset: Int?
    /// DDIM: the last step arrives at ᾱ = 1 rather than at ᾱ of training timestep 0; true by default.
    package var setAlphaToOne: Bool?
    /// Rescales the schedule to zero terminal SNR (arXiv 2305.08891, algorithm 1).
    package var rescaleBetasZeroSNR: Bool?
    /// DDIM: clip x₀ to ±1, unsupported (it is meant for pixels, not latents).
    package var clipSample: Bool?
    /// DDIM: dynamic thresholding, unsupported.
    package var thresholding: Bool?
    /// Euler: unsupported.
    package var useKarrasSigmas: Bool?
    /// Euler: unsupported.
    package var useExponentialSigmas: Bool?
    /// Euler: unsupported.
    package var useBetaSigmas: Bool?
    /// Euler: a name out of ``SigmaInterpolation``; "linear" by default.
    package var interpolationType: String?
    /// Euler: a name out of ``FinalSigma``; "zero" by default.
    package var finalSigmasType: String?
    /// "discrete" by default; "continuous" is of another schedule.
    package var timestepType: String?

    /// The class that the model's index names, where it names another.
    package var indexClassName: String?

    package init() {}

    enum CodingKeys: String, CodingKey {
        case className = "_class_name"
        case trainTimesteps = "num_train_timesteps"
        case betaStart = "beta_start"
        case betaEnd = "beta_end"
        case betaSchedule = "beta_schedule"
        case trainedBetas = "trained_betas"
        case predictionType = "prediction_type"
        case timestepSpacing = "timestep_spacing"
        case stepsOffset = "steps_offset"
        case setAlphaToOne = "set_alpha_to_one"
        case rescaleBetasZeroSNR = "rescale_betas_zero_snr"
        case clipSample = "clip_sample"
        case thresholding
        case useKarrasSigmas = "use_karras_sigmas"
        case useExponentialSigmas = "use_exponential_sigmas"
        case useBetaSigmas = "use_beta_sigmas"
        case interpolationType = "interpolation_type"
        case finalSigmasType = "final_sigmas_type"
        case timestepType = "timestep_type"
    }

    /// Fields that are null, or not there, in files of models on DDPM's schedule.
    private enum OtherKeys: String, CodingKey, CaseIterable {
        case sigmaData = "sigma_data"
        case sigmaMinimum = "sigma_min"
        case sigmaMaximum = "sigma_max"
        case shift
        case flowSigmas = "use_flow_sigmas"
    }

    private static func fieldOfOtherSchedule(in decoder: any Decoder) throws -> String? {
        let fields = try decoder.container(keyedBy: OtherKeys.self)
        for key in OtherKeys.allCases where key != .flowSigmas {
            guard fields.contains(key), try !fields.decodeNil(forKey: key) else { continue }
            let value = try? fields.decode(Double.self, forKey: key)
            return "\(key.rawValue)" + (value.map { " \($0)" } ?? "")
        }
        let isFlow = try fields.decodeIfPresent(Bool.self, forKey: .flowSigmas) ?? false
        return isFlow ? "use_flow_sigmas" : nil
    }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        className = try fields.decodeIfPresent(String.self, forKey: .className)
        trainTimesteps = try fields.decodeIfPresent(Int.self, forKey: .trainTimesteps)
        betaStart = try fields.decodeIfPresent(Double.self, forKey: .betaStart)
        betaEnd = try fields.decodeIfPresent(Double.self, forKey: .betaEnd)
        betaSchedule = try fields.decodeIfPresent(String.self, forKey: .betaSchedule)
        if fields.contains(.trainedBetas) {
            hasTrainedBetas = try !fields.decodeNil(forKey: .trainedBetas)
        }
        fieldOfOtherSchedule = try Self.fieldOfOtherSchedule(in: decoder)
        predictionType = try fields.decodeIfPresent(String.self, forKey: .predictionType)
        timestepSpacing = try fields.decodeIfPresent(String.self, forKey: .timestepSpacing)
        stepsOffset = try fields.decodeIfPresent(Int.self, forKey: .stepsOffset)
        setAlphaToOne = try fields.decodeIfPresent(Bool.self, forKey: .setAlphaToOne)
        rescaleBetasZeroSNR = try fields.decodeIfPresent(Bool.self, forKey: .rescaleBetasZeroSNR)
        clipSample = try fields.decodeIfPresent(Bool.self, forKey: .clipSample)
        thresholding = try fields.decodeIfPresent(Bool.self, forKey: .thresholding)
        useKarrasSigmas = try fields.decodeIfPresent(Bool.self, forKey: .useKarrasSigmas)
        useExponentialSigmas = try fields.decodeIfPresent(Bool.self, forKey: .useExponentialSigmas)
        useBetaSigmas = try fields.decodeIfPresent(Bool.self, forKey: .useBetaSigmas)
        interpolationType = try fields.decodeIfPresent(String.self, forKey: .interpolationType)
        finalSigmasType = try fields.decodeIfPresent(String.self, forKey: .finalSigmasType)
        timestepType = try fields.decodeIfPresent(String.self, forKey: .timestepType)
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encodeIfPresent(className, forKey: .className)
        try fields.encodeIfPresent(trainTimesteps, forKey: .trainTimesteps)
        try fields.encodeIfPresent(betaStart, forKey: .betaStart)
        try fields.encodeIfPresent(betaEnd, forKey: .betaEnd)
        try fields.encodeIfPresent(betaSchedule, forKey: .betaSchedule)
        try fields.encodeIfPresent(predictionType, forKey: .predictionType)
        try fields.encodeIfPresent(timestepSpacing, forKey: .timestepSpacing)
        try fields.encodeIfPresent(stepsOffset, forKey: .stepsOffset)
        try fields.encodeIfPresent(setAlphaToOne, forKey: .setAlphaToOne)
        try fields.encodeIfPresent(rescaleBetasZeroSNR, forKey: .rescaleBetasZeroSNR)
        try fields.encodeIfPresent(clipSample, forKey: .clipSample)
        try fields.encodeIfPresent(thresholding, forKey: .thresholding)
        try fields.encodeIfPresent(useKarrasSigmas, forKey: .useKarrasSigmas)
        try fields.encodeIfPresent(useExponentialSigmas, forKey: .useExponentialSigmas)
        try fields.encodeIfPresent(useBetaSigmas, forKey: .useBetaSigmas)
        try fields.encodeIfPresent(interpolationType, forKey: .interpolationType)
        try fields.encodeIfPresent(finalSigmasType, forKey: .finalSigmasType)
        try fields.encodeIfPresent(timestepType, forKey: .timestepType)
    }
}

extension SchedulerConfiguration {
    /// The default model of latent diffusion: √β linear from 0.00085 to 0.012 over 1000 timesteps.
    package static func latentDiffusion(className: String) -> SchedulerConfiguration {
        var configuration = SchedulerConfiguration()
        configuration.className = className
        configuration.trainTimesteps = 1000
        configuration.betaStart = 0.00085
        configuration.betaEnd = 0.012
        configuration.betaSchedule = BetaSchedule.scaledLinear.rawValue
        configuration.clipSample = false
        return configuration
    }

    /// The training schedule. Throws ``SamplingError`` on names that are unknown, ranges that
    /// make no schedule, and betas listed in the file.
    package func noiseSchedule() throws(SamplingError) -> NoiseSchedule {
        if hasTrainedBetas {
            throw .unsupportedField(
                "trained_betas", value: "a list",
                advice: "give beta_start, beta_end and beta_schedule instead"
            )
        }
        let count = trainTimesteps ?? 1000
        guard (2...100_000).contains(count) else {
            throw .invalidField(
                "num_train_timesteps", value: "\(count)", expected: "between 2 and 100000")
        }
        let start = betaStart ?? 0.0001
        let end = betaEnd ?? 0.02
        for (name, beta) in [("beta_start", start), ("beta_end", end)] {
            guard beta > 0, beta < 1 else {
                throw .invalidField(name, value: "\(beta)", expected: "between 0 and 1")
            }
        }
        let kind = try named(
            betaSchedule, field: "beta_schedule", default: BetaSchedule.linear)
        return NoiseSchedule(
            trainTimesteps: count,
            betaStart: start,
            betaEnd: end,
            betaSchedule: kind,
            zeroTerminalSNR: rescaleBetasZeroSNR ?? false
        )
    }

    /// What the network predicts. Throws on an unknown name.
    func prediction() throws(SamplingError) -> PredictionType {
        try named(predictionType, field: "prediction_type", default: .epsilon)
    }

    /// Throws an ``SamplingError/unsupportedField(_:value:advice:)`` when the flag is set.
    func refuse(_ flag: Bool?, field: String, advice: String) throws(SamplingError) {
        if flag == true { throw .unsupportedField(field, value: "true", advice: advice) }
    }

    /// Looks a name up among the cases of an enumeration.
    func named<Name: RawRepresentable & CaseIterable>(
        _ text: String?, field: String, default fallback: Name
    ) throws(SamplingError) -> Name where Name.RawValue == String {
        guard let text else { return fallback }
        guard let name = Name(rawValue: text) else {
            let known = Name.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidField(field, value: text, expected: "one of \(known)")
        }
        return name
    }
}
