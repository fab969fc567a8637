/// ScaleDiff (arXiv 2510.25818) in patch form: a picture of native size, enlarged by two and refined in
/// turn over the last two fifths of the schedule. The reference of a phase has the low frequencies
/// of the enlarged latent and the high ones of the enlarged picture, encoded again (low-frequency
/// mixing), and every predicted clean canvas is pulled to the reference's low frequencies, the less
/// the less noise is left (structure guidance).
///
/// The paper's attention among neighbouring patches is left to overlapping windows (MultiDiffusion),
/// which by its own ablation cost no quality, and which many machines can share.
package struct ScaleDiffMethod: DenoisingMethod {
    package let name = "scalediff"
    package let summary = "as upscale, with the low frequencies of the latent as a guide"
    package let options: [MethodOption] = MethodOption.ofRefiningWindows + [.regions]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.cascade(by: self, through: \.doublingSizes) {
            resolved, name, before, size throws(PlanningError) in
            try enlargement(name, of: before, to: size, for: resolved)
        }
    }

    private func enlargement(
        _ name: String, of previous: Extent, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .each)
        // The steps behind the first three fifths.
        let schedule = try request.sampler.schedule(
            length: request.steps, last: request.steps - request.steps * 3 / 5)
        let low = Extent(height: max(1, latent.height / 8), width: max(1, latent.width / 8))
        let stage = PlanStage(
            name: "refinement", steps: 0..<schedule.count,
            groups: request.refiningGroups(grid, within: latent),
            after: [.holdLow("low", weight: .remainingNoise)])
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas,
            entry: [
                .keep("previous", low: previous),
                .redraw(picture: request.pixels(of: latent)),
                .takeLow(of: "previous", low: low),
                .keep("low", low: low),
                .renoise,
            ],
            schedule: schedule, stages: [stage])
    }
}
