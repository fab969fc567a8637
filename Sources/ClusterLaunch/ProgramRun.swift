internal import Subprocess
internal import SystemPackage

/// This very program, run once more with other arguments to its end, also after its file was
/// replaced by a newer build. When the task is cancelled it gets SIGTERM, and SIGKILL when that
/// does not help; it ends with this process, too (``Lifeline``).
package struct ProgramRun: Sendable {
    /// How it ended.
    package struct End: Equatable, Sendable {
        /// Its exit code, or 128 and the signal that ended it.
        package let status: Int32
        /// The last line of its standard error that says what went wrong, or else its last line.
        package let reason: String
    }

    private let arguments: [String]
    private let gracePeriod: Duration

    /// `arguments` come after the program's name. It has `gracePeriod` between the two signals.
    package init(_ arguments: [String], gracePeriod: Duration = .seconds(20)) {
        self.arguments = arguments
        self.gracePeriod = gracePeriod
    }

    /// Runs it; `onLine` gets each line of its standard output. Throws what keeps it from being
    /// started.
    package func run(onLine: @escaping @Sendable (String) -> Void) async throws -> End {
        var options = PlatformOptions()
        // Ctrl-C reaches this process alone, which then ends the other in order.
        options.processGroupID = 0
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: gracePeriod)]
        let configuration = Configuration(
            executable: .path("/proc/self/exe"),
            arguments: Arguments(executablePathOverride: "tessera", remainingValues: arguments),
            environment: .inherit.updating([.init(stringLiteral: Lifeline.variable): Lifeline.value]
            ),
            platformOptions: options)
        let result = try await Subprocess.run(
            configuration, input: .inputWriter, output: .sequence, error: .sequence
        ) { execution in
            async let reason = Self.reason(in: execution.standardError)
            for try await line in execution.standardOutput.strings() { onLine(line) }
            return try await reason
        }
        let status: Int32 =
            switch result.terminationStatus {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return End(status: status, reason: result.closureResult)
    }

    /// Failures begin with the program's name, and what is wrong with arguments with "Error:", after
    /// which help is named.
    private static func reason(in output: SubprocessOutputSequence) async throws -> String {
        var (last, failure) = ("", "")
        for try await line in output.strings() where !line.isEmpty {
            last = line
            if line.hasPrefix("tessera: ") || line.hasPrefix("Error: ") { failure = line }
        }
        return failure.isEmpty ? last : failure
    }
}
