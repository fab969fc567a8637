import Dispatch
import Foundation
import OutputChannels
import Synchronization
import UnixSignals

/// A signal asked the program to stop.
struct Interrupted: Error, CustomStringConvertible {
    let signal: UnixSignal
    var description: String { "interrupted by \(signal)" }
}

/// Runs `body`; the signals that end a program cancel it, and ``Interrupted`` is thrown once it
/// has cleaned up. When that takes longer than `grace`, as in the middle of a long forward,
/// `overdue` ends the process: supervisors kill what does not end in time. A second signal finds no
/// handler any more and ends the process at once, and nobody waits for the readers of a result any
/// longer.
func withInterruption<Result: Sendable>(
    grace: Duration = .seconds(20),
    overdue: @escaping @Sendable (Interrupted) -> Never = { Main.abandon(with: $0) },
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let signals = await UnixSignalsSequence(trapping: Signals.ending)
    let cleanup = Cleanup()
    defer { cleanup.isOver.withLock { $0 = true } }
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await received in signals {
                Signals.endAtNext()
                Output.results.abandon()
                let interruption = Interrupted(signal: received)
                cleanup.mustEnd(within: grace) { overdue(interruption) }
                throw interruption
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

/// What happens between a signal and the end of what it interrupts.
private final class Cleanup: Sendable {
    let isOver = Mutex(false)

    /// Calls `overdue` on a thread of its own unless it is over by then: whatever holds up the
    /// cleaning up may hold up every other thread as well.
    func mustEnd(within grace: Duration, else overdue: @escaping @Sendable () -> Never) {
        let seconds = grace / .seconds(1)
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) {
            if !self.isOver.withLock({ $0 }) { overdue() }
        }
    }
}
