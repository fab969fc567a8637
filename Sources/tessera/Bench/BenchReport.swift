import ComputeBackends
import DiffusionModels
import Foundation
import TextToImage

/// A value that is written as null when it is not there, instead of not at all.
struct Nullable<Value: Encodable>: Encodable {
    let value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value { try container.encode(value) } else { try container.encodeNil() }
    }
}

/// What computed, so that a figure can be read years later.
struct BenchMachine: Encodable {
    let processor: String
    /// Processors that this process may use.
    let processors: Int
    let memoryBytes: UInt64
    let system: String
    let instructionSet: String
    let blasCore: String
    let blas: String
    let computeClass: String

    init(_ backend: CPUBackend) {
        let machine = DoctorReport.Machine.present
        processor = machine.processor
        processors = machine.threads
        memoryBytes = machine.memoryBytes
        system = machine.system
        instructionSet = backend.instructionSet.rawValue
        blasCore = BLASLibrary.core
        blas = BLASLibrary.configuration
        computeClass = "\(backend.computeClass)"
    }

    /// For people.
    var lines: [(String, String)] {
        [
            (
                "machine",
                "\(processor), \(processors) processors, \(memoryBytes >> 20) MiB, \(system)"
            ),
            ("computing", "\(computeClass), \(blas)"),
        ]
    }
}

/// The model that was measured.
struct BenchModel: Encodable {
    let path: String
    let family: String
    let nativeSide: Int

    init(_ folder: ModelFolder) {
        path = folder.path
        family = folder.family.rawValue
        nativeSide = folder.nativeSide
    }
}

/// Several times of the same thing.
struct Timing: Encodable {
    /// In the order they were taken; never empty.
    let seconds: [Double]
    let medianSeconds: Double
    let minSeconds: Double
    let maxSeconds: Double

    /// Traps without a time.
    init(_ seconds: [Double]) {
        precondition(!seconds.isEmpty, "nothing was timed")
        let sorted = seconds.sorted()
        let middle = sorted.count / 2
        self.seconds = seconds
        medianSeconds =
            sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        minSeconds = sorted[0]
        maxSeconds = sorted[sorted.count - 1]
    }

    /// For people: `median 1.234 s (1.200 to 1.300) of 5`
    var text: String {
        "median \(secondsText(medianSeconds)) (\(secondsText(minSeconds)) to "
            + "\(secondsText(maxSeconds))) of \(seconds.count)"
    }
}

/// Anything that `bench` prints.
protocol BenchReport: Encodable {
    /// For people.
    var text: String { get }
}

extension BenchReport {
    /// Prints the report on standard output, as JSON on one line or as text.
    func print(json: Bool) throws {
        if json {
            try printJSON(self)
        } else {
            printLine(text)
        }
    }
}

/// Three significant digits or more: `12.3 µs`, `45.6 ms`, `1.234 s`.
func secondsText(_ seconds: Double) -> String {
    switch seconds {
    case ..<1e-3: String(format: "%.1f µs", seconds * 1e6)
    case ..<1: String(format: "%.2f ms", seconds * 1e3)
    default: String(format: "%.3f s", seconds)
    }
}

/// Facts for people, one a line.
func factsText(_ facts: [(String, String)]) -> String {
    facts.map { name, fact in name.padding(toLength: 14, withPad: " ", startingAt: 0) + fact }
        .joined(separator: "\n")
}
