package import Sampling
package import Tensors

/// What the views of a stage are told about their size and place (SDXL's micro-conditioning).
package enum ConditioningRule: String, Hashable, Sendable {
    /// (k, k, 0, 0, k, k): every view is a whole picture of native size.
    case native
    /// (H, W, 0, 0, H, W): every view is a whole picture of the requested size.
    case picture
    /// (Hc, Wc, 8y, 8x, k, k): a native crop out of the whole canvas, at its true place. Hc and
    /// Wc are the canvas's pixels: the picture's, but for what padding adds.
    case crop
    /// (H, W, 8(y+j), 8(x+j), H, W): as published, counted from the corner of the padded canvas.
    case paddedCrop = "padded-crop"
}

/// One way of cutting the canvas into views, for a range of steps.
package struct PlanStage: Hashable, Sendable {
    /// Which views there are.
    package enum Geometry: Hashable, Sendable {
        case windows(WindowGrid)
        case lattices(LatticeGrid, InteractionMode)
    }

    /// For people: "structure", "refinement" or the method's name.
    package let name: String
    /// The steps it covers, never empty in a finished plan.
    package let steps: Range<Int>
    package let geometry: Geometry
    package let conditioning: ConditioningRule
    /// Classifier-free guidance weight.
    package let guidanceScale: Double

    package init(
        name: String, steps: Range<Int>, geometry: Geometry, conditioning: ConditioningRule,
        guidanceScale: Double
    ) {
        self.name = name
        self.steps = steps
        self.geometry = geometry
        self.conditioning = conditioning
        self.guidanceScale = guidanceScale
    }

    /// Views per step.
    package var viewCount: Int {
        switch geometry {
        case .windows(let grid): grid.count
        case .lattices(let grid, _): grid.count
        }
    }

    /// Extents of every view of the stage, in latents.
    package var viewExtent: Extent {
        switch geometry {
        case .windows(let grid): grid.window
        case .lattices(let grid, _): grid.patch
        }
    }
}

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

/// One step, written out.
package struct StepPlan: Hashable, Sendable {
    package let index: StepIndex
    package let timestep: Timestep
    /// The noise level the step arrives at.
    package let arrival: Double
    package let guidanceScale: Double
    package let guidanceRescale: Double
    /// The exchange between this step's lattices.
    package let interaction: PixelInteraction?
    /// In the order in which they are merged.
    package let views: [PlannedView]

    /// Number of tasks.
    package var taskCount: Int { (views.last?.task ?? -1) + 1 }
}

/// What will be computed, as data: a pure function of the request, printed, stored and replayed.
///
/// Stages are kept in short; ``step(at:)`` writes one step out, the same every time.
package struct DenoisingPlan: Equatable, Sendable {
    /// Bumped when the same request means another picture.
    package static let version = 1

    /// Name of the method.
    package let method: String
    /// The request with every choice filled in.
    package let request: PlanRequest
    /// What the loop works on: the latent, or a little more to the right and downwards where the
    /// lattices or the network need multiples.
    package let canvas: Extent
    /// In order, without gaps, covering all steps.
    package let stages: [PlanStage]

    /// Traps unless the stages cover the steps in order.
    package init(method: String, request: PlanRequest, canvas: Extent, stages: [PlanStage]) {
        var next = 0
        for stage in stages {
            precondition(stage.steps.lowerBound == next, "stages follow each other")
            next = stage.steps.upperBound
        }
        precondition(next == request.stepCount, "stages cover all steps")
        self.method = method
        self.request = request
        self.canvas = canvas
        self.stages = stages
    }

    /// Extents of the finished latent, which is cut from the canvas's top left corner.
    package var latent: Extent { request.latent }

    /// Extents of the picture in pixels, which is cut from the top left of what is decoded.
    package var picture: Extent { Extent(height: request.height, width: request.width) }

    /// Number of sampling steps, T.
    package var stepCount: Int { request.stepCount }

    /// Views over all steps: network evaluations, each with its unconditional twin if guided.
    package var forwardCount: Int { stages.reduce(0) { $0 + $1.steps.count * $1.viewCount } }

    /// The stage a step belongs to.
    package func stage(at step: Int) -> PlanStage {
        guard let stage = stages.first(where: { $0.steps.contains(step) }) else {
            preconditionFailure("step \(step) is not in the plan")
        }
        return stage
    }

    /// One step with all its views.
    package func step(at index: Int) -> StepPlan {
        let stage = stage(at: index)
        let views = stageViews(stage, step: index)
        return StepPlan(
            index: StepIndex(index),
            timestep: request.schedule.timesteps[index],
            arrival: request.schedule.arrivals[index],
            guidanceScale: stage.guidanceScale,
            guidanceRescale: request.guidanceRescale,
            interaction: interaction(of: stage, step: index),
            views: views.enumerated().map { number, view in
                PlannedView(
                    view: view,
                    weight: 1,
                    feather: feather(of: stage),
                    microConditioning: microConditioning(of: view, in: stage),
                    task: number / request.viewsPerTask
                )
            }
        )
    }

    /// The permutations of a step, written out; nil without an exchange.
    package func interactionTable(at step: Int) -> InteractionTable? {
        let stage = stage(at: step)
        guard case .lattices(let grid, _) = stage.geometry else { return nil }
        return interaction(of: stage, step: step)?
            .table(for: grid, channels: request.model.channels)
    }

    /// The finished latent out of the canvas.
    package func cropped(_ state: Latent) -> Latent {
        precondition(
            state.height == canvas.height && state.width == canvas.width,
            "a plan crops its own canvas")
        guard canvas != latent else { return state }
        let window = Window(y: 0, x: 0, height: latent.height, width: latent.width)
        return LatentView.window(window).gather(from: state)
    }

    private func stageViews(_ stage: PlanStage, step: Int) -> [LatentView] {
        switch stage.geometry {
        case .windows(let grid):
            grid.windows(seed: request.seed, step: step).map { .window($0) }
        case .lattices(let grid, _):
            grid.lattices.map { .lattice($0) }
        }
    }

    private func interaction(of stage: PlanStage, step: Int) -> PixelInteraction? {
        guard case .lattices(let grid, let mode) = stage.geometry, mode != .off, grid.count > 1
        else { return nil }
        return PixelInteraction(seed: request.seed, step: step, mode: mode)
    }

    /// Lattices meet nowhere: there is nothing to weigh.
    private func feather(of stage: PlanStage) -> Feather {
        if case .windows = stage.geometry { request.feather } else { .uniform }
    }

    private func microConditioning(
        of view: LatentView, in stage: PlanStage
    ) -> MicroConditioning {
        let scale = request.model.scaleFactor
        let native = request.model.nativePixels
        let (height, width) = (request.height, request.width)
        var (top, left, margin) = (0, 0, 0)
        if case .window(let window) = view, case .windows(let grid) = stage.geometry {
            (top, left, margin) = (window.y, window.x, grid.jitter)
        }
        let ids =
            switch stage.conditioning {
            case .native: [native, native, 0, 0, native, native]
            case .picture: [height, width, 0, 0, height, width]
            case .crop:
                [
                    canvas.height * scale, canvas.width * scale, top * scale, left * scale,
                    native, native,
                ]
            case .paddedCrop:
                [height, width, (top + margin) * scale, (left + margin) * scale, height, width]
            }
        return MicroConditioning(timeIDs: ids)
    }
}
