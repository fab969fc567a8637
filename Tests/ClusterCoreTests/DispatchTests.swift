import TestSupport
import Testing

@testable import ClusterCore

@Suite("DispatchPolicy", .watched)
struct DispatchTests {
    private func candidate(_ number: UInt8, load: Int = 0, takes seconds: Double?)
        -> DispatchPolicy.Candidate
    {
        DispatchPolicy.Candidate(
            peer: peer(number), worker: WorkerID(name: "w\(number)", incarnation: 1), slots: 1,
            load: load, taskTime: seconds.map { .seconds($0) })
    }

    private func choice(_ candidates: [DispatchPolicy.Candidate], waiting: Int) -> PeerID? {
        DispatchPolicy.worker(
            avoiding: [], holders: [], among: candidates, waiting: waiting, limits: .standard
        ).map { candidates[$0].peer }
    }

    @Test("equals share, and never wait for each other", arguments: 1...8)
    func equals(waiting: Int) {
        let idle = (1...4).map { candidate(UInt8($0), takes: 1) }
        #expect(choice(idle, waiting: waiting) == peer(1))
        let unknown = (1...4).map { candidate(UInt8($0), takes: nil) }
        #expect(choice(unknown, waiting: waiting) == peer(1))
    }

    @Test("of idle workers the clearly faster one is asked first")
    func fastest() {
        let candidates = [candidate(1, takes: 2), candidate(2, takes: 1), candidate(3, takes: 1)]
        #expect(choice(candidates, waiting: 3) == peer(2))
    }

    @Test("a slow worker gets a task only when the others would be busy for as long")
    func slowWorker() {
        let busy = (1...3).map { candidate(UInt8($0), load: 2, takes: 1) }
        let slow = candidate(9, takes: 10)
        #expect(choice(busy + [slow], waiting: 5) == nil)
        #expect(choice(busy + [slow], waiting: 100) == peer(9))
        #expect(choice([slow], waiting: 1) == peer(9), "better slow than never")
    }

    @Test("a slow worker gets the task that the fast one failed")
    func failedByTheFast() {
        let fast = candidate(1, takes: 1)
        let slow = candidate(2, takes: 3)
        let choice = DispatchPolicy.worker(
            avoiding: [fast.peer], holders: [], among: [fast, slow], waiting: 1,
            limits: .standard)
        #expect(choice == 1)
    }

    @Test("nothing is recalled from a fast worker for one that would take longer")
    func recall() {
        let fast = candidate(1, load: 2, takes: 1)
        #expect(
            DispatchPolicy.prefetchToRecall(among: [fast, candidate(2, takes: 1)])?.holder
                == peer(1))
        #expect(DispatchPolicy.prefetchToRecall(among: [fast, candidate(2, takes: 10)]) == nil)
        #expect(
            DispatchPolicy.prefetchToRecall(among: [fast, candidate(2, takes: nil)])?.idle.peer
                == peer(2))
    }
}
