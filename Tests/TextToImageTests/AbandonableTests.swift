import Denoising
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
                // Not a part of the run's task: a long product is not cancelled either.
                try await Task.detached { try await gate.pass() }.value
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
