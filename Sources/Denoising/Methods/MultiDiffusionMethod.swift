/// MultiDiffusion (Bar-Tal et al. 2023, arXiv 2302.08113): overlapping native windows, averaged
/// in every step. Regions of the picture may have prompts of their own, whose windows count inside
/// them only (section 4.2; without the paper's bootstrapping, which starts what is outside of a region from
/// flat colours).
package struct MultiDiffusionMethod: DenoisingMethod {
    package let name = "multidiffusion"
    package let summary = "overlapping windows, averaged in every step"
    package let options: [MethodOption] = [.stride, .jitter, .windowCrops, .regions]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        var resolved = request
        resolved.refinementGuidanceScale = nil
        resolved.stride = try request.checkedStride()
        resolved.jitter = request.jitter ?? false
        resolved.windowCrops = request.windowCrops ?? false
        resolved.sizeConditioning = request.sizeConditioning ?? .native

        let canvas = request.latent
        let windows = ViewGroup(
            geometry: .windows(try resolved.windowGrid(over: canvas)),
            conditioning: resolved.windowConditioning,
            guidanceScale: request.guidanceScale,
            feather: request.feather ?? .uniform)
        let stage = PlanStage(
            name: name,
            steps: 0..<request.steps,
            groups: resolved.split(windows, on: canvas, within: canvas))
        return try DenoisingPlan(method: name, request: resolved, canvas: canvas, stages: [stage])
    }
}
