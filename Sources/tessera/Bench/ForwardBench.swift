import ComputeBackends
import Foundation
import Tensors

/// What timing a workload gave.
struct ForwardMeasurement {
    /// From the start of the process; nil where the system does not say when that was.
    let firstForwardSeconds: Double?
    var gflop = 0.0
    /// Of the timed runs, in order.
    var seconds: [Double] = []
    /// The most in one timed run; nil when nobody counts.
    var allocationsPerForward: UInt64?
    var peakMemoryBytes = 0
}

/// Runs a workload once to warm up, then as often as wanted with the clock running.
struct ForwardBench<Load: Workload> {
    let workload: Load
    let facts: WorkloadFacts
    let options: BenchOptions
    let output: SaveOptions

    /// Runs of the profile at most: its shares settle sooner than the times do.
    private static var profiledRuns: Int { 3 }

    /// Measures and prints the report. Throws ``CommandFailure`` when nothing was asked for, and
    /// what saving throws.
    func run() throws {
        var measured = try first()
        try time(&measured)
        // What follows is not what pictures are made of.
        measured.peakMemoryBytes = ProcessFacts.peakMemoryBytes
        measured.gflop = workload.operations().reduce(0) { $0 + $1.flops } * 1e-9
        let ceiling = ProductCeiling(of: facts.backend)
        let report = ForwardReport(
            facts, measured: measured, ceiling: ceiling,
            layers: options.perLayer ? layers(runs: measured.seconds.count) : nil)
        try report.print(json: options.json || options.paced)
    }

    /// The run that is not timed.
    private func first() throws -> ForwardMeasurement {
        var kept: [NamedTensor]?
        if output.save == nil {
            workload.run()
        } else {
            kept = try workload.runKeeping()
        }
        let measured = ForwardMeasurement(firstForwardSeconds: ProcessFacts.secondsSinceStart)
        if let kept {
            // Whoever compares a saved answer should not be left to find out.
            guard kept.allSatisfy({ $0.tensor.elements.allSatisfy(\.isFinite) }) else {
                throw CommandFailure(
                    .badData,
                    "the network's answer holds infinities or NaN; `tessera doctor` finds damaged "
                        + "weights")
            }
            try output.write(kept)
        }
        return measured
    }

    private func time(_ measured: inout ForwardMeasurement) throws {
        guard options.paced else {
            let runs = options.runs ?? BenchOptions.defaultRuns
            var display = ProgressDisplay()
            for run in 0..<runs {
                display.update("timing", done: run, total: runs)
                timeOne(&measured)
            }
            display.closeBar()
            return
        }
        try printJSON(PacingEvent(event: "ready", loadSeconds: facts.loadSeconds))
        while readLine() != nil {
            timeOne(&measured)
            try printJSON(PacingEvent(event: "run", seconds: measured.seconds.last))
        }
        guard !measured.seconds.isEmpty else {
            throw CommandFailure(
                .usage,
                "--paced found no line on standard input, so that nothing was timed; write one "
                    + "line for each run")
        }
    }

    private func timeOne(_ measured: inout ForwardMeasurement) {
        let before = ProcessFacts.allocationCount
        let start = ContinuousClock.now
        workload.run()
        let duration = ContinuousClock.now - start
        if let before, let after = ProcessFacts.allocationCount {
            measured.allocationsPerForward = max(
                measured.allocationsPerForward ?? 0, after - before)
        }
        measured.seconds.append(duration / .seconds(1))
    }

    /// Profiles about as often as was timed.
    private func layers(runs: Int) -> [LayerReport] {
        var display = ProgressDisplay()
        let count = min(Self.profiledRuns, runs)
        var profiles: [[OperationRecord]] = []
        for run in 0..<count {
            display.update("profiling", done: run, total: count)
            profiles.append(workload.watcher.profile(workload.watchedRun).operations)
        }
        display.closeBar()
        return LayerReport.layers(of: profiles)
    }
}

/// A line of `--paced`.
private struct PacingEvent: Encodable {
    let event: String
    var loadSeconds: Double?
    var seconds: Double?
}
