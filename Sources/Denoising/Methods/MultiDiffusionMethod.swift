/// MultiDiffusion (Bar-Tal et al. 2023, arXiv 2302.08113): overlapping native windows, averaged
/// in every step. In a panorama they go all the way round. Regions of the picture may have prompts of
/// their own, whose windows count inside them only (section 4.2; without the paper's bootstrapping, which
/// starts what is outside of a region from flat colours).
package struct MultiDiffusionMethod: DenoisingMethod {
    package let name = "multidiffusion"
    package let summary = "overlapping windows, averaged in every step"
    package let options: [MethodOption] = [.stride, .jitter, .windowCrops, .regions, .panorama]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        if request.panorama {
            // A window that goes on on the other side has no place of its own.
            try request.refuse([.jitter, .windowCrops], method: "\(name) with a panorama")
        }
        var resolved = request
        resolved.refinementGuidanceScale = nil
        resolved.stride = try request.checkedStride()
        resolved.jitter = request.panorama ? nil : request.jitter ?? false
        resolved.windowCrops = request.panorama ? nil : request.windowCrops ?? false
        resolved.sizeConditioning = request.sizeConditioning ?? .native

        let canvas = request.latent
        let windows = ViewGroup(
            geometry: try geometry(for: resolved),
            conditioning: resolved.windowConditioning,
            guidanceScale: request.guidanceScale,
            feather: request.feather ?? .uniform)
        let stage = PlanStage(
            name: name,
            steps: 0..<request.steps,
            groups: resolved.split(windows, on: canvas, within: canvas))
        return try DenoisingPlan(method: name, request: resolved, canvas: canvas, stages: [stage])
    }

    private func geometry(
        for request: PlanRequest
    ) throws(PlanningError) -> ViewGroup.Geometry {
        let grid = try request.windowGrid(over: request.latent)
        guard request.panorama else { return .windows(grid) }
        guard request.width % request.model.scaleFactor == 0 else {
            throw .panoramaWidth(request.width, scaleFactor: request.model.scaleFactor)
        }
        let ring = RingGrid(canvas: grid.canvas, window: grid.window, stride: grid.stride)
        guard ring.count <= PlanLimits.viewsPerStep else {
            throw .tooManyViews(ring.count, limit: PlanLimits.viewsPerStep)
        }
        return .ring(ring)
    }
}
