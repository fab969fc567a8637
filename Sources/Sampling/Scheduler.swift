package import Tensors

/// Position in the list of sampling steps, 0 ..< count; never a training timestep.
package struct StepIndex: Hashable, Comparable, Sendable {
    package let value: Int
    package init(_ value: Int) { self.value = value }
    package static func < (lhs: StepIndex, rhs: StepIndex) -> Bool { lhs.value < rhs.value }
}

/// One entry of a sampling schedule.
package struct Timestep: Hashable, Sendable {
    /// What the network is told: position on the training schedule, 0 ..< trainTimesteps.
    /// Fractional only for schedules that interpolate (Euler with linspace spacing).
    package let value: Double

    /// Noise level √((1−ᾱ)/ᾱ) at `value`; infinite where ᾱ is 0 (zero terminal SNR under DDIM).
    package let sigma: Double

    package init(value: Double, sigma: Double) {
        self.value = value
        self.sigma = sigma
    }
}

/// What the network was trained to predict.
package enum PredictionType: String, Codable, Hashable, Sendable, CaseIterable {
    /// The noise ε.
    case epsilon
    /// v = √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans & Ho 2022, arXiv 2202.00512).
    case vPrediction = "v_prediction"
    /// The clean sample x₀.
    case sample
}

/// A sampler: turns predictions into the next, less noisy latent. One algorithm, one file.
///
/// Stateless lookups by step index, so nothing depends on how often or in which order a step's
/// windows were evaluated. A scheduler steps once per timestep, on the whole latent.
package protocol Scheduler: Sendable {
    /// The sampling steps, noisiest first.
    var timesteps: [Timestep] { get }

    /// What unit-variance noise is multiplied by before the first step.
    var initialNoiseSigma: Double { get }

    /// What `prediction` is in ``step(prediction:sample:at:)``.
    var predictionType: PredictionType { get }

    /// The noise level that the step arrives at: 0 at the end of most schedules. Not always the
    /// next entry's: DDIM walks down by a fixed number of training timesteps.
    func sigma(after step: StepIndex) -> Double

    /// What the network wants to see at this step for the given state.
    func scaledModelInput(_ sample: Latent, at step: StepIndex) -> Latent

    /// The state after this step. `prediction` is the guided network output for the whole
    /// latent, of the model's prediction type. Affine in `prediction`.
    mutating func step(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent

    /// The state at this step of a clean sample x₀ under unit-variance noise.
    func noised(_ clean: Latent, with noise: Latent, at step: StepIndex) -> Latent

    /// The clean sample x̂₀ that `prediction` means for this state.
    func clean(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent

    /// The unit-variance noise that `prediction` means for this state.
    func noise(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent

    /// The clean sample that is left when unit-variance noise is taken from this state: undoes
    /// ``noised(_:with:at:)``. Not at zero terminal SNR, where nothing is left.
    func clean(under noise: Latent, sample: Latent, at step: StepIndex) -> Latent

    /// The prediction that means the clean sample `clean` for this state: undoes
    /// ``clean(prediction:sample:at:)``.
    func prediction(meaning clean: Latent, sample: Latent, at step: StepIndex) -> Latent
}
