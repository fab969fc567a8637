import Foundation
import UnixSignals

/// A signal asked the program to stop.
struct Interrupted: Error, CustomStringConvertible {
    let signal: UnixSignal
    var description: String { "interrupted by \(signal)" }
}

/// Runs `body`; SIGINT and SIGTERM cancel it, and ``Interrupted`` is thrown once it has cleaned
/// up. A second signal finds no handler any more and ends the process at once.
func withInterruption<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await received in signals {
                signal(SIGINT, SIG_DFL)
                signal(SIGTERM, SIG_DFL)
                throw Interrupted(signal: received)
            }
            return nil
        }
        defer { group.cancelAll() }
        while let result = try await group.next() {
            if let result { return result }
        }
        throw CancellationError()
    }
}
