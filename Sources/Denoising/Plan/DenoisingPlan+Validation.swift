internal import Sampling
package import Tensors

extension DenoisingPlan {
    /// Proves that every view lies where it may, that every position of the canvas is covered in
    /// every step, and that tasks are numbered without gaps. Throws
    /// ``PlanningError/brokenPlan(_:)`` with the first view that is wrong.
    ///
    /// Windows are shown to contain parts that tile the canvas whatever was drawn, lattices
    /// partition it by construction: no raster is needed, whatever the size.
    package func validate() throws(PlanningError) {
        guard canvas.height >= latent.height, canvas.width >= latent.width else {
            throw .brokenPlan("the canvas \(canvas) is smaller than the latent \(latent)")
        }
        let multiple = request.model.sizeMultiple
        for stage in stages {
            let extent = stage.viewExtent
            guard extent.height % multiple == 0, extent.width % multiple == 0 else {
                throw .brokenPlan("\(stage.name): \(extent) is no multiple of \(multiple)")
            }
            for index in stage.steps { try validate(step(at: index), of: stage) }
        }
    }

    private func validate(_ step: StepPlan, of stage: PlanStage) throws(PlanningError) {
        guard step.views.count == stage.viewCount, !step.views.isEmpty else {
            throw .brokenPlan("step \(step.index.value) has \(step.views.count) views")
        }
        for (number, view) in step.views.enumerated()
        where view.task != number / request.viewsPerTask {
            throw .brokenPlan("step \(step.index.value): view \(number) is in task \(view.task)")
        }
        guard case .windows(let grid) = stage.geometry else { return }
        for (number, (planned, core)) in zip(step.views, grid.cores()).enumerated() {
            guard case .window(let window) = planned.view else {
                throw .brokenPlan("step \(step.index.value): view \(number) is no window")
            }
            let margin = grid.edge == .clamped ? 0 : grid.jitter
            let isInside =
                window.y >= -margin && window.y + window.height <= canvas.height + margin
                && window.x >= -margin && window.x + window.width <= canvas.width + margin
            let coversCore =
                window.y <= core.rows.lowerBound
                && window.y + window.height >= core.rows.upperBound
                && window.x <= core.columns.lowerBound
                && window.x + window.width >= core.columns.upperBound
            guard isInside, coversCore else {
                throw .brokenPlan("step \(step.index.value): window \(number) is out of place")
            }
        }
    }

    /// Digest of everything that decides the latent: the request, the schedule's numbers and every
    /// view of every step. Equal requests give equal fingerprints, on any machine.
    package var fingerprint: Fingerprint {
        var hash = Fingerprinter()
        hash.add(Self.version)
        hash.add(method)
        let geometry = request.model
        for number in [
            request.height, request.width, geometry.nativeSide, geometry.scaleFactor,
            geometry.channels, canvas.height, canvas.width, request.viewsPerTask, stepCount,
        ] {
            hash.add(number)
        }
        hash.add(request.seed)
        hash.add(request.schedule.scheduler)
        hash.add(request.schedule.predictionType.rawValue)
        hash.add(request.schedule.initialNoiseSigma)
        hash.add(request.guidanceRescale)
        hash.add(request.feather.rawValue)
        for index in 0..<stepCount { add(step(at: index), to: &hash) }
        return hash.fingerprint
    }

    private func add(_ step: StepPlan, to hash: inout Fingerprinter) {
        hash.add(step.timestep.value)
        hash.add(step.timestep.sigma)
        hash.add(step.arrival)
        hash.add(step.guidanceScale)
        hash.add(step.interaction?.mode.rawValue ?? InteractionMode.off.rawValue)
        hash.add(step.views.count)
        for planned in step.views {
            switch planned.view {
            case .window(let window):
                for number in [0, window.y, window.x, window.height, window.width] {
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
