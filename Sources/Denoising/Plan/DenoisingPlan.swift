internal import Sampling

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

    /// Prompts that its views are asked with: the request's, number 0, and each of its regions'.
    package var promptCount: Int { request.regions.count + 1 }

    /// Views over all steps: network evaluations, each with its unconditional twin if guided.
    package var forwardCount: Int { phases.reduce(0) { $0 + $1.forwardCount } }

    /// All stages of all phases.
    package var stages: [PlanStage] { phases.flatMap(\.stages) }

    /// Whether pictures are encoded on the way.
    package var encodes: Bool { phases.indices.contains { encodes(inPhase: $0) } }

    /// Whether a phase's canvas is made of a picture.
    package func encodes(inPhase phase: Int) -> Bool {
        phases[phase].entry.contains { operation in
            switch operation {
            case .redraw, .encode: true
            case .resample, .boost, .keep, .keepBand, .takeLow, .renoise, .mixAnchor,
                .restoreMoments:
                false
            }
        }
    }

    /// Tiles that are decoded and encoded before the finished latent is.
    package var tilesOnTheWay: (decoded: Int, encoded: Int) {
        var (decoded, encoded) = (0, 0)
        for number in phases.indices {
            for operation in phases[number].entry {
                if case .redraw = operation {
                    decoded +=
                        TileGrid(latent: phases[number - 1].latent, model: request.model).count
                }
            }
            if encodes(inPhase: number) { encoded += tiles(ofPhase: number).count }
        }
        return (decoded, encoded)
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

    /// All groups of all stages, for what does not depend on the step.
    package var groups: [ViewGroup] { stages.flatMap(\.groups) }

    /// Views of one step.
    package func viewCount(ofStep number: Int) -> Int { stage(ofStep: number).viewCount }

    /// Views that the first tasks of a step carry.
    package func viewCount(ofStep number: Int, firstTasks count: Int) -> Int {
        var (views, rest) = (0, count)
        for group in stage(ofStep: number).groups {
            let tasks = group.taskCount(perTask: request.viewsPerTask)
            views += min(group.viewCount, min(rest, tasks) * request.viewsPerTask)
            rest -= min(rest, tasks)
        }
        return views
    }

    private func stage(ofStep number: Int) -> PlanStage {
        let phase = phase(ofStep: number)
        return phases[phase].stage(at: number - bounds[phase])
    }

    /// One step with all its views.
    package func step(at number: Int) -> StepPlan {
        let phase = phase(ofStep: number)
        let (planned, position) = (phases[phase], number - bounds[phase])
        let stage = planned.stage(at: position)
        let place = StepPlace(
            timestep: planned.schedule.timesteps[position],
            first: planned.schedule.timesteps[0], trainTimesteps: request.sampler.trainTimesteps)
        var groups: [GroupPlan] = []
        for group in stage.groups {
            let first = groups.last?.tasks.upperBound ?? 0
            groups.append(
                written(group, step: number, at: place, on: planned.canvas, firstTask: first))
        }
        return StepPlan(
            number: number,
            phase: phase,
            position: position,
            place: place,
            arrival: planned.schedule.arrivals[position],
            guidanceRescale: request.guidanceRescale,
            before: stage.before,
            groups: groups,
            after: stage.after
        )
    }

    private func written(
        _ group: ViewGroup, step: Int, at place: StepPlace, on canvas: Extent, firstTask: Int
    ) -> GroupPlan {
        let views = group.views(seed: request.seed, step: step)
        return GroupPlan(
            source: group.source.written(at: place),
            share: group.share.value(at: place),
            guidanceScale: group.guidanceScale,
            bandSplit: group.bandSplit,
            interaction: group.interaction(seed: request.seed, step: step),
            prompt: group.prompt,
            mask: group.mask,
            views: views.enumerated().map { index, view in
                PlannedView(
                    view: view,
                    weight: 1,
                    feather: group.feather,
                    microConditioning: microConditioning(of: view, in: group, on: canvas),
                    task: firstTask + index / request.viewsPerTask
                )
            }
        )
    }

    /// The permutations of one group of a step, written out; nil without an exchange.
    package func interactionTable(at number: Int, group: Int) -> InteractionTable? {
        let group = stage(ofStep: number).groups[group]
        guard case .lattices(let grid, _) = group.geometry else { return nil }
        return group.interaction(seed: request.seed, step: number)?
            .table(for: grid, channels: request.model.channels)
    }

    private func microConditioning(
        of view: LatentView, in group: ViewGroup, on canvas: Extent
    ) -> MicroConditioning {
        let scale = request.model.scaleFactor
        let native = request.model.nativePixels
        let (height, width) = (request.height, request.width)
        var (top, left, margin) = (0, 0, 0)
        if case .window(let window) = view, case .windows(let grid) = group.geometry {
            (top, left, margin) = (window.y, window.x, grid.jitter)
        }
        let ids =
            switch group.conditioning {
            case .native: [native, native, 0, 0, native, native]
            case .picture: [height, width, 0, 0, height, width]
            case .crop:
                [
                    canvas.height * scale, canvas.width * scale, top * scale, left * scale,
                    native, native,
                ]
            case .cappedCrop:
                CappedCrop(canvas: canvas, window: group.viewExtent, model: request.model)
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

extension ViewGroup {
    /// Tasks per step, of `perTask` views each but the last.
    fileprivate func taskCount(perTask: Int) -> Int { (viewCount + perTask - 1) / perTask }
}

extension ViewSource {
    fileprivate func written(at place: StepPlace) -> PlannedSource {
        switch self {
        case .canvas: .canvas
        case .blurred(let size, let sigma):
            .blurred(kernelSize: size, sigma: sigma.value(at: place))
        }
    }
}
