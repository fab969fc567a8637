package import Sampling

/// One view of one step.
package struct PlannedView: Hashable, Sendable {
    /// Where it lies on the canvas, in latents.
    package let view: LatentView
    /// Factor of the whole view in the average; its positions are weighted by `feather`.
    package let weight: Float
    package let feather: Feather
    /// What the network is told about its size and place, in pixels.
    package let microConditioning: MicroConditioning
    /// Number of the task that carries the view, within its step.
    package let task: Int
}

/// What the views of a group are cut out of in one step.
package enum PlannedSource: Hashable, Sendable {
    case canvas
    /// See ``ViewSource/blurred(kernelSize:sigma:)``.
    case blurred(kernelSize: Int, sigma: Double)
}

/// One group of views in one step, written out.
package struct GroupPlan: Hashable, Sendable {
    package let source: PlannedSource
    /// What it counts beside the step's other groups.
    package let share: Double
    package let guidanceScale: Double
    /// Guidance of another strength for what is finer than a band.
    package let bandSplit: BandSplit?
    /// The exchange between its lattices.
    package let interaction: PixelInteraction?
    /// Number of the prompt that its views are asked with, which is that of its conditioning.
    package let prompt: Int
    /// Where on the canvas it counts; nil is everywhere.
    package let mask: RegionMask?
    /// In the order in which they are merged.
    package let views: [PlannedView]

    /// Numbers of its tasks within the step.
    package var tasks: Range<Int> { (views.first?.task ?? 0)..<(views.last?.task ?? -1) + 1 }
}

/// One step, written out.
package struct StepPlan: Hashable, Sendable {
    /// Counted over the whole plan; what random numbers are drawn for.
    package let number: Int
    /// The phase it belongs to.
    package let phase: Int
    /// Position within its phase.
    package let position: Int
    /// What its weights depend on.
    package let place: StepPlace
    /// The noise level the step arrives at.
    package let arrival: Double
    package let guidanceRescale: Double
    /// What happens to the canvas at its start.
    package let before: [CanvasOperation]
    /// In the order in which they are merged and mixed; never empty.
    package let groups: [GroupPlan]
    /// What happens to what they say together.
    package let after: [PredictionOperation]

    package var timestep: Timestep { place.timestep }

    /// Of all groups.
    package var views: [PlannedView] { groups.flatMap(\.views) }

    /// Number of tasks.
    package var taskCount: Int { groups.last?.tasks.upperBound ?? 0 }

    /// The group that a task belongs to.
    package func group(ofTask task: Int) -> Int {
        guard let group = groups.firstIndex(where: { $0.tasks.contains(task) }) else {
            preconditionFailure("task \(task) is not in the step")
        }
        return group
    }

    /// The views that a task carries; `perTask` is the plan's number of views per task.
    package func views(ofTask task: Int, perTask: Int) -> ArraySlice<PlannedView> {
        let group = groups[group(ofTask: task)]
        let first = (task - group.tasks.lowerBound) * perTask
        return group.views[first..<min(first + perTask, group.views.count)]
    }
}
