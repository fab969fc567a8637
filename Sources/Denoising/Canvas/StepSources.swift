internal import Locking
internal import Tensors

/// What the views of a step's groups are cut out of: made when it is first asked for, from
/// whatever thread, and let go of when the group is merged.
final class StepSources: Sendable {
    /// What one group's views are gathered from, and through.
    struct Source: Sendable {
        let canvas: Latent
        let table: InteractionTable?
    }

    private let plan: DenoisingPlan
    private let step: StepPlan
    private let canvas: Latent
    private let made = Lock<[Int: Source]>([:])

    /// Of the canvas on which the step has begun.
    init(of step: StepPlan, in plan: DenoisingPlan, canvas: Latent) {
        self.plan = plan
        self.step = step
        self.canvas = canvas
    }

    subscript(group: Int) -> Source {
        made.withLock { made in
            if let source = made[group] { return source }
            let source = Source(
                canvas: step.groups[group].source.made(of: canvas),
                table: plan.interactionTable(at: step.number, group: group))
            made[group] = source
            return source
        }
    }

    /// Lets go of the groups before one. Should a task of theirs be asked once more, its source is
    /// made once more.
    func drop(before group: Int) {
        made.withLock { made in
            for number in made.keys where number < group { made[number] = nil }
        }
    }
}
