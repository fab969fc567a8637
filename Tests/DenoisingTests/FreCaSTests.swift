import Sampling
import TestSupport
import Testing

@testable import Denoising

@Suite("FreCaS", .watched)
struct FreCaSTests {
    private func plan(
        _ side: Int, steps: Int = 50, _ change: (inout PlanRequest) -> Void = { _ in }
    ) throws -> DenoisingPlan {
        try FreCaSMethod().plan(
            for: makeRequest(height: side, width: side, model: sdxlModel, steps: steps) {
                $0.guidanceScale = 7.5
                change(&$0)
            })
    }

    @Test(
        "a stage of twice the side starts where the paper's formula says (arXiv 2410.18410, section 3.2)",
        arguments: [(200, 1.5, 343), (400, 2.0, 606), (200, 2.0, 395)])
    func startTimes(end: Int, gamma: Double, start: Int) throws {
        let trained = try makeSampler().noiseSchedule()
        let found = FreCaSMethod.startTime(after: end, growth: 2, gamma: gamma, on: trained)
        #expect(found == start)
        #expect(FreCaSMethod.startTime(after: end, growth: 1, gamma: gamma, on: trained) == end)
    }

    @Test(
        "the published stages: 40 and 10 steps at 2048², 30, 5 and 15 at 4096²",
        arguments: [
            (2048, [40, 10], [999, 343], [200, 0]),
            (4096, [30, 5, 15], [999, 606, 395], [400, 200, 0]),
        ])
    func published(side: Int, counts: [Int], starts: [Double], ends: [Double]) throws {
        let plan = try plan(side)
        #expect(plan.phases.map(\.stepCount) == counts)
        #expect(plan.phases.map { $0.schedule.timesteps[0].value } == starts)
        #expect(plan.phases.map { $0.schedule.timesteps[$0.stepCount - 1].value } == ends)
        // Each ends with what it predicts, and without noise.
        #expect(plan.phases.allSatisfy { $0.schedule.arrivals.last == 0 })
    }

    @Test(
        "takes a window's evaluation for each step of its stage, however many stages",
        arguments: [
            (1024, 50), (2048, 40 + 10 * 9), (4096, 30 + 5 * 9 + 15 * 49),
            (8192, 30 + 5 * 9 + 5 * 49 + 10 * 225),
            (16384, 30 + 5 * 9 + 5 * 49 + 5 * 225 + 5 * 961),
            (32768, 25 + 5 * 9 + 5 * 49 + 5 * 225 + 5 * 961 + 5 * 3969),
        ])
    func forwardCounts(side: Int, count: Int) throws {
        #expect(try plan(side).forwardCount == count)
    }

    @Test("takes every step once, whatever their number, and needs one for every stage")
    func anySteps() throws {
        for stages in 2...10 {
            for steps in stages...120 {
                let counts = FreCaSMethod.stepCounts(steps, stages: stages)
                #expect(counts.reduce(0, +) == steps)
                #expect(counts.allSatisfy { $0 > 0 }, "\(steps) in \(stages)")
            }
            let ends = FreCaSMethod.endTimes(stages: stages, trainTimesteps: 1000)
            #expect(ends == ends.sorted(by: >) && ends.count == stages)
        }
        #expect(throws: PlanningError.self) { try plan(4096, steps: 2) }
        #expect(try plan(4096, steps: 3).phases.map(\.stepCount) == [1, 1, 1])
    }

    @Test("guides details 7 times where the rest is guided 3 times, unless told otherwise")
    func guidance() throws {
        func bands(_ change: (inout PlanRequest) -> Void = { _ in }) throws -> [BandSplit?] {
            try plan(4096, change).groups.map(\.bandSplit)
        }
        let usual = BandSplit(highScale: 17.5, low: Extent(height: 64, width: 64))
        #expect(try bands() == [nil, usual, usual])
        #expect(try plan(4096).groups.map(\.guidanceScale) == [7.5, 7.5, 7.5])
        let published = BandSplit(highScale: 35, low: Extent(height: 64, width: 64))
        #expect(try bands { $0.refinementGuidanceScale = 35 } == [nil, published, published])
        #expect(try bands { $0.refinementGuidanceScale = 7.5 } == [nil, nil, nil])
        #expect(try bands { $0.guidanceScale = 1 } == [nil, nil, nil])
        #expect(
            try plan(2048).fingerprint != plan(2048) { $0.refinementGuidanceScale = 35 }.fingerprint
        )
    }

    @Test("its low band is what the stage before could show, at any size")
    func lowBands() throws {
        let plan = try FreCaSMethod().plan(
            for: makeRequest(height: 1504, width: 2600, model: sdxlModel))
        let (before, after) = (plan.phases[0].latent, plan.phases[1].latent)
        let group = try #require(plan.phases[1].stages[0].groups.first)
        let low = try #require(group.bandSplit?.low)
        let share = Double(before.width) / Double(after.width)
        #expect(abs(Double(low.width) - 128 * share) <= 0.5)
        #expect(low.width < 128 && low.width > 64)
    }
}
