/// The whole latent in one view: what the model makes of a size it was not trained on, and the
/// baseline. At native size this is the plain sampler.
package struct DirectMethod: DenoisingMethod {
    package let name = "direct"
    package let summary = "the whole picture at once: repeats itself above the native size"
    package let options: [MethodOption] = [.regions]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        var resolved = request
        resolved.refinementGuidanceScale = nil
        resolved.jitter = nil
        resolved.windowCrops = nil
        resolved.sizeConditioning = request.sizeConditioning ?? .native
        let phase = try resolved.wholePhase(
            named: name, of: request.latent, feather: request.feather ?? .uniform)
        return DenoisingPlan(method: name, request: resolved, phases: [phase])
    }
}
