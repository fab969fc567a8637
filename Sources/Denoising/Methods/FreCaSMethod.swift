internal import ImageFilters
internal import Sampling

/// FreCaS (Zhang et al. 2025, ICLR, arXiv 2410.18410) in windows: a picture of native size, then twice
/// the side in turn. Each stage but the last ends while there is still noise, and leaves what it
/// predicts behind that; this is decoded, enlarged, encoded and put under the noise from which the next
/// stage starts: more than was left, since a larger latent shows more of it. The guidance of enlarged
/// stages is stronger for what the stage before could not show.
///
/// Unlike the paper: overlapping windows, which are told their place, do what it does on the whole
/// canvas; and its reuse of cross-attention maps is missing, for a worker gives noise back and no maps.
/// Details are guided by half of the published 35 for 7.5: all of it turns the mountains of the model that
/// ships into shards (patch distance 202 instead of 172 in eight pictures of four native sides) and bites
/// into suns. The paper splits two and three stages; how more of them go on is this program's.
package struct FreCaSMethod: DenoisingMethod {
    package let name = "frecas"
    package let summary =
        "one run through growing stages, guidance strongest for what is new in each"
    package let options: [MethodOption] = MethodOption.ofRefiningWindows + [.regions]

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        let sizes = request.doublingSizes
        var resolved = try request.resolvedForWindows(isPlain: sizes.count == 1)
        guard sizes.count > 1 else {
            let whole = try resolved.wholePhase(named: "base", of: request.latent)
            return DenoisingPlan(method: name, request: resolved, phases: [whole])
        }
        guard request.steps >= sizes.count else {
            throw .invalidNumber(
                "steps", value: Double(request.steps),
                expected: "\(sizes.count) or more, one for each stage of a picture of this size")
        }
        resolved.refinementGuidanceScale =
            request.refinementGuidanceScale ?? request.guidanceOfDetails
        let schedules = try Self.schedules(through: sizes, for: request)
        var phases = [try resolved.wholePhase(named: "base", of: sizes[0], schedule: schedules[0])]
        for number in 1..<sizes.count {
            phases.append(
                try enlargement(
                    number, of: sizes[number - 1], to: sizes[number], schedules[number],
                    for: resolved))
        }
        return DenoisingPlan(method: name, request: resolved, phases: phases)
    }

    private func enlargement(
        _ number: Int, of before: Extent, to latent: Extent, _ schedule: PhaseSchedule,
        for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid = try request.windows(over: latent, moving: .each)
        let (scale, details) = (request.guidanceScale, request.refinementGuidanceScale)
        let groups = request.refiningGroups(
            grid, within: latent, guidanceScale: scale,
            bandSplit: details.flatMap { details in
                details == scale
                    ? nil
                    : BandSplit(
                        highScale: details,
                        low: Self.low(of: grid.window, grownFrom: before, to: latent))
            })
        return PlanPhase(
            name: "enlargement \(number)", latent: latent, canvas: grid.canvas,
            entry: [.redraw(picture: request.pixels(of: latent), filter: .nearest), .renoise],
            schedule: schedule,
            stages: [PlanStage(name: "denoising", steps: 0..<schedule.count, groups: groups)])
    }

    /// A window's extents at the size of the stage before.
    private static func low(
        of window: Extent, grownFrom before: Extent, to latent: Extent
    ) -> Extent {
        func side(_ side: Int, _ before: Int, _ now: Int) -> Int {
            min(side, max(1, Int((Double(side * before) / Double(now)).rounded())))
        }
        return Extent(
            height: side(window.height, before.height, latent.height),
            width: side(window.width, before.width, latent.width))
    }
}

// MARK: - When stages start and end

extension FreCaSMethod {
    /// The steps of every stage.
    private static func schedules(
        through sizes: [Extent], for request: PlanRequest
    ) throws(PlanningError) -> [PhaseSchedule] {
        let trained = try request.sampler.noiseSchedule()
        let counts = stepCounts(request.steps, stages: sizes.count)
        let ends = endTimes(stages: sizes.count, trainTimesteps: trained.count)
        var start = trained.count - 1
        var schedules: [PhaseSchedule] = []
        for number in sizes.indices {
            if number > 0 {
                let growth = Double(sizes[number].area) / Double(sizes[number - 1].area)
                start = startTime(
                    after: ends[number - 1], growth: growth.squareRoot(),
                    gamma: sizes.count == 2 ? 1.5 : 2, on: trained)
            }
            schedules.append(
                try request.sampler.schedule(
                    from: start, to: ends[number], count: counts[number]))
        }
        return schedules
    }

    /// The timestep at which a stage starts whose side has grown by `growth`: the first with at most the
    /// signal ᾱ_F = s^γ·ᾱ_L / (1 + (s^γ − 1)·ᾱ_L), s being the old side by the new one and ᾱ_L what
    /// the stage before `ended` with (section 3.2): a signal-to-noise ratio of s^γ times that.
    static func startTime(
        after ended: Int, growth: Double, gamma: Double, on trained: NoiseSchedule
    ) -> Int {
        let signals = trained.cumulativeAlphas
        let ratio = Elementary.exponential(-gamma * Elementary.logarithm(growth))
        let left = Double(signals[ended])
        let signal = ratio * left / (1 + (ratio - 1) * left)
        return signals.firstIndex { Double($0) <= signal } ?? signals.count - 1
    }

    /// Where each stage ends: at timestep 200 of 1000 before the last of two, at 400 and 200 of three
    /// (section 4.1), evenly between those of more; the last at 0.
    static func endTimes(stages: Int, trainTimesteps: Int) -> [Int] {
        let last = stages - 2
        let ends = (0...last).map { number in
            let share = last == 0 ? 0.2 : 0.4 - 0.2 * Double(number) / Double(last)
            return min(Int((share * Double(trainTimesteps)).rounded()), trainTimesteps - 1)
        }
        return ends + [0]
    }

    /// Steps of each stage: four fifths and one fifth of two stages, six, one and three tenths of three
    /// (section 4.1). More stages between take a tenth each, as long as the last, whose steps cost most,
    /// keeps one; and then from the first. No stage is without a step.
    static func stepCounts(_ steps: Int, stages: Int) -> [Int] {
        let between = stages - 2
        let last = between == 0 ? 2 : max(1, 4 - between)
        func tenths(_ count: Int) -> Int { max(1, (steps * count + 5) / 10) }
        var counts = [0] + [Int](repeating: tenths(1), count: between) + [tenths(last)]
        // What rounding up took is given back by the largest, so that the first has a step, too.
        while counts.reduce(0, +) >= steps,
            let largest = counts.indices.reversed().max(by: {
                counts[$0] < counts[$1]
            })
        {
            counts[largest] -= 1
        }
        counts[0] = steps - counts.reduce(0, +)
        return counts
    }
}
