import ArgumentParser
import ClusterCore
import Denoising
import FaultInjection
import Foundation
import OutputChannels
import Synchronization
import TextToImage

/// Faults to be done on purpose in this process; none unless asked for.
struct FaultOptions: ParsableArguments {
    @Option(
        name: .customLong("fault"),
        help: ArgumentHelp(
            "Break something on purpose, for drills and tests. May be repeated.",
            discussion: FaultGrammar.help,
            valueName: "spec"
        ),
        transform: { text throws in try FaultSpec(text) }
    )
    var specs: [FaultSpec] = []

    @Option(
        help: ArgumentHelp(
            "With the same seed the same messages and computations are hit.", valueName: "number")
    )
    var faultSeed: UInt64 = 1

    @Option(
        help: ArgumentHelp(
            "Append one JSON line per fault done to this file; processes may share it.",
            valueName: "file")
    )
    var faultLog: String?

    /// All rules in the order given; nil without any.
    var spec: FaultSpec? {
        specs.isEmpty ? nil : FaultSpec(specs.flatMap(\.rules))
    }

    /// Refuses targets that this kind of process does not have.
    func check(allowed: Set<FaultTarget.Family>, elsewhere: String) throws {
        for rule in spec?.rules ?? [] where !allowed.contains(rule.target.family) {
            throw ValidationError("--fault '\(rule)': \(elsewhere)")
        }
    }

    /// The faults, ready to be done; nil without any. `name` tells this process from others in
    /// the log. Throws ``CommandFailure`` when the log cannot be written.
    func drill(name: String) throws(CommandFailure) -> FaultDrill? {
        guard let spec else { return nil }
        return try FaultDrill(spec: spec, seed: faultSeed, name: name, log: faultLog)
    }
}

/// Faults of the worker processes that `generate --workers` starts.
struct WorkerFaultOptions: ParsableArguments {
    /// `0:compute:slow=10x`: whose faults, and which.
    struct Choice: Equatable {
        /// nil is every worker.
        let index: Int?
        let spec: FaultSpec

        init(_ text: String) throws {
            let sides = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, sides[0] == "*" || Int(sides[0]).map({ $0 >= 0 }) == true
            else {
                throw ValidationError(
                    "it should begin with a worker's number from 0, or * for all, and a colon, "
                        + "such as 0:compute:slow=10x or '*:result:drop@0.05'")
            }
            index = Int(sides[0])
            spec = try FaultSpec(String(sides[1]))
        }
    }

    @Option(
        name: .customLong("worker-fault"),
        help: ArgumentHelp(
            """
            Break something in a worker process of --workers: its number from 0, or * for all, a \
            colon, and what --fault takes, such as 0:compute:slow=10x. May be repeated. Worker i \
            has the seed --fault-seed plus i.
            """,
            valueName: "number:spec"
        ),
        transform: { text throws in try Choice(text) }
    )
    var choices: [Choice] = []

    func check(workers: Int) throws {
        for choice in choices {
            if let index = choice.index, index >= workers {
                throw ValidationError(
                    workers == 0
                        ? "--worker-fault needs --workers, the processes to break"
                        : "--worker-fault \(index):… but --workers \(workers) are 0 to "
                            + "\(workers - 1)")
            }
            if workers == 0 {
                throw ValidationError("--worker-fault needs --workers, the processes to break")
            }
            for rule in choice.spec.rules where !FaultOptions.ofWorkers.contains(rule.target.family)
            {
                throw ValidationError("--worker-fault '\(rule)': \(FaultOptions.notInWorkers)")
            }
        }
    }

    /// What shall go wrong in a worker; nil for nothing.
    func spec(ofWorker index: Int) -> FaultSpec? {
        let rules = choices.filter { $0.index == nil || $0.index == index }.flatMap(\.spec.rules)
        return rules.isEmpty ? nil : FaultSpec(rules)
    }

    /// The arguments that make a worker process faulty; none for a sound one.
    func arguments(ofWorker index: Int, _ faults: FaultOptions) -> [String] {
        guard let spec = spec(ofWorker: index) else { return [] }
        let log = faults.faultLog.map { ["--fault-log", $0] } ?? []
        return [
            "--fault", "\(spec)", "--fault-seed", "\(faults.faultSeed &+ UInt64(index))",
        ] + log
    }
}

extension FaultOptions {
    /// What can go wrong in a worker …
    static let ofWorkers: Set<FaultTarget.Family> = [.message, .answer, .compute]
    static let notInWorkers =
        "checkpoints, steps and tiles are the coordinator's; give it to generate --fault"
    /// … and in a coordinator.
    static let ofCoordinators: Set<FaultTarget.Family> = [
        .message, .answer, .checkpoint, .milestone,
    ]
    static let notInCoordinators =
        "workers compute; give it to worker --fault or generate --worker-fault"
}

/// A process's faults on their way: says loudly that they are on, writes the log, and tells in
/// the end what was done.
final class FaultDrill: Sendable {
    let injector: FaultInjector

    /// Throws ``CommandFailure`` when the log cannot be written.
    init(spec: FaultSpec, seed: UInt64, name: String, log: String?) throws(CommandFailure) {
        let file = try log.map { path throws(CommandFailure) in try FaultLog(path, name: name) }
        injector = FaultInjector(spec: spec, seed: seed) { file?.write($0) }
    }

    /// What a person must not overlook.
    var banner: String {
        "FAULTS ARE BEING INJECTED on purpose (--fault, seed \(injector.seed)): \(injector.spec)"
    }

    /// `result:drop@0.05 12 of 240`
    var summary: String {
        let counts = injector.counts.map { count in
            count.seen > 0
                ? "\(count.rule) \(count.injected) of \(count.seen)"
                : "\(count.rule) \(count.injected)"
        }
        return "faults injected: " + counts.joined(separator: ", ")
    }

    func decorated(
        _ transport: any WorkerTransport, limits: Limits
    ) -> any WorkerTransport {
        FaultyWorkerTransport(transport, injector: injector, limits: limits)
    }

    func decorated(
        _ transport: any CoordinatorTransport, limits: Limits
    ) -> any CoordinatorTransport {
        FaultyCoordinatorTransport(transport, injector: injector, limits: limits)
    }

    /// For the writes into a state folder.
    var beforeWrite: StateWriteHook {
        { [injector] write in
            if write.kind == .checkpoint { try injector.beforeCheckpoint(step: write.step) }
        }
    }

    func say(_ text: String) { tessera.say("tessera: \(text)") }
}

/// Appends a JSON line per fault. One write(2) per line, so that lines of processes that share
/// the file are whole.
private final class FaultLog: Sendable {
    private struct Line: Encodable {
        let event = "fault"
        let fault: String
        let target: String
        let action: String
        let ordinal: UInt64
        let step: Int?
        /// Milliseconds of the machine's monotonic clock.
        let ms: Int64
        let pid: Int32
        let who: String
    }

    private let channel: OutputChannel
    private let name: String
    /// Whether a pipe's reader stood still once: it is not waited for again.
    private let isStalled = Mutex(false)

    init(_ path: String, name: String) throws(CommandFailure) {
        // A pipe that nobody reads is an error at once instead of a wait.
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC
        let descriptor = open(path, flags | O_NONBLOCK, 0o644)
        guard descriptor >= 0 else {
            let reason =
                errno == ENXIO ? "nobody reads that pipe" : String(cString: strerror(errno))
            throw CommandFailure(.usage, "--fault-log \(path) cannot be written (\(reason))")
        }
        _ = fcntl(descriptor, F_SETFL, O_APPEND)
        channel = OutputChannel(
            descriptor: descriptor, use: .news(lost: Output.lostEvents), capacity: 1 << 20)
        self.name = name
    }

    deinit { channel.close() }

    func write(_ fault: InjectedFault) {
        let line = Line(
            fault: "\(fault.rule)", target: fault.rule.target.rawValue,
            action: fault.rule.action.name.rawValue, ordinal: fault.ordinal, step: fault.step,
            ms: monotonicMilliseconds(), pid: getpid(), who: name)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let bytes = try? encoder.encode(line) else { return }
        channel.send(bytes + [UInt8(ascii: "\n")])
        // The process may die of this very fault.
        isStalled.withLock { isStalled in
            if !isStalled { isStalled = !channel.flush(within: .milliseconds(200)) }
        }
    }
}

/// The machine's monotonic clock: comparable between the processes of one machine.
func monotonicMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
