package import Sampling
package import Tensors

/// Why a run could not go on.
package enum DenoisingError: Error, Equatable, CustomStringConvertible {
    /// An answer does not fit its task.
    case unsuitableAnswer(step: Int, task: Int, reason: String)
    /// The executor returned before every task was answered.
    case unanswered(step: Int, missing: Int)
    /// The prediction, or the latent after the last step, holds an infinity or a NaN.
    case notFinite(step: Int)

    package var description: String {
        switch self {
        case .unsuitableAnswer(let step, let task, let reason):
            "step \(step), task \(task): \(reason)"
        case .unanswered(let step, let missing):
            "step \(step) ended with \(missing) tasks unanswered"
        case .notFinite(let step):
            "step \(step): the network's prediction, or the latent that it leads to, is not a "
                + "finite number; in half precision this is an overflow, otherwise the weights are "
                + "damaged"
        }
    }
}

/// Runs a plan: scale, gather, predict, merge, step.
///
/// The state and the solver live here; executors only ever answer what noise is in a view. The
/// order of their answers changes nothing: they are merged in view order, and the scheduler steps
/// once per timestep on the whole canvas.
package struct DenoisingLoop: Sendable {
    package let plan: DenoisingPlan
    package let conditioning: Conditioning
    private let scheduler: any Scheduler

    /// Traps when the scheduler's steps are not the plan's.
    package init(plan: DenoisingPlan, scheduler: any Scheduler, conditioning: Conditioning) {
        precondition(
            scheduler.timesteps == plan.request.schedule.timesteps,
            "a plan runs with the scheduler it was made for")
        self.plan = plan
        self.scheduler = scheduler
        self.conditioning = conditioning
    }

    /// The state before the first step. `noise` has unit variance and the extents of the latent,
    /// channels × height × width. Where the canvas is larger, the noise begins again from the
    /// opposite side, so that anyone who has the latent has the canvas; what was added is cropped
    /// in the end.
    package func initialState(noise: Latent) -> DenoisingState {
        precondition(
            noise.height == plan.latent.height && noise.width == plan.latent.width
                && noise.channels == plan.request.model.channels,
            "initial noise has the extents of the latent")
        let sigma = Float(scheduler.initialNoiseSigma)
        var canvas = Latent(
            zeros: noise.channels, height: plan.canvas.height, width: plan.canvas.width)
        for channel in 0..<canvas.channels {
            for y in 0..<canvas.height {
                let source = (channel * noise.height + y % noise.height) * noise.width
                let target = (channel * canvas.height + y) * canvas.width
                for x in 0..<canvas.width {
                    canvas.values[target + x] = noise.values[source + x % noise.width] * sigma
                }
            }
        }
        return DenoisingState(canvas: canvas, nextStep: 0)
    }

    /// Runs the remaining steps and returns the finished latent, cut from the canvas.
    ///
    /// `onTask` hears that one more of a step's tasks has been merged, and gets the state, which
    /// it should not hold on to for long: the sum is copied with the next task then. `onStep` gets
    /// the state after every step. Tasks that `start` holds merged are not asked again. Throws
    /// ``DenoisingError`` and whatever the executor and the hooks throw.
    ///
    /// Traps when `start` is no state of this plan: see ``isStart(_:)``.
    package func run(
        from start: DenoisingState,
        with executor: some TaskExecutor,
        onTask: (_ step: StepPlan, DenoisingState) async throws -> Void = { _, _ in },
        onStep: (DenoisingState) async throws -> Void = { _ in }
    ) async throws -> Latent {
        precondition(isStart(start), "a state of the plan")
        var state = start
        var scheduler = scheduler
        while state.nextStep < plan.stepCount {
            let step = plan.step(at: state.nextStep)
            let prediction = try await prediction(
                of: state, at: step, scheduler: scheduler, with: executor, onTask: onTask)
            state.underWay = nil
            state.canvas = scheduler.step(
                prediction: prediction, sample: state.canvas, at: step.index)
            state.nextStep += 1
            try await onStep(state)
        }
        // The next step's prediction would have shown it; after the last one it would be blamed on
        // the autoencoder.
        guard state.canvas.values.allSatisfy(\.isFinite) else {
            throw DenoisingError.notFinite(step: plan.stepCount - 1)
        }
        return plan.cropped(state.canvas)
    }

    /// Whether a run of this plan can go on from there.
    package func isStart(_ state: DenoisingState) -> Bool {
        guard (0...plan.stepCount).contains(state.nextStep),
            Extent(height: state.canvas.height, width: state.canvas.width) == plan.canvas,
            state.canvas.channels == plan.request.model.channels
        else { return false }
        guard let underWay = state.underWay else { return true }
        return state.nextStep < plan.stepCount
            && (1..<plan.step(at: state.nextStep).taskCount).contains(underWay.mergedTasks)
            && underWay.sum.hasSameExtents(as: state.canvas)
    }

    /// The merged prediction for the whole canvas.
    private func prediction(
        of state: DenoisingState,
        at step: StepPlan,
        scheduler: any Scheduler,
        with executor: some TaskExecutor,
        onTask: (_ step: StepPlan, DenoisingState) async throws -> Void
    ) async throws -> Latent {
        let table = plan.interactionTable(at: step.index.value)
        let input = scheduler.scaledModelInput(state.canvas, at: step.index)
        let items = Self.tasks(of: step, from: input, through: table).map { WorkItem.denoise($0) }

        var merged = accumulator(of: state, at: step, through: table)
        var buffer = ReorderBuffer<[Latent]>(from: state.mergedTasks)
        let open = Array(items[state.mergedTasks...])
        try await executor.execute(open, conditioning: conditioning) { index, answer in
            let predictions = try Self.checked(answer, task: index, of: step, items: items)
            for (task, predictions) in buffer.insert(predictions, at: index) {
                let first = task * plan.request.viewsPerTask
                for (offset, prediction) in predictions.enumerated() {
                    let planned = step.views[first + offset]
                    merged.add(
                        prediction, through: planned.view, weight: planned.weight,
                        feather: planned.feather, table: table)
                }
                try await onTask(
                    step,
                    DenoisingState(
                        canvas: state.canvas, nextStep: state.nextStep,
                        underWay: PartialStep(mergedTasks: task + 1, sum: merged.sum)))
            }
        }
        guard buffer.next == items.count else {
            throw DenoisingError.unanswered(
                step: step.index.value, missing: items.count - buffer.next)
        }
        let prediction = merged.average()
        guard prediction.values.allSatisfy(\.isFinite) else {
            throw DenoisingError.notFinite(step: step.index.value)
        }
        return prediction
    }

    /// With what is merged already.
    private func accumulator(
        of state: DenoisingState, at step: StepPlan, through table: InteractionTable?
    ) -> OverlapAccumulator {
        guard let underWay = state.underWay else {
            return OverlapAccumulator(channels: state.canvas.channels, extent: plan.canvas)
        }
        var merged = OverlapAccumulator(sum: underWay.sum)
        for planned in step.views.prefix(underWay.mergedTasks * plan.request.viewsPerTask) {
            merged.count(
                planned.view, weight: planned.weight, feather: planned.feather, table: table)
        }
        return merged
    }

    /// The tasks of a step: views gathered from the scaled canvas, grouped as the plan says.
    package static func tasks(
        of step: StepPlan, from input: Latent, through table: InteractionTable?
    ) -> [DenoiseTask] {
        var groups: [[ViewInput]] = Array(repeating: [], count: step.taskCount)
        for planned in step.views {
            groups[planned.task].append(
                ViewInput(
                    sample: planned.view.gather(from: input, through: table),
                    microConditioning: planned.microConditioning))
        }
        return groups.enumerated().map { number, views in
            DenoiseTask(
                index: number,
                step: step.index.value,
                timestep: step.timestep.value,
                guidanceScale: step.guidanceScale,
                guidanceRescale: step.guidanceRescale,
                views: views
            )
        }
    }

    private static func checked(
        _ answer: WorkAnswer, task: Int, of step: StepPlan, items: [WorkItem]
    ) throws -> [Latent] {
        func unsuitable(_ reason: String) -> DenoisingError {
            .unsuitableAnswer(step: step.index.value, task: task, reason: reason)
        }
        guard items.indices.contains(task), case .denoise(let asked) = items[task] else {
            throw unsuitable("there is no such task; the step has \(items.count)")
        }
        guard case .denoise(let predictions) = answer else {
            throw unsuitable("expected predictions, got a picture")
        }
        guard predictions.count == asked.views.count else {
            throw unsuitable(
                "expected \(asked.views.count) predictions, got \(predictions.count)")
        }
        for (view, prediction) in zip(asked.views, predictions)
        where !prediction.hasSameExtents(as: view.sample) {
            throw unsuitable(
                "expected a prediction of \(view.sample.shape), got \(prediction.shape)")
        }
        return predictions
    }
}
