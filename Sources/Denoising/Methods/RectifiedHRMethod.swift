/// RectifiedHR (Yang et al. 2025, arXiv 2503.02537) in windows: one run through the schedule on a
/// canvas that grows on the way. The first four fifths of the steps are taken at native size; then,
/// at a few steps, the predicted clean canvas is decoded, enlarged, encoded and put under the noise
/// of the next step (noise refresh). Enlarging takes energy from a latent, and stronger guidance
/// gives it back: the weight grows from phase to phase (energy rectification).
///
/// The paper evaluates the whole canvas at once; here overlapping windows do, which are told their
/// place.
package struct RectifiedHRMethod: DenoisingMethod {
    package let name = "rectifiedhr"
    package let summary = "one run on a canvas that grows near the end, with growing guidance"
    package let options: [MethodOption] = MethodOption.ofRefiningWindows + [.regions]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        let count = min(request.doublingSizes.count, max(2, request.steps))
        var resolved = try request.resolvedForWindows(isPlain: count == 1)
        guard count > 1 else {
            let whole = try resolved.wholePhase(named: "base", of: request.latent)
            return DenoisingPlan(method: name, request: resolved, phases: [whole])
        }
        guard request.steps > 1 else {
            throw .invalidNumber(
                "steps", value: Double(request.steps),
                expected: "2 or more for a picture larger than native")
        }
        resolved.refinementGuidanceScale =
            request.refinementGuidanceScale ?? Self.strongest(request.guidanceScale, of: count)
        let bounds = Self.bounds(steps: request.steps, phases: count)
        var phases: [PlanPhase] = []
        for (number, size) in request.evenSizes(count).enumerated() {
            let schedule = try request.sampler.schedule(
                length: request.steps, steps: bounds[number]..<bounds[number + 1])
            phases.append(
                number == 0
                    ? try resolved.wholePhase(named: "base", of: size, schedule: schedule)
                    : try enlargement(number, of: count, to: size, schedule, for: resolved))
        }
        return DenoisingPlan(method: name, request: resolved, phases: phases)
    }

    private func enlargement(
        _ number: Int, of count: Int, to latent: Extent, _ schedule: PhaseSchedule,
        for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .each)
        let last = request.refinementGuidanceScale ?? request.guidanceScale
        let share = Double(number) / Double(count - 1)
        let guidance = request.guidanceScale + (last - request.guidanceScale) * share
        let stage = PlanStage(
            name: "denoising", steps: 0..<schedule.count,
            groups: request.refiningGroups(grid, within: latent, guidanceScale: guidance))
        return PlanPhase(
            name: "enlargement \(number)", latent: latent, canvas: grid.canvas,
            entry: [.redraw(picture: request.pixels(of: latent)), .renoise],
            schedule: schedule, stages: [stage])
    }

    /// Where each phase's steps begin, and the end: ⌊(T − T₀)·√(k/(N−1)) + T₀⌋ with T₀ = ⅘ T (section
    /// 4.1, M = ½), moved where a phase would have no step.
    static func bounds(steps: Int, phases: Int) -> [Int] {
        let start = Double(steps * 4 / 5)
        var bounds = [0]
        for number in 0..<phases {
            let share = (Double(number) / Double(phases - 1)).squareRoot()
            let bound = Int(start + (Double(steps) - start) * share)
            let latest = steps - (phases - 1 - number)
            bounds.append(max(bounds[number] + 1, min(bound, latest)))
        }
        return bounds
    }

    /// The last phase's guidance where none is asked for: from 5 to 30 with one refresh and from 5 to
    /// 50 with more (table 5); none where there is none.
    private static func strongest(_ scale: Double, of phases: Int) -> Double {
        scale <= 1 ? scale : scale * (phases == 2 ? 6 : 10)
    }
}
