import ArgumentParser
import ClusterCore
import ClusterSimulation
import Foundation

/// Runs clusters that are simulated from end to end.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run simulated clusters under faults, and check that nothing can go wrong.",
        discussion: """
            A run is a coordinator and some workers, the real ones' decisions, on a simulated \
            clock, network and hardware: messages are lost, doubled, delayed, overtaken and \
            damaged, connections cut in one direction or both, machines killed, stopped, slowed \
            and broken, the coordinator stopped, killed and started again on its state. Every \
            invariant is checked after every event. All fate comes from the seed: a seed that \
            fails, fails again with the printed command. One line per failing seed, then a \
            summary; exit code 70 when an invariant broke.

            --replay lives a recorded run again, what tessera generate --event-log wrote: the same \
            events through the same decisions, every invariant checked after every event and every \
            decision compared with the recorded one. It tells what happened to each worker and to \
            each task that needed more than one attempt.

            EXAMPLES
              tessera simulate --count 1000
              tessera simulate --seeds 0..4999 --json
              tessera simulate --seed 17 --workers 3 --trace
              tessera simulate --replay lake.events
            """
    )

    @Option(help: "Run this one seed.")
    var seed: UInt64?

    @Option(
        help: ArgumentHelp("Run the seeds from A to B, both included.", valueName: "A..B"))
    var seeds: SeedRange?

    @Option(help: "Run so many seeds, from 0, or from --seed if that is given.")
    var count: Int?

    @Option(help: "Workers, 1 to 64; 1 to 8, by the seed, if left out.")
    var workers: Int?

    @Option(
        help: ArgumentHelp(
            "Live a recorded run again, from what generate --event-log wrote.", valueName: "file"))
    var replay: String?

    @Flag(help: "Tell everything that happens, of one seed or of a recorded run.")
    var trace = false

    @Flag(help: "Print one JSON object per failing seed, and one at the end.")
    var json = false

    @Option(help: .hidden)
    var sabotage: Sabotage?

    func validate() throws {
        if replay != nil {
            if seed != nil || seeds != nil || count != nil || workers != nil || sabotage != nil {
                throw ValidationError(
                    "--replay takes all from the file; leave the other options out")
            }
            return
        }
        if seeds != nil && (seed != nil || count != nil) {
            throw ValidationError("--seeds names all seeds; leave --seed and --count out")
        }
        if let workers, !(1...64).contains(workers) {
            throw ValidationError("--workers should be 1 to 64, got \(workers)")
        }
        if let count, count < 1 {
            throw ValidationError("--count should be at least 1, got \(count)")
        }
        if trace && range.count != 1 {
            throw ValidationError("--trace tells of one seed: name it with --seed")
        }
    }

    private var range: ClosedRange<UInt64> {
        if let seeds { return seeds.range }
        let first = seed ?? 0
        let length = UInt64(count ?? (seed == nil ? 100 : 1))
        let (last, isTooFar) = first.addingReportingOverflow(length - 1)
        return first...(isTooFar ? UInt64.max : last)
    }

    func run() async throws {
        let command = self
        try await withInterruption { try await command.simulate() }
    }

    private func simulate() async throws {
        if let replay { return try replayed(replay) }
        var tally = SimulationTally()
        if trace {
            var simulation = Simulation(options(for: range.lowerBound)) { printLine($0) }
            tally.add(simulation.run())
        } else {
            try await runAll { tally.add($0) }
        }
        try report(tally)
        if !tally.failing.isEmpty {
            throw ExitStatus.bug.code
        }
    }

    private func options(for seed: UInt64) -> SimulationOptions {
        SimulationOptions(
            seed: seed, workers: workers ?? SimulationOptions.usualWorkers(for: seed),
            sabotage: sabotage)
    }

    /// All seeds, as many at once as there are cores.
    private func runAll(_ done: (SimulationReport) -> Void) async throws {
        var display = ProgressDisplay()
        let clock = ContinuousClock()
        let start = clock.now
        let total = range.count
        var finished = 0
        try await withThrowingTaskGroup(of: SimulationReport.self) { group in
            var remaining = range.makeIterator()
            func addNext() {
                guard let seed = remaining.next() else { return }
                let options = options(for: seed)
                group.addTask {
                    try Task.checkCancellation()
                    var simulation = Simulation(options)
                    return simulation.run()
                }
            }
            for _ in 0..<ProcessInfo.processInfo.activeProcessorCount { addNext() }
            while let report = try await group.next() {
                addNext()
                finished += 1
                if !report.violations.isEmpty {
                    display.closeBar()
                    try tell(of: report)
                }
                done(report)
                if clock.now - start > .seconds(2) {
                    display.update("simulating", done: finished, total: total)
                }
            }
        }
        display.closeBar()
    }

    private func replayed(_ path: String) throws {
        let report = try ReplayReport.run(path: path, trace: trace ? { printLine($0) } : nil)
        if json {
            try printJSON(report.json)
        } else {
            printLine(report.text)
        }
        if !report.isClean { throw ExitStatus.bug.code }
    }

    // MARK: What is printed

    private func command(for options: SimulationOptions) -> String {
        "tessera simulate --seed \(options.seed) --workers \(options.workers) --trace"
            + (options.sabotage.map { " --sabotage \($0.rawValue)" } ?? "")
    }

    private func tell(of report: SimulationReport) throws {
        let first = report.violations[0]
        if json {
            try printJSON(
                FailingSeed(
                    seed: report.options.seed, workers: report.options.workers,
                    invariant: first.invariant.rawValue,
                    seconds: first.at.sinceStart / .seconds(1), text: first.text,
                    replay: command(for: report.options)))
        } else {
            printLine("seed \(report.options.seed): \(first)")
            printLine("  again: \(command(for: report.options))")
        }
    }

    private func report(_ tally: SimulationTally) throws {
        if trace { try tally.failing.forEach(tell) }
        if json {
            try printJSON(tally.summary)
        } else {
            printLine(tally.text)
        }
    }
}

/// `0..4999`
struct SeedRange: ExpressibleByArgument {
    let range: ClosedRange<UInt64>

    init?(argument: String) {
        let ends = argument.split(separator: ".", omittingEmptySubsequences: true)
        guard ends.count == 2, let first = UInt64(ends[0]), let last = UInt64(ends[1]),
            first <= last, argument == "\(first)..\(last)", last - first < 1 << 40
        else { return nil }
        range = first...last
    }

    var defaultValueDescription: String { "\(range.lowerBound)..\(range.upperBound)" }
}

extension Sabotage: ExpressibleByArgument {}

/// An invariant that broke, for programs.
private struct FailingSeed: Encodable {
    var event = "violation"
    let seed: UInt64
    let workers: Int
    let invariant: String
    let seconds: Double
    let text: String
    let replay: String
}

/// What came of many runs.
private struct SimulationTally {
    struct Summary: Encodable {
        var event = "done"
        var seeds = 0
        var finished = 0
        /// Runs whose job failed for a good reason, such as a task that kills every worker.
        var failedWithReason = 0
        var violated = 0
        var events = 0
        var mishaps: [String: Int] = [:]
        var coordinatorLives = 0
        var simulatedSeconds = 0.0
    }

    private(set) var summary = Summary()
    private(set) var failing: [SimulationReport] = []

    mutating func add(_ report: SimulationReport) {
        summary.seeds += 1
        switch report.ending {
        case .finished: summary.finished += 1
        case .failed: summary.failedWithReason += 1
        case .unfinished: break
        }
        if !report.violations.isEmpty {
            summary.violated += 1
            // Enough to look at; the count is complete.
            if failing.count < 100 { failing.append(report) }
        }
        summary.events += report.events
        summary.mishaps.merge(report.mishaps) { $0 + $1 }
        summary.coordinatorLives += report.lives
        summary.simulatedSeconds += report.simulated / .seconds(1)
    }

    var text: String {
        "\(summary.seeds) seeds: \(summary.finished) finished, \(summary.failedWithReason) failed "
            + "with a good reason, \(summary.violated) broke an invariant; \(summary.events) "
            + "events, \(summary.mishaps.values.reduce(0, +)) mishaps, \(summary.coordinatorLives) coordinator lives, "
            + "\(Int(summary.simulatedSeconds)) s simulated"
    }
}
