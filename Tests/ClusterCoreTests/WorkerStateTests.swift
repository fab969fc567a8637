import ClusterCore
import TestSupport
import Testing

@Suite("WorkerState", .watched)
struct WorkerStateTests {
    private let attempts = tasks(8).map { AttemptID(task: $0, number: 1) }

    private func joined() -> WorkerState {
        var state = WorkerState(hello: hello("a"), limits: .standard)
        _ = state.handle(.started, at: seconds(0))
        _ = state.receive(
            .welcome(Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "c")))
        return state
    }

    private func ready() -> WorkerState {
        var state = joined()
        _ = state.receive(.openJob(job, conditioning: digest))
        _ = state.receive(.asset(digest))
        _ = state.handle(.prepared(digest, problem: nil), at: seconds(0))
        return state
    }

    @Test("it greets until it is welcomed")
    func greeting() {
        var state = WorkerState(hello: hello("a"), limits: .standard)
        let greeting: [WorkerEffect] = [.send(.hello(hello("a")), expendable: true)]
        #expect(state.handle(.started, at: seconds(0)) == greeting)
        #expect(state.handle(.tick(progress: nil), at: seconds(1)) == [])
        #expect(state.handle(.tick(progress: nil), at: seconds(2)) == greeting)
        let welcome = Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "c")
        #expect(state.receive(.welcome(welcome)) == [.news(.joined)])
        #expect(state.receive(.welcome(welcome)) == [])
        let effects = state.handle(.tick(progress: 5), at: seconds(3))
        let beat = Heartbeat(number: 1, inHand: [], progress: 5)
        #expect(effects == [.send(.heartbeat(beat), expendable: true)])
    }

    @Test("it asks for a conditioning once and reports ready when the model has it")
    func conditioning() {
        var state = joined()
        #expect(
            state.receive(.openJob(job, conditioning: digest)) == [
                .send(.assetRequest(digest), expendable: false)
            ])
        #expect(state.receive(.asset(digest)) == [.prepare(digest)])
        #expect(state.receive(.asset(digest)) == [])
        #expect(
            state.handle(.prepared(digest, problem: nil), at: seconds(1)) == [
                .send(.jobReady(job, problem: nil), expendable: false)
            ])
        // A second job with the same content needs nothing more.
        #expect(
            state.receive(.openJob(JobID(6), conditioning: digest)) == [
                .send(.jobReady(JobID(6), problem: nil), expendable: false)
            ])
    }

    @Test("it says why it cannot take a conditioning in")
    func problem() {
        var state = joined()
        _ = state.receive(.openJob(job, conditioning: digest))
        _ = state.receive(.asset(digest))
        #expect(
            state.handle(.prepared(digest, problem: "too wide"), at: seconds(1)) == [
                .forget(digest), .send(.jobReady(job, problem: "too wide"), expendable: false),
            ])
    }

    @Test("a picture may have more texts than are kept, and they go with its jobs or the session")
    func manyTexts() {
        for isForgotten in [false, true] {
            var state = joined()
            for number in 1...6 {
                let text = ContentDigest(UInt64(number))
                _ = state.receive(.openJob(JobID(UInt64(number)), conditioning: text))
                _ = state.receive(.asset(text))
                let effects = state.handle(.prepared(text, problem: nil), at: seconds(1))
                #expect(
                    effects == [
                        .send(.jobReady(JobID(UInt64(number)), problem: nil), expendable: false)
                    ])
                #expect(state.inconsistencies() == [])
            }
            let effects =
                isForgotten
                ? state.receive(.reject(Rejection(code: .unknownSession, reason: "who?")))
                : (1...6).flatMap { state.receive(.closeJob(JobID(UInt64($0)))) }
            #expect(effects.contains(.forget(ContentDigest(1))))
            #expect(effects.contains(.forget(ContentDigest(2))))
            #expect(!effects.contains(.forget(ContentDigest(3))))
            #expect(state.inconsistencies() == [])
        }
    }

    @Test("old conditionings are dropped, those of open jobs never")
    func eviction() {
        var state = joined()
        var forgotten: [ContentDigest] = []
        for number in 1...6 {
            let digest = ContentDigest(UInt64(number))
            _ = state.receive(.openJob(JobID(UInt64(number)), conditioning: digest))
            _ = state.receive(.asset(digest))
            let effects = state.handle(.prepared(digest, problem: nil), at: seconds(1))
            for case .forget(let digest) in effects { forgotten.append(digest) }
            if number > 1 { _ = state.receive(.closeJob(JobID(UInt64(number)))) }
        }
        #expect(forgotten == [ContentDigest(2), ContentDigest(3)])
    }

    @Test("one task runs, the next waits, a cancelled one is never answered")
    func tasksInTurn() {
        var state = ready()
        #expect(state.receive(.task(attempts[0])) == [.compute(attempts[0])])
        #expect(state.receive(.task(attempts[1])) == [])
        #expect(state.receive(.task(attempts[1])) == [])
        #expect(state.receive(.cancel(attempts[0])) == [.discard(attempts[0])])
        let freed = TaskFailure(code: .handedBack, reason: "it was cancelled")
        #expect(
            state.handle(.computed(attempts[0], computeTime: .seconds(1)), at: seconds(2)) == [
                .send(.failure(attempts[0], freed), expendable: false), .compute(attempts[1]),
            ])
        #expect(
            state.handle(.computed(attempts[1], computeTime: .seconds(1)), at: seconds(3)) == [
                .keep(attempts[1]),
                .send(.result(attempts[1], computeTime: .seconds(1)), expendable: false),
            ])
    }

    @Test("a task it is not ready for is handed back")
    func notReady() {
        var state = joined()
        let effects = state.receive(.task(attempts[0]))
        guard case .send(.failure(attempts[0], let failure), _)? = effects.last else {
            Issue.record("not handed back: \(effects)")
            return
        }
        #expect(failure.code == .handedBack)
    }

    @Test("a job opened again for another conditioning hands back what waits for the first")
    func reopened() {
        var state = ready()
        #expect(state.receive(.task(attempts[0])) == [.compute(attempts[0])])
        #expect(state.receive(.task(attempts[1])) == [])
        let effects = state.receive(.openJob(job, conditioning: ContentDigest(digest.value + 1)))
        #expect(effects.contains(.discard(attempts[1])))
        let isHandedBack = effects.contains {
            guard case .send(.failure(let attempt, let failure), _) = $0 else { return false }
            return attempt == attempts[1] && failure.code == .handedBack
        }
        #expect(isHandedBack)
        let after = state.handle(.computed(attempts[0], computeTime: .seconds(1)), at: seconds(1))
        #expect(!after.contains(.compute(attempts[1])))
    }

    @Test("draining finishes the task in hand, hands back the next, and waits to be heard")
    func draining() {
        var state = ready()
        _ = state.receive(.task(attempts[0]))
        _ = state.receive(.task(attempts[1]))
        let drain = state.handle(.drain, at: seconds(1))
        #expect(drain.first == .discard(attempts[1]))
        #expect(drain.last == .send(.goodbye(.draining), expendable: false))
        let result = state.handle(.computed(attempts[0], computeTime: .seconds(1)), at: seconds(2))
        #expect(
            result == [
                .keep(attempts[0]),
                .send(.result(attempts[0], computeTime: .seconds(1)), expendable: false),
                .send(.goodbye(.leaving), expendable: false),
            ])
        #expect(state.receive(.goodbye(.leaving)) == [.exit(.drained)])
        #expect(state.handle(.drain, at: seconds(9)) == [])
    }

    @Test("the coordinator's word drains as the owner's does, and said twice means the same")
    func drainedByCoordinator() {
        var state = ready()
        _ = state.receive(.task(attempts[0]))
        let drain: [WorkerEffect] = state.receive(.drain)
        #expect(
            drain == [
                .news(.draining(tasks: 1)), .send(.goodbye(.draining), expendable: false),
            ])
        let again: [WorkerEffect] = state.receive(.drain)
        #expect(again == [])
        let result = state.handle(.computed(attempts[0], computeTime: .seconds(1)), at: seconds(2))
        #expect(result.last == .send(.goodbye(.leaving), expendable: false))
    }

    @Test("a second drain, or the end of its grace, does not wait for the computation")
    func impatience() {
        for isSecondDrain in [true, false] {
            var state = ready()
            _ = state.receive(.task(attempts[0]))
            _ = state.handle(.drain, at: seconds(1))
            var effects: [WorkerEffect] = []
            for step in 2...26 where !isSecondDrain {
                let now = seconds(Double(step))
                #expect(effects.allSatisfy { $0 != .send(.goodbye(.leaving), expendable: false) })
                _ = state.handle(.received(.heartbeatAck(1), life: presentLife), at: now)
                effects = state.handle(.tick(progress: nil), at: now)
            }
            if isSecondDrain { effects = state.handle(.drain, at: seconds(26)) }
            #expect(effects.contains(.send(.goodbye(.leaving), expendable: false)))
            let later = state.handle(.tick(progress: nil), at: seconds(28.5))
            #expect(later.contains(.exit(.drained)))
        }
    }

    @Test("an idle worker leaves at once, one that never joined says nothing")
    func leavingIdle() {
        var state = ready()
        #expect(
            state.handle(.drain, at: seconds(1)) == [.send(.goodbye(.leaving), expendable: false)])
        var lonely = WorkerState(hello: hello("a"), limits: .standard)
        _ = lonely.handle(.started, at: seconds(0))
        #expect(lonely.handle(.drain, at: seconds(1)) == [.exit(.drained)])
    }

    @Test("refusals end it, except the one that a new hello mends")
    func rejection() {
        var state = joined()
        let mend = Rejection(code: .unknownSession, reason: "who?")
        let greeting = WorkerEffect.send(.hello(hello("a")), expendable: true)
        #expect(state.receive(.reject(mend)) == [.news(.forgotten), greeting])
        #expect(state.receive(.reject(mend)) == [greeting])
        let weights = Rejection(code: .weights, reason: "others")
        #expect(state.receive(.reject(weights)) == [.exit(.rejected(weights))])
    }

    @Test("what an earlier life of the coordinator said is ignored")
    func epochs() {
        var state = joined()
        #expect(state.currentLife == presentLife)
        let effects = state.handle(
            .received(
                .goodbye(.leaving), life: CoordinatorLife(realm: presentLife.realm, epoch: Epoch(2))
            ), at: seconds(1))
        #expect(effects == [])
    }

    @Test("a task of an earlier life does not take the question of one of its name that waits")
    func voidTask() {
        var state = ready()
        let attempts = tasks(2).map { AttemptID(task: $0, number: 1) }
        for attempt in attempts {
            _ = state.handle(.received(.task(attempt), life: presentLife), at: seconds(1))
        }
        let earlier = CoordinatorLife(realm: presentLife.realm, epoch: Epoch(2))
        #expect(
            state.handle(.received(.task(attempts[1]), life: earlier), at: seconds(1)) == [])
        let done = state.handle(.computed(attempts[0], computeTime: .seconds(1)), at: seconds(2))
        #expect(done.contains(.compute(attempts[1])))
    }

    @Test("silence leads to new greetings and at last to giving up")
    func orphan() {
        var state = ready()
        var greetedAt: Double?
        var exitedAt: Double?
        var news: [WorkerNews] = []
        for step in 1...2500 where exitedAt == nil {
            let now = Double(step) * 0.25
            for effect in state.handle(.tick(progress: nil), at: seconds(now)) {
                if case .send(.hello, _) = effect, greetedAt == nil { greetedAt = now }
                if case .exit(.coordinatorSilent) = effect { exitedAt = now }
                if case .news(let told) = effect { news.append(told) }
            }
        }
        #expect(greetedAt == 10)
        #expect(exitedAt == 600)
        #expect(news == [.coordinatorSilent(.seconds(10))])
    }

    @Test("an answer that got lost is sent again without computing it again")
    func lostAnswer() {
        var state = ready()
        _ = state.receive(.task(attempts[0]))
        let done = state.handle(.computed(attempts[0], computeTime: .seconds(2)), at: seconds(1))
        #expect(done.first == .keep(attempts[0]))
        let result = WorkerEffect.send(
            .result(attempts[0], computeTime: .seconds(2)), expendable: false)
        #expect(state.receive(.task(attempts[0])) == [.discard(attempts[0]), result])
        // Later answers push it out.
        for attempt in attempts[1...2] {
            _ = state.receive(.task(attempt))
            _ = state.handle(.computed(attempt, computeTime: .seconds(2)), at: seconds(1))
        }
        #expect(state.receive(.task(attempts[0])) == [.compute(attempts[0])])
        #expect(state.answeredCount == 3)
    }

    @Test("a coordinator that will be back is waited for; one that leaves is not")
    func returning() {
        var state = ready()
        #expect(
            state.receive(.goodbye(.returning)) == [
                .news(.coordinatorReturning), .send(.hello(hello("a")), expendable: true),
            ])
        let next = CoordinatorLife(realm: presentLife.realm, epoch: Epoch(4))
        _ = state.handle(
            .received(
                .welcome(Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "c")),
                life: next), at: seconds(1))
        #expect(state.currentLife == next)
        #expect(
            state.handle(.received(.goodbye(.leaving), life: next), at: seconds(2)) == [
                .exit(.coordinatorLeft)
            ])
    }

    @Test("another coordinator at the address is heeded only when it does not know the worker")
    func otherRealm() {
        let other = CoordinatorLife(realm: Realm(99), epoch: Epoch(1))
        var state = ready()
        #expect(state.handle(.received(.goodbye(.leaving), life: other), at: seconds(1)) == [])
        #expect(
            state.handle(.received(.task(attempts[0]), life: other), at: seconds(1)) == [
                .discard(attempts[0])
            ])
        let unknown = Rejection(code: .unknownSession, reason: "who?")
        #expect(
            state.handle(.received(.reject(unknown), life: other), at: seconds(1)) == [
                .news(.forgotten), .send(.hello(hello("a")), expendable: true),
            ])
        _ = state.handle(
            .received(
                .welcome(Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "c")),
                life: other), at: seconds(2))
        #expect(state.currentLife == other)
    }

    @Test("a computation that stands still for good ends the worker; one that moves does not")
    func watchdog() {
        for moves in [true, false] {
            var state = ready()
            _ = state.receive(.task(attempts[0]))
            var exit: WorkerExit?
            for second in stride(from: 0.0, through: 100, by: 1) {
                let progress = moves ? UInt64(second) : 5
                let effects = state.handle(.tick(progress: progress), at: seconds(second))
                for case .exit(let reason) in effects { exit = reason }
                _ = state.handle(
                    .received(.heartbeatAck(1), life: presentLife), at: seconds(second))
            }
            #expect(moves ? exit == nil : exit == .hung(.seconds(60)))
        }
    }

    @Test("a worker that stood still does not take the coordinator for dead")
    func ownStall() {
        var state = ready()
        _ = state.handle(.tick(progress: nil), at: seconds(1))
        let effects = state.handle(.tick(progress: nil), at: seconds(2000))
        #expect(!effects.contains { if case .exit = $0 { true } else { false } })
    }
}

extension WorkerState {
    fileprivate mutating func receive(_ message: CoordinatorMessage) -> [WorkerEffect] {
        handle(.received(message, life: presentLife), at: seconds(0))
    }
}
