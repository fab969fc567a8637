import Foundation
import Subprocess
import SystemPackage
import TestSupport
import Testing

/// The built `tessera`, run as a user runs it: a real process, its streams and its exit status.
struct CommandLineTool {
    /// What a finished run left behind.
    struct Outcome: CustomStringConvertible {
        let status: Int32
        let output: String
        let errors: String

        var description: String { "exit \(status)\n--- stdout\n\(output)\n--- stderr\n\(errors)" }
    }

    /// Beside the test bundle, where the build puts both.
    static let executable: String = {
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = URL(fileURLWithPath: own ?? CommandLine.arguments[0])
            .deletingLastPathComponent()
        return folder.appendingPathComponent("tessera").path
    }()

    /// Runs to the end; no file may grow beyond `fileKilobytes`.
    static func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        fileKilobytes: Int? = nil
    ) async throws -> Outcome {
        let tool = try await RunningTool(
            arguments, environment: environment, fileKilobytes: fileKilobytes)
        return try await tool.outcome()
    }

    /// Runs a script of bash to the end, with the tool as `$T`: for what only a shell can say, such
    /// as a pipe whose reader leaves, a limit, or a descriptor that is closed.
    static func shell(
        _ script: String, environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await RunningTool(shell: script, environment: environment).outcome()
    }
}

/// A `tessera` that is under way.
final class RunningTool: Sendable {
    private let transcript: Watched<Transcript>
    private let task: Task<Int32, any Error>
    private let execution: Execution

    /// Starts the process and returns once it runs.
    convenience init(
        _ arguments: [String], environment: [String: String] = [:], fileKilobytes: Int? = nil,
        descriptors: Int? = nil, hosts: String? = nil
    ) async throws {
        let executable = CommandLineTool.executable
        // POSIX counts this limit in blocks of 512 bytes.
        let limits =
            (fileKilobytes.map { ["ulimit -f \($0 * 2)"] } ?? [])
            + (descriptors.map { ["ulimit -n \($0)"] } ?? [])
        let script = (limits + ["exec \"$0\" \"$@\""]).joined(separator: "; ")
        let limited =
            limits.isEmpty
            ? [executable] + arguments : ["/bin/sh", "-c", script, executable] + arguments
        // Names are looked up in this file by the process alone.
        let command =
            hosts.map { file in
                let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\""
                return [
                    "/usr/bin/unshare", "--mount", "--map-root-user", "/bin/sh", "-c", script, file,
                ] + limited
            } ?? limited
        try await self.init(command: command, environment: environment)
    }

    /// Starts a script of bash, with the tool as `$T`.
    convenience init(shell script: String, environment: [String: String] = [:]) async throws {
        let environment = environment.merging(["T": CommandLineTool.executable]) { $1 }
        try await self.init(command: ["/bin/bash", "-c", script], environment: environment)
    }

    private init(command: [String], environment: [String: String]) async throws {
        let transcript = Watched(Transcript())
        let (executions, started) = AsyncThrowingStream.makeStream(of: Execution.self)
        let updates = environment.map { (Environment.Key(stringLiteral: $0.key), $0.value) }
        task = Task {
            do {
                let result = try await Subprocess.run(
                    .path(FilePath(command[0])),
                    arguments: Arguments(Array(command.dropFirst())),
                    environment: .inherit.updating(Dictionary(uniqueKeysWithValues: updates)),
                    input: .none, output: .sequence, error: .sequence
                ) { execution in
                    started.yield(Execution(identifier: execution.processIdentifier.value))
                    async let output: Void = transcript.collect(
                        execution.standardOutput, as: \.output)
                    async let errors: Void = transcript.collect(
                        execution.standardError, as: \.errors)
                    _ = try await (output, errors)
                }
                transcript.change { $0.hasEnded = true }
                return switch result.terminationStatus {
                case .exited(let code): code
                case .signaled(let signal): 128 + signal
                }
            } catch {
                started.finish(throwing: error)
                transcript.change { $0.hasEnded = true }
                throw error
            }
        }
        self.transcript = transcript
        var iterator = executions.makeAsyncIterator()
        execution = try #require(await iterator.next())
    }

    private struct Execution: Sendable {
        let identifier: pid_t
    }

    var processID: pid_t { execution.identifier }

    func send(signal: Int32) { kill(processID, signal) }

    /// Waits for the end of the process and of its streams. A test that is cancelled, by its time
    /// limit, kills the process.
    func outcome() async throws -> CommandLineTool.Outcome {
        let status = try await withTaskCancellationHandler {
            try await task.ownValue
        } onCancel: {
            send(signal: SIGKILL)
        }
        try Task.checkCancellation()
        let text = transcript.value
        return .init(status: status, output: text.output, errors: text.errors)
    }

    /// Waits until either stream has shown `text`; false when the process ended without. Throws
    /// `CancellationError`.
    func hasShown(_ text: String) async throws -> Bool {
        let last = try await transcript.wait {
            $0.hasEnded || $0.output.contains(text) || $0.errors.contains(text)
        }
        return last.output.contains(text) || last.errors.contains(text)
    }

    /// What both streams have shown so far.
    var said: String { transcript.value.output + transcript.value.errors }
}

extension Task where Failure == any Error {
    /// The value of a task that is cancelled with whoever waits for it.
    var ownValue: Success {
        get async throws {
            try await withTaskCancellationHandler {
                try await value
            } onCancel: {
                cancel()
            }
        }
    }
}

/// What a process has said so far.
private struct Transcript: Sendable {
    var output = ""
    var errors = ""
    var hasEnded = false
}

extension Watched<Transcript> {
    fileprivate func collect(
        _ stream: SubprocessOutputSequence,
        as part: any WritableKeyPath<Transcript, String> & Sendable
    ) async throws {
        for try await line in stream.strings() {
            change { $0[keyPath: part] += line + "\n" }
        }
    }
}

/// The processes on this machine whose environment holds `marker`.
func processes(marked marker: String) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap(pid_t.init).filter { id in
        let environment = FileManager.default.contents(atPath: "/proc/\(id)/environ") ?? Data()
        return environment.range(of: Data(marker.utf8)) != nil
    }
}
