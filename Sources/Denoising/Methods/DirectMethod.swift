/// The whole latent in one view: what the model makes of a size it was not trained on, and the
/// baseline. At native size this is the plain sampler.
package struct DirectMethod: DenoisingMethod {
    package let name = "direct"
    package let summary = "the whole picture at once: repeats itself above the native size"

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.checkCommon()
        try request.refuse(
            [
                ("a stride", request.stride != nil),
                ("a number of structure steps", request.structureSteps != nil),
                ("pixel interaction", request.interaction != nil),
                ("compatibility with published code", request.compatibility != nil),
            ], method: name)
        var resolved = request
        resolved.refinementGuidanceScale = nil
        resolved.jitter = nil
        resolved.windowCrops = nil
        resolved.sizeConditioning = request.sizeConditioning ?? .native

        let multiple = request.model.sizeMultiple
        let canvas = Extent(
            height: request.latent.height.roundedUp(toMultipleOf: multiple),
            width: request.latent.width.roundedUp(toMultipleOf: multiple))
        let grid = WindowGrid(
            canvas: canvas, window: canvas, stride: min(canvas.height, canvas.width))
        let stage = PlanStage(
            name: name, steps: 0..<request.steps, geometry: .windows(grid),
            conditioning: resolved.viewConditioning, guidanceScale: request.guidanceScale,
            feather: request.feather)
        return try DenoisingPlan(method: name, request: resolved, canvas: canvas, stages: [stage])
    }
}
