/// CutDiffusion (Lin et al. 2024, arXiv 2404.15141) in canvas layout: stage one denoises
/// interleaved patches of about native size, which exchange pixels and so agree on one scene;
/// stage two refines the same canvas through overlapping jittered windows.
///
/// Without stage one this is MultiDiffusion.
package struct CutDiffusionMethod: DenoisingMethod {
    package let name = "cutdiffusion"
    package let summary = "one layout from interleaved patches, then overlapping windows"
    package let options: [MethodOption] =
        MethodOption.ofRefiningWindows + [.structureSteps, .interaction, .compatibility]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        let resolved = try resolve(request)
        let steps = request.steps
        let structureSteps = resolved.structureSteps ?? 0
        let grid = try latticeGrid(for: resolved)
        let canvas = structureSteps > 0 ? grid.canvas : request.latent
        let stages = [
            PlanStage(
                name: "structure",
                steps: 0..<structureSteps,
                groups: [
                    ViewGroup(
                        geometry: .lattices(grid, resolved.interaction ?? .off),
                        conditioning: resolved.viewConditioning,
                        guidanceScale: request.guidanceScale)
                ]),
            PlanStage(
                name: "refinement",
                steps: structureSteps..<steps,
                groups: [
                    ViewGroup(
                        geometry: .windows(try resolved.windowGrid(over: canvas)),
                        conditioning: resolved.windowConditioning,
                        guidanceScale: resolved.refinementGuidanceScale ?? request.guidanceScale,
                        feather: request.feather ?? .uniform)
                ]),
        ]
        return try DenoisingPlan(
            method: name, request: resolved, canvas: canvas,
            stages: stages.filter { !$0.steps.isEmpty })
    }

    private func resolve(_ request: PlanRequest) throws(PlanningError) -> PlanRequest {
        let isPublished = request.compatibility == .cutDiffusion
        let share = isPublished ? 0.5 : 0.3
        let structureSteps =
            request.structureSteps ?? Int((Double(request.steps) * share).rounded())
        guard (0...request.steps).contains(structureSteps) else {
            throw .structureStepsOutOfRange(structureSteps, steps: request.steps)
        }
        var resolved = request
        resolved.structureSteps = structureSteps
        resolved.refinementGuidanceScale =
            request.refinementGuidanceScale ?? request.guidanceScale
        resolved.stride = try request.checkedStride()
        resolved.jitter = request.jitter ?? true
        resolved.windowCrops = request.windowCrops ?? true
        resolved.interaction = request.interaction ?? (isPublished ? .perChannel : .position)
        resolved.sizeConditioning = request.sizeConditioning ?? (isPublished ? .picture : .native)
        return resolved
    }

    /// The same scale on both axes, patches rounded up to what the network takes and the canvas
    /// padded to fit them; or, as published, native patches stretched to the picture's shape.
    private func latticeGrid(for request: PlanRequest) throws(PlanningError) -> LatticeGrid {
        let (latent, native) = (request.latent, request.model.nativeSide)
        let grid: LatticeGrid
        if request.compatibility == .cutDiffusion {
            let pixels = request.model.nativePixels
            guard request.height % pixels == 0, request.width % pixels == 0 else {
                throw .notMultiplesOfNative(
                    height: request.height, width: request.width, nativePixels: pixels)
            }
            grid = LatticeGrid(
                canvas: latent, rowStride: latent.height / native,
                columnStride: latent.width / native)
        } else {
            let scale = LatticeGrid.isotropicScale(latent: latent, window: native)
            let multiple = request.model.sizeMultiple * scale
            let canvas = Extent(
                height: latent.height.roundedUp(toMultipleOf: multiple),
                width: latent.width.roundedUp(toMultipleOf: multiple))
            grid = LatticeGrid(canvas: canvas, rowStride: scale, columnStride: scale)
        }
        guard grid.count <= PlanLimits.patches else {
            throw .tooManyViews(grid.count, limit: PlanLimits.patches)
        }
        return grid
    }
}
