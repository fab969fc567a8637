package import Sampling
internal import Tensors

/// What the views of a stage are told about their size and place (SDXL's micro-conditioning).
package enum ConditioningRule: String, Hashable, Sendable {
    /// (k, k, 0, 0, k, k): every view is a whole picture of native size.
    case native
    /// (H, W, 0, 0, H, W): every view is a whole picture of the requested size.
    case picture
    /// (Hc, Wc, 8y, 8x, k, k): a native crop out of the whole canvas, at its true place. Hc and
    /// Wc are the canvas's pixels: the picture's, but for what padding adds.
    case crop
    /// As ``crop``, but on a canvas larger than four native sides the same place of one that is
    /// four: further away no model was shown crops, and windows draw what they like.
    case cappedCrop = "capped-crop"
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
    /// The steps of its phase that it covers, never empty in a finished plan.
    package let steps: Range<Int>
    package let geometry: Geometry
    package let conditioning: ConditioningRule
    /// Classifier-free guidance weight.
    package let guidanceScale: Double
    /// How the positions of a window count; lattices meet nowhere.
    package let feather: Feather
    /// What happens to what the views say together.
    package let after: [PredictionOperation]

    package init(
        name: String, steps: Range<Int>, geometry: Geometry, conditioning: ConditioningRule,
        guidanceScale: Double, feather: Feather = .uniform, after: [PredictionOperation] = []
    ) {
        self.name = name
        self.steps = steps
        self.geometry = geometry
        self.conditioning = conditioning
        self.guidanceScale = guidanceScale
        self.feather = feather
        self.after = after
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
    /// Counted over the whole plan; what random numbers are drawn for.
    package let number: Int
    /// The phase it belongs to.
    package let phase: Int
    /// Position within its phase.
    package let position: Int
    package let timestep: Timestep
    /// The noise level the step arrives at.
    package let arrival: Double
    package let guidanceScale: Double
    package let guidanceRescale: Double
    /// The exchange between this step's lattices.
    package let interaction: PixelInteraction?
    /// In the order in which they are merged.
    package let views: [PlannedView]
    /// What happens to what they say together.
    package let after: [PredictionOperation]

    /// Number of tasks.
    package var taskCount: Int { (views.last?.task ?? -1) + 1 }
}

/// What will be computed, as data: a pure function of the request, printed, stored and replayed.
///
/// Phases are kept in short; ``step(at:)`` writes one step out, the same every time.
package struct DenoisingPlan: Equatable, Sendable {
    /// Bumped when the same request means another picture.
    package static let version = 1

    /// Name of the method.
    package let method: String
    /// The request with every choice filled in.
    package let request: PlanRequest
    /// In order: the first starts from noise or a picture, each other one from what the one before
    /// it leaves.
    package let phases: [PlanPhase]

    /// Where each phase's steps begin, and the end.
    private let bounds: [Int]

    /// Traps on a plan without phases, and on one whose last leaves another latent than is asked.
    package init(method: String, request: PlanRequest, phases: [PlanPhase]) {
        precondition(phases.last?.latent == request.latent, "a plan ends with what is asked")
        self.method = method
        self.request = request
        self.phases = phases
        bounds = phases.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.stepCount) }
    }

    /// A plan of one phase, whose steps are all of the request's schedule.
    package init(
        method: String, request: PlanRequest, canvas: Extent, stages: [PlanStage]
    ) throws(PlanningError) {
        let phase = PlanPhase(
            name: method, latent: request.latent, canvas: canvas, schedule: try request.schedule(),
            stages: stages)
        self.init(method: method, request: request, phases: [phase])
    }

    /// Extents of the finished latent.
    package var latent: Extent { request.latent }

    /// Extents of the picture in pixels, which is cut from the top left of what is decoded.
    package var picture: Extent { Extent(height: request.height, width: request.width) }

    /// Extents of the noise that the first phase starts from.
    package var noise: Extent { phases[0].latent }

    /// Number of steps of all phases.
    package var stepCount: Int { bounds[phases.count] }

    /// Views over all steps: network evaluations, each with its unconditional twin if guided.
    package var forwardCount: Int { phases.reduce(0) { $0 + $1.forwardCount } }

    /// All stages of all phases.
    package var stages: [PlanStage] { phases.flatMap(\.stages) }

    /// Whether pictures are encoded on the way.
    package var encodes: Bool {
        phases.contains { phase in
            phase.entry.contains { operation in
                switch operation {
                case .redraw, .encode: true
                case .boost, .keep, .renoise: false
                }
            }
        }
    }

    /// Extents of the latent that a phase makes its canvas of: of the one before it, or of the
    /// noise.
    func extentBefore(phase: Int) -> Extent { phase == 0 ? noise : phases[phase - 1].latent }

    /// The tiles in which a phase's latent is encoded.
    func tiles(ofPhase phase: Int) -> TileGrid {
        TileGrid(latent: phases[phase].latent, model: request.model)
    }

    /// The steps of a phase, counted over the whole plan.
    package func steps(ofPhase phase: Int) -> Range<Int> { bounds[phase]..<bounds[phase + 1] }

    /// The phase that a step belongs to.
    package func phase(ofStep number: Int) -> Int {
        guard let phase = phases.indices.first(where: { steps(ofPhase: $0).contains(number) })
        else { preconditionFailure("step \(number) is not in the plan") }
        return phase
    }

    /// Views of one step.
    package func viewCount(ofStep number: Int) -> Int {
        let phase = phase(ofStep: number)
        return phases[phase].stage(at: number - bounds[phase]).viewCount
    }

    /// One step with all its views.
    package func step(at number: Int) -> StepPlan {
        let phase = phase(ofStep: number)
        let (planned, position) = (phases[phase], number - bounds[phase])
        let stage = planned.stage(at: position)
        let views = stageViews(stage, step: number)
        return StepPlan(
            number: number,
            phase: phase,
            position: position,
            timestep: planned.schedule.timesteps[position],
            arrival: planned.schedule.arrivals[position],
            guidanceScale: stage.guidanceScale,
            guidanceRescale: request.guidanceRescale,
            interaction: interaction(of: stage, step: number),
            views: views.enumerated().map { index, view in
                PlannedView(
                    view: view,
                    weight: 1,
                    feather: stage.feather,
                    microConditioning: microConditioning(of: view, in: stage, on: planned.canvas),
                    task: index / request.viewsPerTask
                )
            },
            after: stage.after
        )
    }

    /// The permutations of a step, written out; nil without an exchange.
    package func interactionTable(at number: Int) -> InteractionTable? {
        let phase = phase(ofStep: number)
        let stage = phases[phase].stage(at: number - bounds[phase])
        guard case .lattices(let grid, _) = stage.geometry else { return nil }
        return interaction(of: stage, step: number)?
            .table(for: grid, channels: request.model.channels)
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

    private func microConditioning(
        of view: LatentView, in stage: PlanStage, on canvas: Extent
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
            case .cappedCrop:
                CappedCrop(canvas: canvas, window: stage.viewExtent, model: request.model)
                    .timeIDs(top: top, left: left)
            case .paddedCrop:
                [height, width, (top + margin) * scale, (left + margin) * scale, height, width]
            }
        return MicroConditioning(timeIDs: ids)
    }
}

/// ``ConditioningRule/cappedCrop``.
private struct CappedCrop {
    let canvas: Extent
    let window: Extent
    let model: ModelGeometry

    /// Native sides beyond which no larger picture is claimed.
    private static let cap = 4

    func timeIDs(top: Int, left: Int) -> [Int] {
        let (height, width) = (claimed(canvas.height), claimed(canvas.width))
        return [
            height, width, offset(top, on: canvas.height, window.height, claimed: height),
            offset(left, on: canvas.width, window.width, claimed: width),
            model.nativePixels, model.nativePixels,
        ]
    }

    /// A side of the picture that is claimed, in pixels: both sides shrink alike, to no less than
    /// a window's.
    private func claimed(_ side: Int) -> Int {
        let longest = max(canvas.height, canvas.width)
        let limit = Self.cap * model.nativeSide
        guard longest > limit else { return side * model.scaleFactor }
        let shrunk = Int((Double(side * limit) / Double(longest)).rounded())
        return max(shrunk, min(side, model.nativeSide)) * model.scaleFactor
    }

    /// The same relative place.
    private func offset(_ start: Int, on side: Int, _ window: Int, claimed: Int) -> Int {
        guard side > window else { return 0 }
        let room = claimed - window * model.scaleFactor
        return Int((Double(start * room) / Double(side - window)).rounded())
    }
}
