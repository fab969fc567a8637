import Foundation
import Synchronization
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

    /// Runs to the end.
    static func run(
        _ arguments: [String],
        environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await RunningTool(arguments, environment: environment).outcome()
    }
}

/// A `tessera` that is under way.
final class RunningTool: Sendable {
    private let process: Process
    private let output = StreamCollector()
    private let errors = StreamCollector()

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: CommandLineTool.executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output.pipe
        process.standardError = errors.pipe
        try process.run()
        output.start()
        errors.start()
    }

    var processID: pid_t { process.processIdentifier }

    func send(signal: Int32) { kill(processID, signal) }

    /// Waits for the end of the process and of its streams.
    func outcome() async -> CommandLineTool.Outcome {
        let output = await output.text()
        let errors = await errors.text()
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { [process] in
                process.waitUntilExit()
                continuation.resume()
            }
        }
        let status =
            process.terminationReason == .exit
            ? process.terminationStatus : 128 + process.terminationStatus
        return .init(status: status, output: output, errors: errors)
    }

    /// Waits until standard error or standard output has shown `text`; false when the process
    /// ended without.
    func hasShown(_ text: String) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { [output] in await output.wait(for: text) }
            group.addTask { [errors] in await errors.wait(for: text) }
            for await shown in group where shown {
                output.stopWaiting()
                errors.stopWaiting()
                return true
            }
            return false
        }
    }
}

/// Reads a pipe on a thread of its own and tells waiters what came.
private final class StreamCollector: Sendable {
    private struct State {
        var bytes = Data()
        var ended = false
        var waiters: [(text: Data?, continuation: CheckedContinuation<Bool, Never>)] = []
    }

    let pipe = Pipe()
    private let state = Mutex(State())

    func start() {
        Thread.detachNewThread { [self] in
            while true {
                let chunk = pipe.fileHandleForReading.availableData
                settle { state in
                    state.bytes.append(chunk)
                    state.ended = chunk.isEmpty
                }
                if chunk.isEmpty { return }
            }
        }
    }

    func text() async -> String {
        _ = await wait(for: nil)
        return state.withLock { String(decoding: $0.bytes, as: UTF8.self) }
    }

    func wait(for text: String) async -> Bool { await wait(for: Data(text.utf8)) }

    /// Lets everyone who waits for a text go.
    func stopWaiting() {
        let released = state.withLock { state in
            let released = state.waiters.filter { $0.text != nil }
            state.waiters.removeAll { $0.text != nil }
            return released
        }
        for waiter in released { waiter.continuation.resume(returning: false) }
    }

    private func wait(for text: Data?) async -> Bool {
        await withCheckedContinuation { continuation in
            settle { $0.waiters.append((text, continuation)) }
        }
    }

    /// Changes the state, then answers every waiter whose question is decided.
    private func settle(_ change: (inout State) -> Void) {
        let decided = state.withLock { state in
            change(&state)
            var decided: [(CheckedContinuation<Bool, Never>, Bool)] = []
            state.waiters.removeAll { waiter in
                let found = waiter.text.map { state.bytes.range(of: $0) != nil } ?? false
                guard found || state.ended else { return false }
                decided.append((waiter.continuation, found))
                return true
            }
            return decided
        }
        for (continuation, answer) in decided { continuation.resume(returning: answer) }
    }
}

/// A folder that goes away with its owner.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tessera-e2e-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
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
