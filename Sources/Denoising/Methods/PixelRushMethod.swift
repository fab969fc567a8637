internal import Sampling

/// PixelRush (CVPR 2026, arXiv 2602.12769): a picture of native size, enlarged by two in turn. Each time
/// the enlarged picture is encoded and, in overlapping windows, inverted in a single step up to a
/// quarter of the schedule, where its layout is settled, and denoised again from there. In the first
/// step down the noise is turned a little towards fresh noise, which becomes detail that enlarging
/// does not have (noise injection); windows count by a normal curve in the average (Gaussian blending).
///
/// The paper takes one step down, of a model distilled to four: here the last quarter of the steps is
/// taken, one of four or a dozen of fifty (the paper's "partial inversion"). Windows meet after every
/// step, not after the last alone. The inversion is without guidance, which it would not withstand.
package struct PixelRushMethod: DenoisingMethod {
    package let name = "pixelrush"
    package let summary = "as upscale, each enlargement inverted to a quarter of the noise"
    package let options: [MethodOption] = MethodOption.ofRefiningWindows + [.regions]

    /// 1 − λ.
    private static let injection = 0.05

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.cascade(by: self, through: \.doublingSizes, feather: .gaussian) {
            resolved, name, _, size throws(PlanningError) in
            try enlargement(name, to: size, for: resolved)
        }
    }

    private func enlargement(
        _ name: String, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .each)
        // 12 of 50.
        let count = max(1, request.steps / 4)
        let schedule = try request.sampler.schedule(
            length: request.steps, steps: request.steps - count..<request.steps, inverted: true)
        // A schedule that begins with noise alone leaves nothing of the picture there.
        guard schedule.arrivals[0].isFinite else {
            throw .invalidNumber(
                "steps", value: Double(request.steps),
                expected: "2 or more for a picture larger than native by this scheduler")
        }
        let down = request.refiningGroups(grid, within: latent)
        var stages = [
            PlanStage(
                name: "inversion", steps: 0..<1,
                groups: request.refiningGroups(grid, within: latent, guidanceScale: 1)),
            PlanStage(
                name: "injection", steps: 1..<2, groups: down,
                after: [.injectNoise(share: Self.injection)]),
        ]
        if count > 1 {
            stages.append(PlanStage(name: "refinement", steps: 2..<count + 1, groups: down))
        }
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas,
            entry: [.redraw(picture: request.pixels(of: latent))],
            schedule: schedule, stages: stages)
    }
}
