package import Sampling

/// A number that may change from step to step: how much an operation or a group counts.
package enum StepWeight: Hashable, Sendable {
    case constant(Double)
    /// `to` + (`from` − `to`) · cᵖ with c = ½(1 + cos(π(N − t)/N)), t being the timestep out of N:
    /// from 1 at pure noise to 0 at the end (the factors of DemoFusion, arXiv 2311.16973). The power
    /// p is positive.
    case cosine(from: Double, to: Double, power: Double)
    /// (1−ᾱ) / (1−ᾱ₁), ᾱ₁ being the phase's first: the share of noise that is left (ScaleDiff's
    /// structure guidance, arXiv 2510.25818).
    case remainingNoise

    /// What always counts in full.
    package static let one = StepWeight.constant(1)

    /// Its value in a step.
    package func value(at place: StepPlace) -> Double {
        switch self {
        case .constant(let value): value
        case .cosine(let from, let to, let power):
            to + (from - to) * Self.raised(place.cosine, to: power)
        case .remainingNoise: place.timestep.noiseVariance / place.first.noiseVariance
        }
    }

    private static func raised(_ base: Double, to power: Double) -> Double {
        power == 1 ? base : Elementary.exponential(power * Elementary.logarithm(base))
    }
}

extension StepWeight: CustomStringConvertible {
    /// A few words, or the number.
    package var description: String {
        switch self {
        case .constant(let value): "\(value)"
        case .cosine(let from, let to, let power):
            "\(from)…\(to) by a cosine" + (power == 1 ? "" : " to the power of \(power)")
        case .remainingNoise: "the share of noise that is left"
        }
    }
}

/// Where a step stands in its phase: what weights depend on.
package struct StepPlace: Hashable, Sendable {
    package let timestep: Timestep
    /// The phase's first.
    package let first: Timestep
    /// Of the model's schedule.
    package let trainTimesteps: Int

    /// ½(1 + cos(π(N − t)/N)), in 0 ... 1.
    fileprivate var cosine: Double {
        let count = Double(trainTimesteps)
        return (1 + Elementary.sineAndCosine(.pi * (count - timestep.value) / count).cosine) / 2
    }
}

extension Timestep {
    /// 1−ᾱ, the share of noise in the variance; 1 where σ is infinite.
    fileprivate var noiseVariance: Double {
        let variance = sigma * sigma
        return variance.isFinite ? variance / (1 + variance) : 1
    }
}
