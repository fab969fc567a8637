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
        try schedule(length: length, steps: length - (count ?? length)..<length)
    }

    /// Steps at `count` timesteps of the training schedule, evenly from `start` down to `end`, both
    /// included and rounded down; behind the last no noise is left. Throws
    /// ``PlanningError/unsampled(_:)`` when there are not so many.
    package func schedule(
        from start: Int, to end: Int, count: Int
    ) throws(PlanningError) -> PhaseSchedule {
        guard (1...max(1, start - end + 1)).contains(count) else {
            throw .unsampled(.invalidStepCount(count, limit: start - end + 1))
        }
        let gaps = max(1, count - 1)
        let times = (0..<count).map { (start * gaps - (start - end) * $0) / gaps }
        do {
            let scheduler = try Schedulers.entry(named: name, configuration: configuration)
                .makeScheduler(configuration: configuration, timesteps: .listed(times))
            return PhaseSchedule(name: name, scheduler: scheduler, steps: 0..<count)
        } catch {
            throw .unsampled(error)
        }
    }

    /// The training schedule. Throws ``PlanningError/unsampled(_:)``.
    package func noiseSchedule() throws(PlanningError) -> NoiseSchedule {
        do { return try configuration.noiseSchedule() } catch { throw .unsampled(error) }
    }

    /// Some steps of a schedule of `length`: see ``PhaseSchedule``. Throws
    /// ``PlanningError/unsampled(_:)`` when there is no such schedule.
    package func schedule(
        length: Int, steps: Range<Int>, inverted: Bool = false
    ) throws(PlanningError) -> PhaseSchedule {
        do {
            let scheduler = try Schedulers.entry(named: name, configuration: configuration)
                .makeScheduler(configuration: configuration, steps: length)
            return PhaseSchedule(
                name: name, scheduler: scheduler, steps: steps, inverted: inverted)
        } catch {
            throw .unsampled(error)
        }
    }
}

/// The timesteps of a phase: a schedule, or a part of it. A phase that begins in its middle starts
/// from a picture under a little noise ("SDEdit", Meng et al. 2021, arXiv 2108.01073, algorithm 1);
/// one that ends before it does leaves the clean x̂₀ that its last prediction means, for another to
/// go on with (MegaFusion, arXiv 2408.11001).
///
/// One that begins with an inversion starts from a clean canvas and no noise: its first step asks for
/// the noise at the schedule's last timestep and goes up, to where the other steps begin (the
/// inversion of DDIM, arXiv 2010.02502, section 4.3, in a single step, as PixelRush, arXiv 2602.12769,
/// has it).
package struct PhaseSchedule: Sendable {
    /// The scheduler's registered name.
    package let name: String
    /// Noisiest first, behind that of the inversion; never empty.
    package let timesteps: [Timestep]
    /// The noise level that each step arrives at.
    package let arrivals: [Double]
    /// Position of the first one in the scheduler's own schedule.
    package let first: Int
    /// Whether its first step goes up from a clean canvas.
    package let beginsWithInversion: Bool

    private let scheduler: any Scheduler

    /// Some steps of a scheduler, at least one; behind an inversion to the first of them.
    package init(
        name: String, scheduler: any Scheduler, steps: Range<Int>, inverted: Bool = false
    ) {
        precondition(
            !steps.isEmpty && steps.clamped(to: scheduler.timesteps.indices) == steps,
            "a phase takes some of the steps")
        self.name = name
        self.scheduler = scheduler
        first = steps.lowerBound
        beginsWithInversion = inverted
        let begun = scheduler.timesteps[steps.lowerBound]
        timesteps =
            (inverted ? scheduler.timesteps.suffix(1) : []) + scheduler.timesteps[steps]
        let isCut = steps.upperBound < scheduler.timesteps.count
        arrivals =
            (inverted ? [begun.sigma] : [])
            + steps.map { step in
                isCut && step == steps.upperBound - 1
                    ? 0 : scheduler.sigma(after: StepIndex(step))
            }
    }

    /// Number of steps.
    package var count: Int { timesteps.count }

    /// Length of the schedule that this is a part of.
    package var length: Int { scheduler.timesteps.count }

    /// Whether it ends before the schedule does.
    package var isCut: Bool { first + count - (beginsWithInversion ? 1 : 0) < length }

    /// Where a step of the phase stands in the scheduler's own schedule.
    private func index(_ step: Int) -> StepIndex {
        guard beginsWithInversion else { return StepIndex(first + step) }
        return StepIndex(step == 0 ? length - 1 : first + step - 1)
    }

    /// What the network predicts.
    package var predictionType: PredictionType { scheduler.predictionType }

    /// What unit noise is multiplied by before the first step of the whole schedule.
    package var initialNoiseSigma: Double { scheduler.initialNoiseSigma }
}

// Steps are counted within the phase here.
extension PhaseSchedule {
    /// See ``Scheduler/scaledModelInput(_:at:)``.
    package func scaledModelInput(_ sample: Latent, at step: Int) -> Latent {
        scheduler.scaledModelInput(sample, at: index(step))
    }

    /// See ``Scheduler/step(prediction:sample:at:)``; to x̂₀ at the end of a schedule that is cut, and
    /// up to the next step's level in an inversion.
    package func step(prediction: Latent, sample: Latent, at step: Int) -> Latent {
        if beginsWithInversion, step == 0 {
            let clean = clean(prediction: prediction, sample: sample, at: 0)
            return noised(
                clean, with: noise(prediction: prediction, sample: sample, at: 0), at: 1)
        }
        if isCut, step == count - 1 {
            return clean(prediction: prediction, sample: sample, at: step)
        }
        var scheduler = scheduler
        return scheduler.step(prediction: prediction, sample: sample, at: index(step))
    }

    /// See ``Scheduler/noised(_:with:at:)``.
    package func noised(_ clean: Latent, with noise: Latent, at step: Int) -> Latent {
        scheduler.noised(clean, with: noise, at: index(step))
    }

    /// See ``Scheduler/clean(prediction:sample:at:)``.
    package func clean(prediction: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.clean(prediction: prediction, sample: sample, at: index(step))
    }

    /// See ``Scheduler/noise(prediction:sample:at:)``.
    package func noise(prediction: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.noise(prediction: prediction, sample: sample, at: index(step))
    }

    /// See ``Scheduler/clean(under:sample:at:)``.
    package func clean(under noise: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.clean(under: noise, sample: sample, at: index(step))
    }

    /// See ``Scheduler/prediction(meaning:sample:at:)``.
    package func prediction(meaning clean: Latent, sample: Latent, at step: Int) -> Latent {
        scheduler.prediction(meaning: clean, sample: sample, at: index(step))
    }
}

extension PhaseSchedule: Equatable {
    /// By the numbers: what makes them is the same where they are.
    package static func == (one: PhaseSchedule, other: PhaseSchedule) -> Bool {
        one.name == other.name && one.first == other.first && one.length == other.length
            && one.beginsWithInversion == other.beginsWithInversion
            && one.timesteps == other.timesteps && one.arrivals == other.arrivals
            && one.predictionType == other.predictionType
            && one.initialNoiseSigma == other.initialNoiseSigma
    }
}
