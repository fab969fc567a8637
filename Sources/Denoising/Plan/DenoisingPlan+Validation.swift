internal import Sampling
package import Tensors

extension DenoisingPlan {
    /// Proves that every view lies where it may, that every position of a canvas is covered in
    /// every step, that tasks are numbered without gaps, and that operations only name what was
    /// kept. Throws ``PlanningError/brokenPlan(_:)`` with the first thing that is wrong, and
    /// ``PlanningError/tooManyViewsInAll(_:limit:)`` before all that.
    ///
    /// Windows are shown to contain parts that tile the canvas whatever was drawn, lattices and
    /// windows without overlap partition it by construction: no raster is needed, whatever the size.
    package func validate() throws(PlanningError) {
        guard forwardCount <= PlanLimits.views else {
            throw .tooManyViewsInAll(forwardCount, limit: PlanLimits.views)
        }
        let multiple = request.model.sizeMultiple
        for (number, phase) in phases.enumerated() {
            let (canvas, latent) = (phase.canvas, phase.latent)
            guard canvas.height >= latent.height, canvas.width >= latent.width else {
                throw .brokenPlan("the canvas \(canvas) is smaller than the latent \(latent)")
            }
            try validateOperations(of: phase, number: number)
            for stage in phase.stages {
                for group in stage.groups {
                    let extent = group.viewExtent
                    guard extent.height % multiple == 0, extent.width % multiple == 0 else {
                        throw .brokenPlan("\(stage.name): \(extent) is no multiple of \(multiple)")
                    }
                }
                let first = steps(ofPhase: number).lowerBound
                for position in stage.steps {
                    try validate(step(at: first + position), of: stage)
                }
            }
        }
    }

    /// The first phase starts from noise, or from the request's picture; every other one makes its
    /// canvas of what there is.
    private func validateOperations(of phase: PlanPhase, number: Int) throws(PlanningError) {
        let kept = Set(phase.kept.map(\.name))
        let startsFromPicture =
            if case .encode(request.image?.extent, _)? = phase.entry.first { true } else { false }
        let isFitting =
            number == 0
            ? startsFromPicture || phase.entry.isEmpty && request.image == nil
            : !startsFromPicture && !phase.entry.isEmpty
        guard isFitting else {
            throw .brokenPlan("phase \(phase.name) does not begin as its place asks")
        }
        for stage in phase.stages {
            let used = stage.before.compactMap(\.used) + stage.after.compactMap(\.used)
            if let name = used.first(where: { !kept.contains($0) }) {
                throw .brokenPlan("phase \(phase.name) uses \(name), which it does not keep")
            }
        }
        if let name = phase.exit.compactMap(\.used).first(where: { !kept.contains($0) }) {
            throw .brokenPlan("phase \(phase.name) uses \(name), which it does not keep")
        }
    }

    private func validate(_ step: StepPlan, of stage: PlanStage) throws(PlanningError) {
        guard step.groups.count == stage.groups.count, !step.groups.isEmpty else {
            throw .brokenPlan("step \(step.number) has \(step.groups.count) groups")
        }
        guard areWhole(step.groups, on: phases[step.phase].canvas) else {
            throw .brokenPlan("step \(step.number): the groups' shares do not add up to 1")
        }
        var firstTask = 0
        for (group, planned) in zip(stage.groups, step.groups) {
            try validate(planned, of: group, firstTask: firstTask, step: step.number)
            firstTask = planned.tasks.upperBound
        }
    }

    /// Whether the groups' shares add up to 1 at every position: those of groups that count
    /// everywhere, or 1 each of all masks of some regions.
    private func areWhole(_ groups: [GroupPlan], on canvas: Extent) -> Bool {
        let masks = groups.compactMap(\.mask)
        guard let first = masks.first else {
            return abs(groups.reduce(0) { $0 + $1.share } - 1) < 1e-9
        }
        return groups.allSatisfy { $0.share == 1 }
            && groups.map(\.mask) == RegionMask.all(of: first.regions, on: canvas)
    }

    private func validate(
        _ planned: GroupPlan, of group: ViewGroup, firstTask: Int, step: Int
    ) throws(PlanningError) {
        guard planned.views.count == group.viewCount, !planned.views.isEmpty else {
            throw .brokenPlan("step \(step) has \(planned.views.count) views")
        }
        for (number, view) in planned.views.enumerated()
        where view.task != firstTask + number / request.viewsPerTask {
            throw .brokenPlan("step \(step): view \(number) is in task \(view.task)")
        }
        if case .blurred(let size, let sigma) = planned.source, size % 2 == 0 || !(sigma > 0) {
            throw .brokenPlan("step \(step): a blur of \(size) cells, deviation \(sigma)")
        }
        guard (0..<promptCount).contains(planned.prompt) else {
            throw .brokenPlan("step \(step): there is no prompt \(planned.prompt)")
        }
        if let bands = planned.bandSplit, !bands.fits(group.viewExtent) {
            throw .brokenPlan(
                "step \(step): a band of \(bands.low) in views of \(group.viewExtent)")
        }
        guard case .windows(let grid) = group.geometry else { return }
        guard group.mask == nil else {
            guard group.isSound(planned.views.map(\.view), seed: request.seed, step: step) else {
                throw .brokenPlan("step \(step): a window that counts is not asked")
            }
            return
        }
        let windows = planned.views.compactMap { planned -> Window? in
            if case .window(let window) = planned.view { window } else { nil }
        }
        guard windows.count == planned.views.count else {
            throw .brokenPlan("step \(step): a view is no window")
        }
        if let number = grid.firstMisplaced(of: windows) {
            throw .brokenPlan("step \(step): window \(number) is out of place")
        }
    }

    /// Digest of everything that decides the latent: the request, the schedule's numbers and every
    /// view of every step. Equal requests give equal fingerprints, on any machine.
    package var fingerprint: Fingerprint {
        var hash = Fingerprinter()
        hash.add(Self.version)
        hash.add(method)
        let geometry = request.model
        let (canvas, schedule) = (phases[0].canvas, phases[0].schedule)
        for number in [
            request.height, request.width, geometry.nativeSide, geometry.scaleFactor,
            geometry.channels, canvas.height, canvas.width, request.viewsPerTask, stepCount,
        ] {
            hash.add(number)
        }
        hash.add(request.seed)
        hash.add(schedule.name)
        hash.add(schedule.predictionType.rawValue)
        hash.add(schedule.initialNoiseSigma)
        hash.add(request.guidanceRescale)
        hash.add((request.feather ?? .uniform).rawValue)
        if request.panorama { hash.add("panorama") }
        if let image = request.image {
            hash.add(image.digest)
            hash.add(image.extent.height)
            hash.add(image.extent.width)
        }
        for (number, phase) in phases.enumerated() {
            // What a plan of one phase does not have leaves no trace in its fingerprint.
            if !phase.entry.isEmpty { add(phase, to: &hash) }
            for index in steps(ofPhase: number) { add(step(at: index), to: &hash) }
        }
        return hash.fingerprint
    }

    private func add(_ phase: PlanPhase, to hash: inout Fingerprinter) {
        for number in [
            phase.canvas.height, phase.canvas.width, phase.latent.height, phase.latent.width,
            phase.schedule.length, phase.schedule.first,
        ] {
            hash.add(number)
        }
        for operation in phase.entry + phase.exit { hash.add("\(operation)") }
    }

    private func add(_ step: StepPlan, to hash: inout Fingerprinter) {
        hash.add(step.timestep.value)
        hash.add(step.timestep.sigma)
        hash.add(step.arrival)
        // What a step of one group of the canvas does not have leaves no trace.
        for operation in step.before { hash.add("\(operation)") }
        for (number, group) in step.groups.enumerated() {
            if !step.isPlain {
                hash.add("\(group.source)")
                hash.add(group.share)
            }
            if group.prompt > 0 { hash.add("prompt \(group.prompt)") }
            if let mask = group.mask {
                for region in mask.regions {
                    for number in [region.x, region.y, region.width, region.height] {
                        hash.add(number)
                    }
                }
            }
            hash.add(group.guidanceScale)
            if let bands = group.bandSplit { hash.add("\(bands)") }
            hash.add(group.interaction?.mode.rawValue ?? InteractionMode.off.rawValue)
            if number == 0 {
                for operation in step.after { hash.add("\(operation)") }
            }
            add(group.views, to: &hash)
        }
    }

    private func add(_ views: [PlannedView], to hash: inout Fingerprinter) {
        hash.add(views.count)
        for planned in views {
            switch planned.view {
            case .window(let window):
                for number in [0, window.y, window.x, window.height, window.width] {
                    hash.add(number)
                }
            case .wrapped(let window):
                for number in [2, window.y, window.x, window.height, window.width] {
                    hash.add(number)
                }
            case .lattice(let lattice):
                for number in [
                    1, lattice.row, lattice.column, lattice.rowStride, lattice.columnStride,
                ] {
                    hash.add(number)
                }
            }
            for number in planned.microConditioning.timeIDs { hash.add(number) }
        }
    }
}
