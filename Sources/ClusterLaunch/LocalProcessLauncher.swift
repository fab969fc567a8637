package import Logging
internal import Subprocess
internal import SystemPackage

/// How a launched worker process ended.
package struct WorkerProcessEnd: Hashable, Sendable, CustomStringConvertible {
    /// What ended the process.
    package enum Cause: Hashable, Sendable {
        case exited(Int32)
        case signalled(Int32)
        /// It never ran; why not.
        case notStarted(String)
    }

    /// Which of the launcher's workers, from 0.
    package let index: Int
    package let cause: Cause
    /// The last lines of its standard error, oldest first.
    package let lastLines: [String]
    /// Whether another process takes its place.
    package let isStartedAgain: Bool

    /// Ended by itself, without an error.
    package var isSuccess: Bool { cause == .exited(0) }

    /// `worker 2 exited with code 65: tessera: …`
    package var description: String {
        let end =
            switch cause {
            case .exited(let code): "worker \(index) exited with code \(code)"
            case .signalled(let signal): "worker \(index) was killed by signal \(signal)"
            case .notStarted(let reason): "worker \(index) could not be started: \(reason)"
            }
        let again = isStartedAgain ? " and is started again" : ""
        let lines = lastLines.isEmpty ? "" : ": " + lastLines.joined(separator: " | ")
        return end + again + lines
    }
}

/// Worker processes on this machine that live as long as a scope: when it ends, in whatever way,
/// they get SIGTERM, and SIGKILL when that does not help. They end with this process, too, when it
/// is killed (``Lifeline``).
///
/// A worker that dies is reported and started again, within a ``CrashBudget``: one that cannot
/// live, and one that says that it is not wanted, is not.
package struct LocalProcessLauncher: Sendable {
    /// Standard-error lines kept per worker.
    private static let linesKept = 20

    private let program: String?
    private let count: Int
    private let arguments: @Sendable (_ index: Int) -> [String]
    private let gracePeriod: Duration
    private let budget: CrashBudget
    private let logger: Logger

    /// `program` is a name to be looked up in `PATH`; nil is this very program, also after its file
    /// was replaced by a newer build. `arguments` come after the program's name, such as
    /// `["worker", "--connect", endpoint]`. Workers have `gracePeriod` between the two signals.
    /// Each worker that dies is started again within `budget`.
    package init(
        program: String? = nil,
        count: Int,
        arguments: @escaping @Sendable (_ index: Int) -> [String],
        gracePeriod: Duration = .seconds(5),
        budget: CrashBudget = .standard,
        logger: Logger
    ) {
        self.program = program
        self.count = count
        self.arguments = arguments
        self.gracePeriod = gracePeriod
        self.budget = budget
        self.logger = logger
    }

    /// Starts the workers, runs `body`, and ends the workers. `ends` tells of each process that
    /// has ended, also before the scope does; it finishes when all have.
    package func withWorkers<Result: Sendable>(
        _ body: (_ ends: AsyncStream<WorkerProcessEnd>) async throws -> Result
    ) async throws -> Result {
        let (ends, sink) = AsyncStream.makeStream(of: WorkerProcessEnd.self)
        let stop = StopSignal()
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withTaskGroup(of: Void.self) { workers in
                    for index in 0..<count {
                        workers.addTask { await supervise(index, until: stop, tell: sink) }
                    }
                }
                sink.finish()
            }
            defer { stop.give() }
            let result = try await body(ends)
            stop.give()
            try await group.waitForAll()
            return result
        }
    }

    /// Keeps one worker running until the scope ends or its budget does.
    private func supervise(
        _ index: Int,
        until stop: StopSignal,
        tell ends: AsyncStream<WorkerProcessEnd>.Continuation
    ) async {
        let clock = ContinuousClock()
        let start = clock.now
        var deaths: [Duration] = []
        while true {
            let (cause, lines) = await run(index, until: stop)
            let mayGoOn = !stop.isGiven && !Task.isCancelled
            let isStartedAgain =
                mayGoOn && budget.allows(cause, after: &deaths, at: clock.now - start)
            ends.yield(
                WorkerProcessEnd(
                    index: index, cause: cause, lastLines: lines, isStartedAgain: isStartedAgain))
            guard isStartedAgain else { return }
            await stop.wait(atMost: budget.pause)
            if stop.isGiven || Task.isCancelled { return }
        }
    }

    private func run(
        _ index: Int, until stop: StopSignal
    ) async -> (cause: WorkerProcessEnd.Cause, lastLines: [String]) {
        var options = PlatformOptions()
        // Ctrl-C reaches this process alone, which then ends its workers in order.
        options.processGroupID = 0
        let teardown: [TeardownStep] = [
            .gracefulShutDown(allowedDurationToNextStep: gracePeriod)
        ]
        options.teardownSequence = teardown
        let configuration = Configuration(
            executable: program.map { .name($0) } ?? .path("/proc/self/exe"),
            arguments: Arguments(
                executablePathOverride: program ?? "tessera", remainingValues: arguments(index)),
            environment: .inherit.updating([.init(stringLiteral: Lifeline.variable): Lifeline.value]
            ),
            platformOptions: options
        )
        do {
            let result = try await Subprocess.run(
                configuration, input: .inputWriter, output: .discarded, error: .sequence
            ) { execution in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await stop.wait()
                        // When cancelled, the library does it.
                        if !Task.isCancelled { await execution.teardown(using: teardown) }
                    }
                    let lines = await lastLines(of: execution.standardError, index: index)
                    group.cancelAll()
                    return lines
                }
            }
            let cause: WorkerProcessEnd.Cause =
                switch result.terminationStatus {
                case .exited(let code): .exited(code)
                case .signaled(let signal): .signalled(signal)
                }
            return (cause, result.closureResult)
        } catch {
            return (.notStarted("\(error)"), [])
        }
    }

    /// Reads until the worker closes its standard error, that is, ends.
    private func lastLines(of output: SubprocessOutputSequence, index: Int) async -> [String] {
        var kept: [String] = []
        do {
            for try await line in output.strings() {
                logger.debug("worker \(index): \(line)")
                kept.append(line)
                if kept.count > Self.linesKept { kept.removeFirst() }
            }
        } catch {
            kept.append("(its output could not be read: \(error))")
        }
        return kept
    }
}
