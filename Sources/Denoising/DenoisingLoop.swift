internal import Sampling
package import Tensors

/// Why a run could not go on.
package enum DenoisingError: Error, Equatable, CustomStringConvertible {
    /// An answer does not fit its task.
    case unsuitableAnswer(step: Int, task: Int, reason: String)
    /// An answer does not fit its tile of a picture that is enlarged.
    case unsuitableTile(String)
    /// The autoencoder's answer for a tile of a picture that is enlarged is not finite; `reason`
    /// says who found it.
    case tileNotFinite(TilePlace, reason: String)
    /// The picture that the plan starts from has to be read and nobody said where it is.
    case pictureMissing
    /// The executor returned before every task was answered.
    case unanswered(step: Int, missing: Int)
    /// The prediction, or the latent after the last step, holds an infinity or a NaN.
    case notFinite(step: Int)

    package var description: String {
        switch self {
        case .unsuitableAnswer(let step, let task, let reason):
            "step \(step), task \(task): \(reason)"
        case .unsuitableTile(let reason):
            "while the picture was enlarged or encoded: \(reason)"
        case .tileNotFinite(let place, let reason):
            "while the picture was enlarged or encoded: " + place.sentence(reason)
        case .pictureMissing:
            "the picture that this run starts from is needed, for nothing made of it is kept yet"
        case .unanswered(let step, let missing):
            "step \(step) ended with \(missing) tasks unanswered"
        case .notFinite(let step):
            "step \(step): the network's prediction, or the latent that it leads to, is not a "
                + "finite number; in half precision this is an overflow, otherwise the weights are "
                + "damaged"
        }
    }
}

/// What a run tells on its way.
package enum DenoisingEvent: Sendable {
    /// One more of the step's tasks has been merged. The state should not be held for long: the
    /// sum is copied with the next task then.
    case merged(StepPlan, DenoisingState)
    /// A step is done.
    case advanced(DenoisingState)
    /// The canvas of a phase is made.
    case entered(DenoisingState)
    /// So many tiles were decoded and encoded for the canvas of a phase.
    case redrawn(phase: Int, done: Int, of: Int)
}

/// Runs a plan: enter a phase, then scale, gather, predict, merge, step.
///
/// The state and the solver live here; executors only ever answer what noise is in a view. The
/// order of their answers changes nothing: they are merged in view order, and the scheduler steps
/// once per timestep on the whole canvas.
package struct DenoisingLoop: Sendable {
    package let plan: DenoisingPlan
    /// By number; those that the plan's tasks name are all there.
    package let conditionings: [Conditioning]
    private let openPicture: OpenPicture?

    /// `conditionings` are the prompt's, number 0, and those of the request's regions. `openPicture`
    /// opens the picture that the plan starts from, where it does; a run that goes on from a later
    /// state needs none. Traps when there are not as many conditionings as the plan has prompts.
    package init(
        plan: DenoisingPlan, conditionings: [Conditioning], openPicture: OpenPicture? = nil
    ) {
        precondition(
            conditionings.count == plan.promptCount, "every prompt of a plan has its conditioning")
        self.plan = plan
        self.conditionings = conditionings
        self.openPicture = openPicture
    }

    /// The state before the first step, or before the picture that the plan starts from is
    /// encoded. `noise` has unit variance and the extents of the first phase's latent. Where the
    /// canvas is larger, the noise begins again from the opposite side; what was added is cropped
    /// in the end.
    package func initialState(noise: Latent) -> DenoisingState {
        precondition(
            noise.extent == plan.noise && noise.channels == plan.request.model.channels,
            "initial noise has the extents of the first latent")
        guard plan.request.image == nil else {
            return DenoisingState(
                phase: DenoisingState.beforeFirst, canvas: noise, nextStep: 0)
        }
        let phase = plan.phases[0]
        let sigma = Float(phase.schedule.initialNoiseSigma)
        return DenoisingState(
            canvas: noise.padded(to: phase.canvas).mapValues { $0 * sigma }, nextStep: 0)
    }

    /// Runs what remains and returns the finished latent, cut from the last canvas.
    ///
    /// Tasks that `start` holds merged are not asked again. Throws ``DenoisingError`` and whatever
    /// the executor and the hook throw. Traps when `start` is no state of this plan: see
    /// ``isStart(_:)``.
    package func run(
        from start: DenoisingState,
        with executor: some TaskExecutor,
        onEvent: (DenoisingEvent) async throws -> Void = { _ in }
    ) async throws -> Latent {
        precondition(isStart(start), "a state of the plan")
        var state = start
        while state.nextStep < plan.stepCount {
            let phase = plan.phase(ofStep: state.nextStep)
            if state.phase == phase {
                try await advance(&state, with: executor, onEvent: onEvent)
                try await onEvent(.advanced(state))
            } else {
                let entry = CanvasEntry(plan: plan, phase: phase, openPicture: openPicture)
                state = try await entry.state(
                    after: state, with: executor, conditionings: conditionings,
                    onTile: { try await onEvent(.redrawn(phase: phase, done: $0, of: $1)) })
                try await onEvent(.entered(state))
            }
        }
        // The next step's prediction would have shown it; after the last one it would be blamed on
        // the autoencoder.
        guard state.canvas.values.allSatisfy(\.isFinite) else {
            throw DenoisingError.notFinite(step: plan.stepCount - 1)
        }
        return state.canvas.cropped(to: plan.latent)
    }

    /// Takes one step.
    private func advance(
        _ state: inout DenoisingState,
        with executor: some TaskExecutor,
        onEvent: (DenoisingEvent) async throws -> Void
    ) async throws {
        let step = plan.step(at: state.nextStep)
        let schedule = plan.phases[state.phase].schedule
        let canvas = StepCanvas(plan: plan, phase: state.phase)
        if state.underWay == nil {
            state.canvas = canvas.begun(state.canvas, step, kept: state.kept)
        }
        var prediction = try await prediction(
            of: state, at: step, with: executor, onEvent: onEvent)
        state.underWay = nil
        for operation in step.after {
            canvas.change(&prediction, by: operation, of: state, at: step)
        }
        state.canvas = schedule.step(
            prediction: prediction, sample: state.canvas, at: step.position)
        state.nextStep += 1
        let bound = plan.steps(ofPhase: state.phase).upperBound
        if state.nextStep == bound {
            state.canvas = canvas.ended(state.canvas, kept: state.kept)
            state.kept = []
        }
    }

    /// Whether a run of this plan can go on from there.
    package func isStart(_ state: DenoisingState) -> Bool {
        if state.phase == DenoisingState.beforeFirst {
            return plan.request.image != nil && state.canvas.extent == plan.noise
                && state == initialState(noise: state.canvas)
        }
        guard plan.phases.indices.contains(state.phase) else { return false }
        let phase = plan.phases[state.phase]
        let steps = plan.steps(ofPhase: state.phase)
        guard (steps.lowerBound...steps.upperBound).contains(state.nextStep),
            state.canvas.extent == phase.canvas,
            state.canvas.channels == plan.request.model.channels
        else { return false }
        // What is kept is let go of with the last step.
        let kept = steps.contains(state.nextStep) ? phase.kept : []
        guard state.kept.map(\.name) == kept.map(\.name),
            zip(state.kept, kept).allSatisfy({
                $0.latent.extent == $1.extent && $0.latent.channels == state.canvas.channels
            })
        else { return false }
        guard let underWay = state.underWay else { return true }
        guard steps.contains(state.nextStep) else { return false }
        let step = plan.step(at: state.nextStep)
        return (1..<step.taskCount).contains(underWay.mergedTasks)
            && underWay.sum.hasSameExtents(as: state.canvas)
            && underWay.mixed?.hasSameExtents(as: state.canvas) ?? true
            && (underWay.mixed == nil) == (step.group(ofTask: underWay.mergedTasks - 1) == 0)
    }
}

// MARK: - One prediction for the whole canvas

extension DenoisingLoop {
    /// The merged prediction for the whole canvas.
    private func prediction(
        of state: DenoisingState,
        at step: StepPlan,
        with executor: some TaskExecutor,
        onEvent: (DenoisingEvent) async throws -> Void
    ) async throws -> Latent {
        let sources = StepSources(of: step, in: plan, canvas: state.canvas)
        let tasks = tasks(of: step, from: sources)
        var merged = StepMerger(of: step, in: plan, from: state.underWay) { sources[$0].table }
        let first = merged.count
        var buffer = ReorderBuffer<[Latent]>(from: first)
        let open = WorkList(count: step.taskCount - first) { tasks[first + $0] }
        try await executor.execute(open, conditionings: conditionings) { position, answer in
            let predictions = try checked(answer, to: first + position, of: step)
            for (task, predictions) in buffer.insert(predictions, at: first + position) {
                sources.drop(before: step.group(ofTask: task))
                merged.add(predictions) { sources[$0].table }
                var state = state
                state.underWay = merged.partial
                try await onEvent(.merged(step, state))
            }
        }
        guard buffer.next == step.taskCount else {
            throw DenoisingError.unanswered(
                step: step.number, missing: step.taskCount - buffer.next)
        }
        let prediction = merged.prediction()
        guard prediction.values.allSatisfy(\.isFinite) else {
            throw DenoisingError.notFinite(step: step.number)
        }
        return prediction
    }

    /// The tasks of a step: views gathered from their group's source when they are asked for, and
    /// scaled, grouped as the plan says.
    private func tasks(of step: StepPlan, from sources: StepSources) -> WorkList {
        let schedule = plan.phases[step.phase].schedule
        let perTask = plan.request.viewsPerTask
        return WorkList(count: step.taskCount) { number in
            let group = step.group(ofTask: number)
            let source = sources[group]
            let views = step.views(ofTask: number, perTask: perTask).map { planned in
                ViewInput(
                    sample: schedule.scaledModelInput(
                        planned.view.gather(from: source.canvas, through: source.table),
                        at: step.position),
                    microConditioning: planned.microConditioning)
            }
            return .denoise(
                DenoiseTask(
                    index: number,
                    step: step.number,
                    timestep: step.timestep.value,
                    guidanceScale: step.groups[group].guidanceScale,
                    guidanceRescale: step.guidanceRescale,
                    conditioning: step.groups[group].prompt,
                    bandSplit: step.groups[group].bandSplit,
                    views: views))
        }
    }

    private func checked(
        _ answer: WorkAnswer, to task: Int, of step: StepPlan
    ) throws -> [Latent] {
        func unsuitable(_ reason: String) -> DenoisingError {
            .unsuitableAnswer(step: step.number, task: task, reason: reason)
        }
        guard (0..<step.taskCount).contains(task) else {
            throw unsuitable("there is no such task; the step has \(step.taskCount)")
        }
        guard case .denoise(let predictions) = answer else {
            throw unsuitable("expected predictions, got a picture")
        }
        let asked = step.views(ofTask: task, perTask: plan.request.viewsPerTask)
        guard predictions.count == asked.count else {
            throw unsuitable("expected \(asked.count) predictions, got \(predictions.count)")
        }
        let canvas = plan.phases[step.phase].canvas
        for (planned, prediction) in zip(asked, predictions) {
            let extent = planned.view.extent(on: canvas)
            guard prediction.extent == extent, prediction.channels == plan.request.model.channels
            else {
                throw unsuitable(
                    "expected a prediction of \(plan.request.model.channels) channels and "
                        + "\(extent), got \(prediction.shape)")
            }
        }
        return predictions
    }
}
