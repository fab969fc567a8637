import ClusterCore
import ClusterSimulation
import TestSupport
import Testing

@Suite("A life lived again", .watched)
struct ReplayTests {
    private let job = JobID(5)

    private func setup() -> CoordinatorSetup {
        CoordinatorSetup(
            expected: identity, life: CoordinatorLife(realm: Realm(1), epoch: Epoch(1)),
            version: "test", limits: .standard)
    }

    private let identity = ModelIdentity(
        weights: ContentDigest(1),
        computeClass: MachineClass(
            backend: "b", instructionSet: "i", blasCore: "c", precision: "p"))

    private func tasks(_ count: Int, round: UInt32 = 1) -> [TaskID] {
        (0..<count).map {
            TaskID(job: job, round: round, step: 0, index: UInt32($0), kind: .denoise)
        }
    }

    private func at(_ seconds: Int) -> Instant { Instant(sinceStart: .seconds(seconds)) }

    @Test("tells of each worker, and of each task that took more than one attempt")
    func story() throws {
        var replay = Replay(setup())
        _ = replay.handle(.open(job, conditioning: ContentDigest(9), trial: []), at: at(0))
        for number in 1...2 as ClosedRange<UInt8> {
            let hello = Hello(
                worker: WorkerID(name: "w\(number)", incarnation: 1), slots: 1,
                identity: identity, version: "test")
            let peer = PeerID(bytes: [number])
            _ = replay.handle(.received(.hello(hello), from: peer), at: at(1))
            _ = replay.handle(.received(.jobReady(job, problem: nil), from: peer), at: at(1))
        }
        _ = replay.handle(.submit(job, tasks(2)), at: at(2))
        _ = replay.handle(.disconnected(PeerID(bytes: [1])), at: at(3))
        for task in tasks(2) {
            for number in 1...2 as ClosedRange<UInt32> {
                _ = replay.handle(
                    .answered(
                        AttemptID(task: task, number: number), computeTime: .seconds(2),
                        digest: ContentDigest(0), from: PeerID(bytes: [2])),
                    at: at(4))
            }
        }
        let story = replay.story
        #expect(story.workers.map(\.name) == ["w1", "w2"])
        #expect(story.workers[0].turns.contains { $0.contains("is lost") })
        #expect(story.answered == 2)
        #expect(story.troubledCount == 1)
        let lines = try #require(story.troubled.first?.attempts)
        #expect(lines.contains { $0.contains("attempt 1 given to w1") })
        #expect(lines.contains { $0.contains("attempt 1 lost with w1") })
        #expect(lines.contains { $0.contains("attempt 2 given to w2") })
    }

    @Test("an event that no caller could have brought is told, not tried")
    func impossible() {
        var replay = Replay(setup())
        let open = CoordinatorEvent.open(job, conditioning: ContentDigest(9), trial: [])
        #expect(replay.problem(of: open) == nil)
        _ = replay.handle(open, at: at(0))
        #expect(replay.problem(of: open)?.contains("twice") == true)
        #expect(replay.problem(of: .submit(job, tasks(2))) == nil)
        #expect(replay.problem(of: .submit(job, tasks(1) + tasks(1)))?.contains("twice") == true)
        #expect(replay.problem(of: .submit(job, tasks(1, round: 0))) != nil)
        _ = replay.handle(.submit(job, tasks(2)), at: at(1))
        #expect(replay.problem(of: .submit(job, tasks(1))) != nil)
        #expect(replay.problem(of: .tick) == nil)
        #expect(replay.violations == [])
    }
}
