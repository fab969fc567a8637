internal import Sampling

/// Upscale and refine: a picture of about native size, then phase by phase twice the side. Each
/// phase decodes what there is, enlarges the picture, encodes it, adds a little noise and takes it
/// away again in native windows ("SDEdit", Meng et al. 2021, arXiv 2108.01073, in a cascade).
///
/// What keeps the scene together: the low half-band of every prediction is held to the enlarged
/// picture's (the structure guidance of ScaleDiff, with constant weight and a wider band), and
/// windows are told their place in a picture of at most four native sides. At native size this is
/// the plain sampler.
package struct UpscaleMethod: DenoisingMethod {
    package let name = "upscale"
    package let summary = "a native picture, enlarged and refined in turn: one scene at any size"

    /// Contrast of what the enlarged latent has above half its resolution: enlarging loses some.
    private static let boost = 1.2

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.checkCommon()
        try request.refuse(
            [
                ("a number of structure steps", request.structureSteps != nil),
                ("pixel interaction", request.interaction != nil),
                ("compatibility with published code", request.compatibility != nil),
            ], method: name)
        let sizes = request.doublingSizes
        let resolved = try request.resolvedForWindows(
            isPlain: sizes.count == 1, stride: max(1, request.model.nativeSide * 3 / 4),
            feather: .cosine)
        var phases = [try resolved.wholePhase(named: "base", of: sizes[0])]
        for (number, size) in sizes.enumerated().dropFirst() {
            phases.append(try refinement(number, to: size, for: resolved))
        }
        return DenoisingPlan(method: name, request: resolved, phases: phases)
    }

    private func refinement(
        _ number: Int, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .together)
        let schedule = try Self.schedule(to: latent, for: request)
        let low = Extent(height: max(1, latent.height / 2), width: max(1, latent.width / 2))
        let stage = PlanStage(
            name: "refinement", steps: 0..<schedule.count,
            groups: [request.refiningGroup(grid)],
            after: [.holdLow("low")])
        return PlanPhase(
            name: "enlargement \(number)", latent: latent, canvas: grid.canvas,
            entry: [
                .redraw(picture: request.pixels(of: latent)),
                .boost(factor: Self.boost, low: low),
                .keep("low", low: low),
                .renoise,
            ],
            schedule: schedule, stages: [stage])
    }

    /// The last steps of a schedule: about a quarter of those from noise to picture, over the
    /// lower part of the noise: the larger the picture, the less of it may still change.
    private static func schedule(
        to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PhaseSchedule {
        let native = request.model.nativeSide * request.model.nativeSide
        let strength =
            latent.area <= 64 * native ? 0.4 : latent.area <= 256 * native ? 0.28 : 0.2
        let count = max(1, Int((Double(request.steps) * 0.24).rounded()))
        let length = min(
            Int((Double(count) / strength).rounded()), max(count, request.sampler.trainTimesteps))
        return try request.sampler.schedule(length: length, last: count)
    }
}
