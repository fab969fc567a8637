import Dispatch
import TestSupport
import Testing

@Suite("What tests wait with", .watched, .timeLimit(.minutes(10)))
struct WaitingTests {
    @Test("a wait ends with the change it is for, or at once")
    func change() async throws {
        let number = Watched(0)
        async let seen = number.wait { $0 > 1 }
        number.change { $0 = 1 }
        number.change { $0 = 2 }
        #expect(try await seen == 2)
        #expect(try await number.wait { $0 == 2 } == 2)
    }

    @Test("a wait that is cancelled ends, whether it has begun or not")
    func cancelled() async throws {
        let gate = Gate()
        let waiting = Task { try await gate.pass() }
        try await gate.arrival()
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        let late = Task {
            while !Task.isCancelled { await Task.yield() }
            try await gate.pass()
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
    }

    @Test("tasks of a test that block their threads hold up none of the others")
    func blocking() async {
        let count = 32
        let (arrived, all) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<count {
                group.addTask {
                    arrived.signal()
                    return all.wait(timeout: .now() + 300) == .success
                }
            }
            group.addTask {
                for _ in 0..<count where arrived.wait(timeout: .now() + 300) != .success {
                    return false
                }
                for _ in 0..<count { all.signal() }
                return true
            }
            for await isThere in group { #expect(isThere) }
        }
    }
}
