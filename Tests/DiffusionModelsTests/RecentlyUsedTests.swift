import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Recently used values", .watched)
struct RecentlyUsedTests {
    @Test("the least recently used value goes when there are too many")
    func eviction() {
        var kept = RecentlyUsed<String, Int>(limit: 2)
        #expect(kept.find("a") == nil)
        kept.insert(1, for: "a")
        kept.insert(2, for: "b")
        #expect(kept.find("a") == 1)
        kept.insert(3, for: "c")
        #expect(kept.count == 2)
        #expect(kept.find("b") == nil)
        #expect(kept.find("a") == 1)
        #expect(kept.find("c") == 3)
        kept.removeAll()
        #expect(kept.count == 0 && kept.find("a") == nil)
    }
}
