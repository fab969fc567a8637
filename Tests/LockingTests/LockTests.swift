import Locking
import TestSupport
import Testing

@Suite("Lock", .watched)
struct LockTests {
    @Test("what many tasks add up under a lock is the sum of all")
    func counts() async {
        let count = Lock(0)
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<10_000 { count.withLock { $0 += 1 } } }
            }
        }
        #expect(count.withLock { $0 } == 80_000)
    }

    @Test("an error passes through, and leaves the lock open")
    func errors() {
        struct Odd: Error {}
        let text = Lock("a")
        #expect(throws: Odd.self) {
            try text.withLock { text throws(Odd) in
                text += "b"
                throw Odd()
            }
        }
        #expect(text.withLock { $0 } == "ab")
    }
}
