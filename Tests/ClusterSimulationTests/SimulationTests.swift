import ClusterCore
import TestSupport
import Testing

@testable import ClusterSimulation

private func report(
    _ seed: UInt64,
    workers: Int? = nil,
    _ sabotage: Sabotage? = nil
) -> SimulationReport {
    var simulation = Simulation(
        SimulationOptions(
            seed: seed, workers: workers ?? SimulationOptions.usualWorkers(for: seed),
            sabotage: sabotage))
    return simulation.run()
}

/// What became of the first seeds; run once, for all tests that ask.
private let reports = (0..<300).map { report(UInt64($0)) }

@Suite("A simulated cluster under faults", .watched)
struct SimulationTests {
    @Test("every invariant holds after every event, and the jobs end", arguments: 0..<300)
    func survives(seed: Int) {
        let report = reports[seed]
        #expect(
            report.violations.isEmpty,
            "tessera simulate --seed \(seed) --workers \(report.options.workers) --trace")
        #expect(report.ending != .unfinished)
    }

    @Test("a crowd of 64 workers is no other case", arguments: [7, 70] as [UInt64])
    func crowd(seed: UInt64) {
        #expect(report(seed, workers: 64).violations == [])
    }

    @Test("a seed is the whole fate: its run can be repeated", arguments: 0..<16 as Range<UInt64>)
    func repeatable(seed: UInt64) {
        #expect(report(seed) == report(seed))
    }

    @Test("other seeds are other runs")
    func different() {
        #expect(Set(reports.map(\.history)).count == reports.count)
    }

    @Test("most jobs are done, the others fail for every reason there is")
    func endings() {
        var reasons: Set<String> = []
        var finished = 0
        var endings = reports.map(\.ending)
        // A tainted picture is the rarest end: one in some hundred.
        let rare = (300..<3000 as Range<UInt64>).lazy.map { report($0).ending }.first {
            if case .failed(.tainted) = $0 { true } else { false }
        }
        if let rare { endings.append(rare) }
        for ending in endings {
            guard case .failed(let reason) = ending else {
                if ending == .finished { finished += 1 }
                continue
            }
            switch reason {
            case .taskFailed: reasons.insert("task failed")
            case .refused: reasons.insert("refused")
            case .noWorkers: reasons.insert("no workers")
            case .tainted: reasons.insert("tainted")
            case .shutdown: Issue.record("\(reason)")
            }
        }
        #expect(finished * 4 > endings.count * 3)
        #expect(reasons == ["task failed", "refused", "no workers", "tainted"])
    }

    @Test("everything that can go wrong does, often")
    func coverage() {
        let mishaps = reports.prefix(100).map(\.mishaps)
            .reduce(into: [:]) { $0.merge($1) { $0 + $1 } }
        let expected = [
            "crash", "crash unnoticed", "stall", "slow", "hang", "device errors", "one-way cut",
            "cut", "partition", "disconnect", "drain", "stranger", "coordinator stall",
            "coordinator crash", "coordinator restart", "coordinator replaced while frozen",
            "message lost",
            "message doubled", "message overtaken", "message damaged",
        ]
        for kind in expected { #expect(mishaps[kind, default: 0] > 10, "\(kind)") }
        #expect(Set(mishaps.keys) == Set(expected))
    }

    @Test("canvases of every kind are made on the way, with and without a user's picture")
    func canvases() {
        let entries = (0..<100 as Range<UInt64>).flatMap {
            FaultSchedule(seed: $0, workers: 4).workload.pictures.flatMap(\.entries)
        }
        #expect(entries.count { $0.key == 0 } > 10)
        #expect(entries.count { $0.key > 0 } > 10)
        #expect(
            entries.filter { $0.key > 0 }.allSatisfy { $0.value.contains { $0.kind == .decode } })
    }

    @Test("a task that kills every worker fails its job, with that task as the reason")
    func poison() throws {
        let seeds = (0..<2000 as Range<UInt64>).filter {
            let schedule = FaultSchedule(seed: $0, workers: 4)
            return schedule.workload.poison != nil
                && schedule.natures.allSatisfy { $0.flaw == .none }
        }
        var named = 0
        for seed in seeds.prefix(12) {
            let report = report(seed, workers: 4)
            #expect(report.violations == [])
            guard case .failed(.taskFailed(let task, let evidence)) = report.ending else {
                Issue.record("seed \(seed) ended with \(report.ending)")
                continue
            }
            if task.index == 0, evidence.allSatisfy({ $0.failure.code == .workerLost }) {
                named += 1
            }
        }
        // Now and then something else goes wrong first.
        #expect(named >= 9)
    }
}

@Suite("A simulation with a planted defect", .watched)
struct SabotageTests {
    @Test(
        "is found out, by the invariant that is hurt",
        arguments: [
            (Sabotage.acceptsTwice, [Invariant.acceptedOnce]),
            (.mixesAnswers, [.sameAnswers]),
            (.startsEarly, [.inputsFirst]),
            (.losesTask, [.lateChangesNothing]),
            (.noticesNothing, [.ends, .books]),
            (.keepsEpoch, [.fencing]),
            (.ignoresCredits, [.books]),
            (.trustsEverybody, [.sameAnswers]),
            (.ignoresChecksums, [.sameAnswers]),
        ])
    func found(sabotage: Sabotage, invariants: [Invariant]) throws {
        let found = (0..<200 as Range<UInt64>).lazy.map { report($0, sabotage) }
            .first { !$0.violations.isEmpty }
        let violation = try #require(found?.violations.first)
        #expect(invariants.contains(violation.invariant), "\(violation)")
        #expect(found?.ending == .unfinished)
    }

    @Test("no defect is left out")
    func complete() { #expect(Sabotage.allCases.count == 9) }
}
