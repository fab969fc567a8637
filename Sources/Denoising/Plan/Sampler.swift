package import Sampling
package import Tensors

/// What a picture is sampled with: a scheduler's name and the model's configuration of it, from
/// which schedules of any number of steps are made.
package struct Sampler: Equatable, Sendable {
    /// A name out of ``Schedulers``.
    package let name: String
    package let configuration: SchedulerConfiguration

    package init(name: String, configuration: SchedulerConfiguration) {
        self.name = name
        self.configuration = configuration
    }

    /// Timesteps of the model's own schedule.
    package var trainTimesteps: Int { configuration.trainTimesteps ?? 1000 }

    /// The last `count` steps of a schedule of `length`; all of them when nil. Throws
    /// ``PlanningError/unsampled(_:)`` when there is no such schedule.
    package func schedule(
        length: Int, last count: Int? = nil
    ) throws(PlanningError) -> PhaseSchedule {
        do {
            let scheduler = try Schedulers.entry(named: name, configuration: configuration)
                .makeScheduler(configuration: configuration, steps: length)
            return PhaseSchedule(name: name, scheduler: scheduler, last: count ?? length)
        } catch {
            throw .unsampled(error)
        }
    }
}

/// The timesteps of a phase: a schedule, or its last part for a phase that starts from a picture
/// under a little noise ("SDEdit", Meng et al. 2021, arXiv 2108.01073, algorithm 1).
package struct PhaseSchedule: Sendable {
    /// The scheduler's registered name.
    package let name: String
    /// Noisiest first; never empty.
    package let timesteps: [Timestep]
    /// The noise level that each step arrives at.
    package let arrivals: [Double]
    /// Position of the first one in the scheduler's own schedule.
    package let first: Int

    private let scheduler: any Scheduler

    /// The last `count` steps of a scheduler, at most all of them and at least one.
    package init(name: String, scheduler: any Scheduler, last count: Int) {
        precondition(
            (1...scheduler.timesteps.count).contains(count), "a phase takes some of the steps")
        self.name = name
        self.scheduler = scheduler
        first = scheduler.timesteps.count - count
        timesteps = Array(scheduler.timesteps.dropFirst(first))
        arrivals = (first..<first + count).map { scheduler.sigma(after: StepIndex($0)) }
    }

    /// Number of steps.
    package var count: Int { timesteps.count }

    /// Length of the schedule that this is the end of.
    package var length: Int { first + count }

    /// What the network predicts.
    package var predictionType: PredictionType { scheduler.predictionType }

    /// What unit noise is multiplied by before the first step of the whole schedule.
    package var initialNoiseSigma: Double { scheduler.initialNoiseSigma }
}

// Steps are counted within the phase here.
extension PhaseSchedule {
    /// See ``Scheduler/scaledModelInput(_:at:)``.
    package func scaledModelInput(_ sample: Latent, at step: Int) -> Latent {
        scheduler.scaledModelInput(sample, at: StepIndex(first + step))
    }

    /// See ``Scheduler/step(prediction:sample:at:)``.
    package func step(prediction: Latent, sample: Latent, at step: Int) -> Latent {
        var scheduler = scheduler
        return scheduler.step(prediction: prediction, sample: sample, at: StepIndex(first + step))
    }

    /// See ``Scheduler/noised(_:with:at:)``.
    package func noised(_ clean: Latent, with noise: Latent, at step: Int) -> Latent {
        scheduler.noised(clean, with: noise, at: StepIndex(first + step))
    }

    /// See ``Scheduler/clean(prediction:sample:at:)``.
    package func clean(prediction: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.clean(prediction: prediction, sample: sample, at: StepIndex(first + step))
    }

    /// See ``Scheduler/prediction(meaning:sample:at:)``.
    package func prediction(meaning clean: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.prediction(meaning: clean, sample: sample, at: StepIndex(first + step))
    }
}

extension PhaseSchedule: Equatable {
    /// By the numbers: what makes them is the same where they are.
    package static func == (one: PhaseSchedule, other: PhaseSchedule) -> Bool {
        one.name == other.name && one.first == other.first
            && one.timesteps == other.timesteps && one.arrivals == other.arrivals
            && one.predictionType == other.predictionType
            && one.initialNoiseSigma == other.initialNoiseSigma
    }
}
