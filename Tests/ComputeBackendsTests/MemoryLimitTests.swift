import TestSupport
import Testing

@testable import ComputeBackends

@Suite("Memory that is not to be had", .watched)
struct MemoryLimitTests {
    @Test("is told in one sentence: what was wanted, what is allowed and what is taken")
    func sentence() {
        let limit = MemoryLimit(name: "ulimit -v", allowed: 900 << 20, used: 700 << 20)
        let shortage = MemoryShortage(
            purpose: "the matrix products of 2 threads", wanted: 258 << 20, rest: 48 << 20,
            limit: limit)
        #expect(
            shortage.description
                == "out of memory: 258 MiB are wanted for the matrix products of 2 threads and "
                + "48 MiB have to stay free beside it, but ulimit -v allows 900 MiB, of which "
                + "700 MiB are taken; raise it, or choose fewer --threads or a smaller "
                + "--memory-budget")
        let machine = MemoryShortage(purpose: "a tile", wanted: 1, rest: 0, limit: nil)
        #expect(machine.description.contains("1 MiB are wanted for a tile, and the system"))
    }

    @Test("is an error where one can be thrown, whatever was asked for")
    func absurdSizes() {
        #expect(throws: MemoryShortage.self) { try HostBuffer(count: .max, for: "nothing") }
        #expect(throws: MemoryShortage.self) { try HostBuffer(count: .max / 8, for: "nothing") }
    }
}
