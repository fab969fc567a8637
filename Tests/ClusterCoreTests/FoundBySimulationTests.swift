import TestSupport
import Testing

@testable import ClusterCore

/// What simulated clusters ran into, each in the fewest steps that show it.
@Suite("What the simulation found", .watched)
struct FoundBySimulationTests {
    private func vote(
        _ attempt: AttemptID,
        _ digest: UInt64,
        from peer: PeerID,
        at now: Double,
        in state: inout CoordinatorState
    ) -> [CoordinatorEffect] {
        state.handle(
            .answered(
                attempt, computeTime: .seconds(1), digest: ContentDigest(digest), from: peer),
            at: seconds(now))
    }

    /// Heartbeats of these workers and ticks, once a second, until something fails or is delivered.
    private func wait(
        with peers: [PeerID],
        from start: Double,
        to end: Double,
        in state: inout CoordinatorState
    ) -> (failure: JobFailure?, delivered: [AttemptID]) {
        for second in stride(from: start, through: end, by: 1) {
            var effects: [CoordinatorEffect] = []
            for peer in peers { effects += state.beat(peer, at: seconds(second)) }
            effects += state.handle(.tick, at: seconds(second))
            if effects.failure != nil || effects.delivered != [] {
                return (effects.failure, effects.delivered)
            }
        }
        return (nil, [])
    }

    @Test("seed 969: a second attempt of a worker that has voted is over with its answer")
    func secondVote() {
        var ledger = TaskLedger()
        let task = tasks(1)[0]
        ledger.submit([task], confirming: [task])
        let voter = (worker: WorkerID(name: "a", incarnation: 1), peer: peer(1))
        let first = ledger.issue(task, to: peer(1))
        ledger.release(first)
        let second = ledger.issue(task, to: peer(1))
        #expect(
            ledger.accept(first, digest: ContentDigest(5), from: voter.peer, voter.worker) == .held)
        #expect(!ledger.hasQueued)
        #expect(
            ledger.accept(second, digest: ContentDigest(5), from: voter.peer, voter.worker)
                == .stale)
        #expect(ledger.hasQueued, "nobody has it, so somebody has to get it")
        #expect(ledger.inconsistencies(limits: .standard) == [])
    }

    @Test("seed 951: one question of a trial that is handed back ends the trial's other ones")
    func handedBackTrial() {
        var state = CoordinatorState.withOpenJob(trial: [.denoise, .decode])
        let questions = state.join(peer(1), hello("a"), at: seconds(0)).handedOut
        _ = state.fail(questions[0], at: peer(1), .handedBack, now: seconds(1))
        #expect(state.attemptsInHand == 0)
        #expect(state.inconsistencies() == [])
    }

    @Test("seed 1481: two workers that contradict each other do not wait for a third for ever")
    func dispute() throws {
        var state = CoordinatorState.withOpenJob(confirmedPercent: 100)
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        let first = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        let second = vote(first, 5, from: peer(1), at: 1, in: &state).handedOut[0]
        #expect(vote(second, 6, from: peer(2), at: 2, in: &state).failure == nil)
        let end = wait(with: [peer(1), peer(2)], from: 3, to: 130, in: &state)
        guard case .taskFailed(let task, let evidence)? = end.failure else {
            Issue.record("\(end)")
            return
        }
        #expect(task == first.task)
        #expect(Set(evidence.map(\.worker.name)) == ["a", "b"])
    }

    @Test("seed 2737: a worker that cannot do the job is nobody to wait for a second answer from")
    func unableWitness() {
        var state = CoordinatorState.withOpenJob(confirmedPercent: 100)
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.received(.hello(hello("b")), from: peer(2)), at: seconds(0))
        _ = state.handle(.received(.jobReady(job, problem: "no"), from: peer(2)), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        #expect(vote(attempt, 5, from: peer(1), at: 1, in: &state).delivered == [attempt])
        #expect(state.counters.unconfirmed == 1)
    }

    @Test("seed 3578: nor is one that never becomes ready, however long it is here")
    func unreadyWitness() {
        var state = CoordinatorState.withOpenJob(confirmedPercent: 100)
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.received(.hello(hello("b")), from: peer(2)), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        #expect(vote(attempt, 5, from: peer(1), at: 1, in: &state).delivered == [])
        let end = wait(with: [peer(1), peer(2)], from: 2, to: 130, in: &state)
        #expect(end.delivered == [attempt])
    }

    @Test("a worker that cannot do the job does not keep it waiting when the last able one is gone")
    func onlyUnable() throws {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.received(.hello(hello("b")), from: peer(2)), at: seconds(0))
        _ = state.handle(
            .received(.jobReady(job, problem: "too little memory"), from: peer(2)),
            at: seconds(0))
        _ = state.handle(.submit(job, tasks(3)), at: seconds(0))
        _ = state.handle(.disconnected(peer(1)), at: seconds(1))
        let end = wait(with: [peer(2)], from: 2, to: 130, in: &state)
        let failure = try #require(end.failure)
        #expect("\(failure)".contains("too little memory"))
    }

    @Test("a worker that comes again and again and is turned away does not keep a job waiting")
    func revolvingDoor() throws {
        var state = CoordinatorState.withOpenJob(trial: [.denoise])
        _ = state.handle(.submit(job, tasks(1)), at: seconds(0))
        var failure: JobFailure?
        for life in 1...60 where failure == nil {
            let now = Double(life) * 4
            let peer = peer(UInt8(life))
            let joined = state.join(
                peer, hello("a", incarnation: UInt64(life)), at: seconds(now))
            for question in joined.handedOut {
                _ = state.handle(
                    .unsound(
                        question, TaskFailure(code: .unsound, reason: "other weights"), from: peer),
                    at: seconds(now + 1))
            }
            failure = wait(with: [], from: now + 2, to: now + 3, in: &state).failure
        }
        guard case .noWorkers(let waited, let rejections)? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(waited >= .seconds(120) && waited < .seconds(200))
        #expect(rejections.contains { $0.contains("other weights") })
    }

    @Test("seed 4531: a worker that is left alone is asked when nobody else can do the job")
    func neededAgain() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        for round in 1...3 as ClosedRange<UInt32> {
            let effects = state.handle(
                .submit(job, tasks(2, round: round)), at: seconds(Double(round)))
            for attempt in effects.handedOut(to: peer(1)) {
                _ = state.fail(attempt, at: peer(1), now: seconds(Double(round)))
            }
        }
        #expect(state.counters.quarantined == 1)
        _ = state.handle(.disconnected(peer(2)), at: seconds(4))
        _ = state.handle(.received(.hello(hello("c")), from: peer(3)), at: seconds(4))
        _ = state.handle(.received(.jobReady(job, problem: "no"), from: peer(3)), at: seconds(4))
        var released = false
        for second in stride(from: 5.0, through: 20, by: 1) {
            _ = state.beat(peer(1), at: seconds(second))
            _ = state.beat(peer(3), at: seconds(second))
            let effects = state.handle(.tick, at: seconds(second))
            released =
                released
                || effects.workerEvents.contains(
                    .released(WorkerID(name: "a", incarnation: 1)))
        }
        #expect(released)
    }

    @Test("seed 5: a question from an earlier life of the coordinator is not kept")
    func voidQuestion() {
        var state = WorkerState(hello: hello("a"), limits: .standard)
        _ = state.handle(.started, at: seconds(0))
        let welcome = Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "test")
        let life = CoordinatorLife(realm: presentLife.realm, epoch: Epoch(4))
        _ = state.handle(.received(.welcome(welcome), life: life), at: seconds(0))
        let attempt = AttemptID(task: tasks(1)[0], number: 1)
        let effects = state.handle(.received(.task(attempt), life: presentLife), at: seconds(1))
        #expect(effects == [.discard(attempt)])
    }
}
