/// A canvas of one size and the steps that are taken on it.
package struct PlanPhase: Equatable, Sendable {
    /// For people: "base", "2×" or the method's name.
    package let name: String
    /// Extents of the latent that the phase leaves: the canvas's top left corner.
    package let latent: Extent
    /// What the loop works on: the latent, or a little more to the right and downwards where the
    /// lattices or the network need multiples.
    package let canvas: Extent
    /// What makes the canvas out of the phase's before; in the first one out of noise and a picture,
    /// and empty where it starts from noise alone.
    package let entry: [CanvasOperation]
    /// What happens to the canvas after the last step, before what is kept is let go of.
    package let exit: [CanvasOperation]
    package let schedule: PhaseSchedule
    /// In order, without gaps, covering all steps of the phase.
    package let stages: [PlanStage]

    /// Traps unless the stages cover the schedule's steps in order.
    package init(
        name: String, latent: Extent, canvas: Extent, entry: [CanvasOperation] = [],
        exit: [CanvasOperation] = [], schedule: PhaseSchedule, stages: [PlanStage]
    ) {
        var next = 0
        for stage in stages {
            precondition(stage.steps.lowerBound == next, "stages follow each other")
            next = stage.steps.upperBound
        }
        precondition(next == schedule.count, "stages cover all steps")
        self.name = name
        self.latent = latent
        self.canvas = canvas
        self.entry = entry
        self.exit = exit
        self.schedule = schedule
        self.stages = stages
    }

    /// What it keeps beside the canvas, in order: what its entry keeps and does not use up.
    package var kept: [(name: String, extent: Extent)] {
        var kept: [(name: String, extent: Extent)] = []
        for operation in entry {
            switch operation {
            case .keep(let name, let low), .keepBand(let name, let low): kept.append((name, low))
            case .takeLow(let name, _): kept.removeAll { $0.name == name }
            case .encode, .redraw, .resample, .boost, .renoise, .mixAnchor, .restoreMoments: break
            }
        }
        return kept
    }

    /// Number of steps.
    package var stepCount: Int { schedule.count }

    /// Views over all steps.
    package var forwardCount: Int { stages.reduce(0) { $0 + $1.steps.count * $1.viewCount } }

    /// The stage of a step, which is counted within the phase.
    package func stage(at step: Int) -> PlanStage {
        guard let stage = stages.first(where: { $0.steps.contains(step) }) else {
            preconditionFailure("step \(step) is not in the phase")
        }
        return stage
    }
}
