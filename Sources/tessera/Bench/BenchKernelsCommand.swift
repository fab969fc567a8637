import ArgumentParser
import ComputeBackends
import Foundation
import TextToImage

/// Times single operations.
struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Time single operations at the sizes that networks have.",
        discussion: """
            GFLOP/s for operations that multiply matrices, gigabytes per second of operands and \
            results, each moved once, for all.

            Sizes are SDXL's at 1024×1024 pixels and those of the small model of tessera \
            synthesize mini, batch 1.
            """
    )

    @Option(
        help: ArgumentHelp(
            "Only the operations whose name contains this, such as attention or mini.",
            valueName: "text")
    )
    var only: String?

    @Option(
        help: """
            How often each is timed, after one run that is not. (default: \
            \(BenchOptions.defaultRuns))
            """
    )
    var runs: Int?

    @OptionGroup var compute: ComputeOptions

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func validate() throws {
        try BenchOptions.check(runs: runs)
        guard !chosen.isEmpty else {
            throw ValidationError(
                "--only \(only ?? ""): no operation is called so; there are "
                    + KernelCase.all.map(\.name).formatted())
        }
    }

    private var chosen: [KernelCase] {
        KernelCase.all.filter { kernel in only.map { kernel.name.contains($0) } ?? true }
    }

    func run() throws {
        let backend = try compute.backend()
        let watcher = ProfilingBackend(backend)
        let ceiling = ProductCeiling(of: backend)
        var display = ProgressDisplay()
        var kernels: [KernelReport] = []
        for (done, kernel) in chosen.enumerated() {
            display.update("timing", done: done, total: chosen.count)
            let operation = kernel.prepare(watcher)
            operation()
            let operations = (0..<(runs ?? BenchOptions.defaultRuns)).flatMap { _ in
                watcher.profile(operation).operations
            }
            kernels.append(KernelReport(kernel, operations, ceiling: ceiling))
        }
        display.closeBar()
        let report = KernelsReport(
            version: tesseraVersion, machine: BenchMachine(backend), threads: backend.threads,
            ceiling: ceiling, peakMemoryBytes: ProcessFacts.peakMemoryBytes, kernels: kernels)
        try report.print(json: json)
    }
}

/// What one operation of `bench kernels` took.
struct KernelReport: Encodable {
    let name: String
    let kind: String
    let shape: String
    let medianSeconds: Double
    let minSeconds: Double
    let maxSeconds: Double
    let gflop: Double
    let gflops: Double
    let ceilingShare: Double
    let gigabytesPerSecond: Double

    /// From at least one run.
    init(_ kernel: KernelCase, _ runs: [OperationRecord], ceiling: ProductCeiling) {
        let timing = Timing(runs.map { $0.duration / .seconds(1) })
        let operation = runs[0]
        name = kernel.name
        kind = operation.kind.rawValue
        shape = operation.shape
        medianSeconds = timing.medianSeconds
        minSeconds = timing.minSeconds
        maxSeconds = timing.maxSeconds
        gflop = operation.flops * 1e-9
        gflops = gflop / timing.medianSeconds
        ceilingShare = gflops / ceiling.gflops
        gigabytesPerSecond = operation.bytes * 1e-9 / timing.medianSeconds
    }
}

/// What `bench kernels` prints.
struct KernelsReport: BenchReport {
    var benchmark = "kernels"
    let version: String
    let machine: BenchMachine
    let threads: Int
    let ceiling: ProductCeiling
    let peakMemoryBytes: Int
    let kernels: [KernelReport]

    var text: String {
        let facts =
            [("tessera", "\(version), bench \(benchmark)")] + machine.lines + [
                ("threads", "\(threads)"),
                (
                    "ceiling",
                    String(format: "%.1f GFLOP/s in ", ceiling.gflops)
                        + ceiling.product
                ),
            ]
        var table = TextTable(
            columns: ["median", "fastest", "GFLOP/s", "ceiling", "GB/s", "name", "shape"],
            wordColumns: 2)
        for kernel in kernels {
            let multiplies = kernel.gflop > 0
            table.add([
                secondsText(kernel.medianSeconds), secondsText(kernel.minSeconds),
                multiplies ? String(format: "%.1f", kernel.gflops) : "",
                multiplies ? String(format: "%.0f %%", 100 * kernel.ceilingShare) : "",
                String(format: "%.1f", kernel.gigabytesPerSecond), kernel.name, kernel.shape,
            ])
        }
        return factsText(facts) + "\n\n" + table.text
    }
}
