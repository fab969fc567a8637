/// SpotDiffusion (Frolov et al. 2025, arXiv 2407.15507): windows without overlap, all shifted by one
/// random offset in every step, so that their borders are somewhere else each time. The canvas is
/// closed: what leaves it on one side comes in on the other.
///
/// The windows' sides are the native one as nearly as whole numbers of them allow.
package struct SpotDiffusionMethod: DenoisingMethod {
    package let name = "spotdiffusion"
    package let summary = "windows without overlap, shifted at random in every step: the fewest"
    package let options: [MethodOption] = []

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        var resolved = request
        resolved.refinementGuidanceScale = nil
        resolved.sizeConditioning = request.sizeConditioning ?? .native
        let rows = Self.tiling(request.latent.height, for: request.model)
        let columns = Self.tiling(request.latent.width, for: request.model)
        let window = Extent(height: rows.side, width: columns.side)
        let canvas = Extent(
            height: rows.side * rows.count, width: columns.side * columns.count)
        let group = ViewGroup(
            geometry: .shifted(ShiftedGrid(canvas: canvas, window: window)),
            conditioning: resolved.viewConditioning, guidanceScale: request.guidanceScale,
            feather: request.feather ?? .uniform)
        let stage = PlanStage(name: name, steps: 0..<request.steps, groups: [group])
        return try DenoisingPlan(method: name, request: resolved, canvas: canvas, stages: [stage])
    }

    /// As many windows along a side as bring theirs closest to native by ratio, and their side, a
    /// multiple of what the network takes.
    private static func tiling(
        _ length: Int, for model: ModelGeometry
    ) -> (side: Int, count: Int) {
        var count = 1
        while length * length >= count * (count + 1) * model.nativeSide * model.nativeSide {
            count += 1
        }
        let side = (length + count - 1) / count
        return (side.roundedUp(toMultipleOf: model.sizeMultiple), count)
    }
}
