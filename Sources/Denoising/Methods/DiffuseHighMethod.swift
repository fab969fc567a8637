/// DiffuseHigh (Kim et al. 2025, AAAI, arXiv 2406.18459): a picture of native size, enlarged to twice,
/// three times … the side in turn. Each time the picture is enlarged and sharpened, encoded, put under
/// the noise of the schedule's last three tenths, and denoised; through the first third of that the
/// low band of a wavelet of every prediction is the enlarged picture's.
///
/// Unlike the published code: windows do what it does on the whole canvas; the sharpening is always of
/// deviation 1 instead of a random one; and the band is a Haar wavelet's of the latent, not db4's of
/// the decoded picture, which would have to be decoded and kept whole in every step.
package struct DiffuseHighMethod: DenoisingMethod {
    package let name = "diffusehigh"
    package let summary = "native, then twice, three times … the side, sharpened, its low band held"
    package let options: [MethodOption] = MethodOption.ofRefiningWindows + [.regions]

    private static let sharpening = 1.0

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.cascade(by: self, through: \.multipleSizes) {
            resolved, name, _, size throws(PlanningError) in
            try enlargement(name, to: size, for: resolved)
        }
    }

    private func enlargement(
        _ name: String, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .each)
        // 15 of 50 steps, and the first 5 of those.
        let count = max(1, (request.steps * 3 + 5) / 10)
        let held = max(1, (count + 1) / 3)
        let schedule = try request.sampler.schedule(length: request.steps, last: count)
        let groups = request.refiningGroups(grid, within: latent)
        var stages = [
            PlanStage(
                name: "structure", steps: 0..<held, groups: groups, after: [.swapBand("guide")])
        ]
        if held < count {
            stages.append(PlanStage(name: "refinement", steps: held..<count, groups: groups))
        }
        let low = Extent(
            height: (grid.canvas.height + 1) / 2, width: (grid.canvas.width + 1) / 2)
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas,
            entry: [
                .redraw(picture: request.pixels(of: latent), sharpening: Self.sharpening),
                .keepBand("guide", low), .renoise,
            ],
            schedule: schedule, stages: stages)
    }
}
