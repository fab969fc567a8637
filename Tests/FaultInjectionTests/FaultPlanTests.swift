import FaultInjection
import TestSupport
import Testing

@Suite("Fault plans", .watched)
struct FaultPlanTests {
    private func hits(_ text: String, of count: Int, seed: UInt64 = 1) throws -> [Int] {
        var plan = FaultPlan(spec: try FaultSpec(text), seed: seed)
        return (1...count).filter { _ in !plan.next(.result, in: [.sent, .any]).isEmpty }
    }

    @Test(
        "ordinals, ranges and shares hit what they say",
        arguments: [
            ("result:drop", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            ("result:drop@3", [3]),
            ("result:drop@3..5", [3, 4, 5]),
            ("result:drop@8..", [8, 9, 10]),
            ("result:drop@1/3", [3, 6, 9]),
            ("result:drop@2/5", [4, 5, 9, 10]),
            ("sent:drop@2", [2]),
            ("any:drop@2", [2]),
            ("received:drop", []),
            ("task:drop", []),
            ("result:drop@0.0", []),
            ("result:drop@100%", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ])
    func occasions(text: String, expected: [Int]) throws {
        #expect(try hits(text, of: 10) == expected)
    }

    @Test("steps and times are those of the moment")
    func moments() throws {
        var plan = FaultPlan(
            spec: try FaultSpec("result:drop@step3..4;any:delay=1s@5s..15s"), seed: 1)
        func rules(step: Int?, at seconds: Double) -> [Int] {
            plan.next(.result, in: [.any], step: step, elapsed: .seconds(seconds)).map(\.rule)
        }
        #expect(rules(step: 2, at: 0) == [])
        #expect(rules(step: 3, at: 4.99) == [0])
        #expect(rules(step: 4, at: 5) == [0, 1])
        #expect(rules(step: 5, at: 14.99) == [1])
        #expect(rules(step: nil, at: 15) == [])
    }

    @Test("a probability is met, within five standard deviations", arguments: [0.02, 0.05, 0.5])
    func frequency(probability: Double) throws {
        let count = 20_000
        let found = try hits("result:drop@\(probability)", of: count).count
        let deviation = (Double(count) * probability * (1 - probability)).squareRoot()
        #expect(abs(Double(found) - Double(count) * probability) < 5 * deviation)
    }

    @Test("the same seed hits the same ones, another seed others")
    func determinism() throws {
        let text = "result:drop@0.3"
        #expect(try hits(text, of: 200, seed: 7) == hits(text, of: 200, seed: 7))
        #expect(try hits(text, of: 200, seed: 7) != hits(text, of: 200, seed: 8))
    }

    @Test("what hits a target depends on no other target and on no other rule")
    func independence() throws {
        let alone = try hits("result:drop@0.3", of: 200)
        var plan = FaultPlan(
            spec: try FaultSpec("heartbeat:drop@0.5;task:dup@0.5;result:drop@0.3"), seed: 1)
        var found: [Int] = []
        for ordinal in 1...200 {
            for _ in 0..<ordinal % 3 { _ = plan.next(.heartbeat, in: [.sent, .any]) }
            if plan.next(.result, in: [.sent, .any]).contains(where: { $0.rule == 2 }) {
                found.append(ordinal)
            }
        }
        #expect(found == alone)
    }

    @Test("delays are drawn from their range, the same for the same seed")
    func delays() throws {
        func delays(seed: UInt64) throws -> [Duration] {
            var plan = FaultPlan(spec: try FaultSpec("result:delay=100ms..300ms"), seed: seed)
            return (0..<100).flatMap { _ in plan.next(.result).map(\.delay) }
        }
        let found = try delays(seed: 3)
        #expect(found.count == 100 && Set(found).count > 90)
        #expect(found.allSatisfy { (.milliseconds(100) ... .milliseconds(300)).contains($0) })
        #expect(try delays(seed: 3) == found)
    }

    @Test("a milestone has its number, not a count")
    func milestones() throws {
        let plan = FaultPlan(spec: try FaultSpec("step:kill@3;tile:abort@2"), seed: 1)
        #expect(plan.reached(.step, number: 2).isEmpty)
        #expect(plan.reached(.step, number: 3).map(\.action) == [.kill])
        #expect(plan.reached(.tile, number: 3).isEmpty)
    }

    @Test("an injector counts what was done apart from what came by")
    func counts() throws {
        let injector = FaultInjector(spec: try FaultSpec("result:drop@1/2;task:dup"), seed: 1)
        for _ in 1...10 {
            for strike in injector.next(.result) where strike.ordinal < 8 { injector.did(strike) }
        }
        #expect(injector.counts.map(\.injected) == [3, 0])
        #expect(injector.counts.map(\.seen) == [10, 0])
    }
}
