import Denoising
import Synchronization
import TestSupport
import Testing
import TextToImage

@Suite("What is computed in this process is left at once when the run is cancelled", .watched)
struct AbandonableTests {
    @Test("a result is the body's, and so is an error")
    func result() async throws {
        struct Broken: Error, Equatable {}
        #expect(try await abandonable { 3 } == 3)
        await #expect(throws: Broken()) { try await abandonable { () -> Int in throw Broken() } }
    }

    @Test("a cancelled task does not wait for a body that cannot be interrupted")
    func cancelled() async throws {
        let gate = Gate()
        let started = EventLog<Int>()
        let ended = EventLog<Int>()
        let run = Task {
            try await abandonable {
                started.add(0)
                await gate.opened()
                ended.add(0)
            }
        }
        try await started.wait { _ in true }
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
        #expect(ended.all.isEmpty)
        gate.open()
        try await ended.wait { _ in true }
    }
}

/// Does not open when a task that waits for it is cancelled, as a long product does not end.
private final class Gate: Sendable {
    private let waiter = Mutex<(isOpen: Bool, waiting: CheckedContinuation<Void, Never>?)>(
        (false, nil))

    func open() {
        waiter.withLock { state in
            state.isOpen = true
            state.waiting?.resume()
            state.waiting = nil
        }
    }

    func opened() async {
        await withCheckedContinuation { continuation in
            waiter.withLock { state in
                if state.isOpen { continuation.resume() } else { state.waiting = continuation }
            }
        }
    }
}
