internal import Tensors

/// Merges a step's predictions in the order of its tasks: each group of views by itself, then
/// with the groups before it, by its share. There are never more than two sums.
struct StepMerger {
    private let step: StepPlan
    private let viewsPerTask: Int
    /// The group whose sum it is.
    private var group = 0
    private var sum: OverlapAccumulator
    /// The groups before that, mixed; nil for the first one.
    private var mixed: Latent?
    private var mergedTasks = 0

    /// Goes on from what of the step is merged already. `table` gives the exchange of a group.
    init(
        of step: StepPlan, in plan: DenoisingPlan, from partial: PartialStep?,
        through table: (_ group: Int) -> InteractionTable?
    ) {
        self.step = step
        viewsPerTask = plan.request.viewsPerTask
        guard let partial else {
            sum = OverlapAccumulator(
                channels: plan.request.model.channels, extent: plan.phases[step.phase].canvas)
            return
        }
        group = step.group(ofTask: partial.mergedTasks - 1)
        sum = OverlapAccumulator(sum: partial.sum)
        mixed = partial.mixed
        mergedTasks = partial.mergedTasks
        let planned = step.groups[group]
        let count = (mergedTasks - planned.tasks.lowerBound) * viewsPerTask
        for view in planned.views.prefix(count) {
            sum.count(
                view.view, weight: view.weight, feather: view.feather, table: table(group))
        }
    }

    /// What of the step is merged, to go on from; nil before the first task.
    var partial: PartialStep? {
        mergedTasks > 0 ? PartialStep(mergedTasks: mergedTasks, sum: sum.sum, mixed: mixed) : nil
    }

    /// Number of tasks that are merged.
    var count: Int { mergedTasks }

    /// Takes the predictions of the next task.
    mutating func add(
        _ predictions: [Latent], through table: (_ group: Int) -> InteractionTable?
    ) {
        let current = step.group(ofTask: mergedTasks)
        if current != group {
            mixIn()
            sum = OverlapAccumulator(channels: sum.sum.channels, extent: sum.sum.extent)
            group = current
        }
        let views = step.views(ofTask: mergedTasks, perTask: viewsPerTask)
        for (view, prediction) in zip(views, predictions) {
            sum.add(
                prediction, through: view.view, weight: view.weight, feather: view.feather,
                table: table(group))
        }
        mergedTasks += 1
    }

    /// The prediction for the whole canvas. Traps before the last task is merged.
    consuming func prediction() -> Latent {
        precondition(mergedTasks == step.taskCount, "all tasks are merged")
        guard let mixed else { return sum.average() }
        let last = step.groups[group]
        return sum.mixed(into: mixed, share: Float(last.share), mask: last.mask)
    }

    /// Mixes the group whose views are all merged with the ones before it.
    private mutating func mixIn() {
        let before =
            mixed.take()
            ?? Latent(zeros: sum.sum.channels, height: sum.sum.height, width: sum.sum.width)
        let merged = step.groups[group]
        mixed = sum.mixed(into: before, share: Float(merged.share), mask: merged.mask)
    }
}
