import OrderedCollections
import TestSupport
import Testing

@testable import ClusterCore

@Suite("CoordinatorState: whom it trusts", .watched)
struct TrustTests {
    private func isRejected(_ effects: [CoordinatorEffect], _ code: RejectionCode, at peer: PeerID)
        -> Bool
    {
        effects.sent(to: peer).contains {
            if case .reject(let rejection) = $0 { rejection.code == code } else { false }
        }
    }

    @Test("a worker answers the questions with known answers before it gets a task")
    func trial() {
        var state = CoordinatorState.withOpenJob(trial: [.denoise, .decode])
        let joined = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.submit(job, tasks(4)), at: seconds(0))
        let questions = joined.handedOut(to: peer(1))
        #expect(questions.map(\.task.round) == [0, 0])
        #expect(questions.map(\.task.kind) == [.denoise, .decode])
        #expect(state.answer(questions[0], from: peer(1), at: seconds(1)).handedOut == [])
        let passed = state.answer(questions[1], from: peer(1), at: seconds(1))
        #expect(passed.handedOut(to: peer(1)).map(\.task) == Array(tasks(2)))
        #expect(passed.delivered == [])
        // Once in a session is enough.
        let other = JobID(6)
        _ = state.handle(
            .open(other, conditioning: digest, trial: [.denoise]), at: seconds(2))
        let ready = state.handle(
            .received(.jobReady(other, problem: nil), from: peer(1)), at: seconds(2))
        #expect(!ready.handedOut.contains { $0.task.round == 0 })
    }

    @Test("a wrong answer to a known question ends the session before anything was computed")
    func flunked() {
        var state = CoordinatorState.withOpenJob(trial: [.denoise])
        let question = state.join(peer(1), hello("a"), at: seconds(0)).handedOut[0]
        _ = state.handle(.submit(job, tasks(4)), at: seconds(0))
        let effects = state.handle(
            .unsound(
                question, TaskFailure(code: .unsound, reason: "3 numbers differ"), from: peer(1)),
            at: seconds(1))
        #expect(isRejected(effects, .knownAnswer, at: peer(1)))
        #expect(effects.handedOut == [] && state.liveWorkers == 0)
        // Whoever waits for a worker in vain learns why.
        let failure = state.handle(.tick, at: seconds(1)).failure
        #expect(failure == nil)
        var reasons = ""
        for second in stride(from: 2.0, through: 130, by: 2) {
            if let failure = state.handle(.tick, at: seconds(second)).failure {
                reasons = "\(failure)"
            }
        }
        #expect(reasons.contains("3 numbers differ"))
    }

    @Test("a trial whose messages got lost is begun again")
    func lostTrial() {
        var state = CoordinatorState.withOpenJob(trial: [.denoise])
        let first = state.join(peer(1), hello("a"), at: seconds(0)).handedOut[0]
        var again: [AttemptID] = []
        for second in stride(from: 1.0, through: 14, by: 1) {
            again += state.beat(peer(1), at: seconds(second)).handedOut
            _ = state.handle(.tick, at: seconds(second))
        }
        #expect(again.contains(first), "sent again within the lease")
        let later = again.filter { $0.number > 1 }
        #expect(!later.isEmpty, "and begun anew after it")
        _ = state.answer(later.last ?? first, from: peer(1), at: seconds(14))
        let effects = state.handle(.submit(job, tasks(1)), at: seconds(15))
        #expect(effects.handedOut(to: peer(1)).count == 1)
    }

    @Test("three failures in a row give a worker a rest that doubles; others go on")
    func quarantine() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        var now = 1.0
        var rests: [Duration] = []
        var round: UInt32 = 1
        while rests.count < 3, now < 400 {
            let effects = state.handle(.submit(job, tasks(2, round: round)), at: seconds(now))
            var open = effects.handedOut
            var holder: [AttemptID: PeerID] = [:]
            for number in [UInt8(1), 2] {
                for attempt in effects.handedOut(to: peer(number)) {
                    holder[attempt] = peer(number)
                }
            }
            while let attempt = open.popLast() {
                let isBad = holder[attempt] == peer(1)
                let next =
                    isBad
                    ? state.fail(attempt, at: peer(1), now: seconds(now))
                    : state.answer(attempt, from: peer(2), at: seconds(now))
                for case .quarantined(_, let time, _) in next.workerEvents { rests.append(time) }
                for number in [UInt8(1), 2] {
                    for attempt in next.handedOut(to: peer(number)) {
                        holder[attempt] = peer(number)
                        open.append(attempt)
                    }
                }
                #expect(next.failure == nil)
            }
            for _ in 0..<2 { _ = state.handle(.consumed(job), at: seconds(now)) }
            round += 1
            for _ in 0..<4 {
                now += 1
                _ = state.beat(peer(1), at: seconds(now))
                _ = state.beat(peer(2), at: seconds(now))
                _ = state.handle(.tick, at: seconds(now))
            }
        }
        #expect(rests == [.seconds(30), .seconds(60), .seconds(120)])
    }

    @Test("the last worker is never left alone: somebody has to try")
    func lastWorker() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        var attempts = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut
        for second in 2..<5 {
            let effects = state.fail(attempts[0], at: peer(1), now: seconds(Double(second)))
            attempts = effects.handedOut
            #expect(attempts.count == 1)
        }
    }

    @Test("a worker that comes and goes without an answer has to wait; one that computes has not")
    func flapping() {
        for computes in [true, false] {
            var state = CoordinatorState.withOpenJob()
            _ = state.join(peer(200), hello("steady"), at: seconds(0))
            var wasHeld = false
            for life in 1...14 {
                let address = peer(UInt8(life))
                let now = seconds(Double(life))
                let joined = state.join(
                    address, hello("flappy", incarnation: UInt64(life)), at: now)
                if case .quarantined? = joined.workerEvents.last(where: {
                    if case .quarantined = $0 { true } else { false }
                }) {
                    wasHeld = true
                }
                if computes {
                    let round = UInt32(life)
                    let handed = state.handle(
                        .submit(job, tasks(2, round: round)), at: now)
                    for number in [UInt8(life), 200] {
                        for attempt in handed.handedOut(to: peer(number)) {
                            _ = state.answer(attempt, from: peer(number), at: now)
                            _ = state.handle(.consumed(job), at: now)
                        }
                    }
                }
                _ = state.handle(.disconnected(address), at: now)
            }
            #expect(wasHeld == !computes)
        }
    }

    @Test("two workers that agree outvote a third, whose earlier answers taint the picture")
    func outvoted() {
        for hadAnswers in [false, true] {
            var state = CoordinatorState.withOpenJob(confirmedPercent: hadAnswers ? 0 : 100)
            if hadAnswers { state = partlyConfirming() }
            for number in 1...3 {
                _ = state.join(peer(UInt8(number)), hello("w\(number)"), at: seconds(0))
            }
            var open = state.handle(.submit(job, tasks(40)), at: seconds(1))
            var failure: JobFailure?
            var turnedAway = false
            var delivered = 0
            for _ in 0..<400 {
                var next: [CoordinatorEffect] = []
                for number in 1...3 {
                    for attempt in open.handedOut(to: peer(UInt8(number))) {
                        let answer = ContentDigest(number == 3 ? 666 : 7)
                        next += state.handle(
                            .answered(
                                attempt, computeTime: .seconds(1), digest: answer,
                                from: peer(UInt8(number))), at: seconds(2))
                    }
                }
                delivered += next.delivered.count
                for _ in next.delivered { next += state.handle(.consumed(job), at: seconds(2)) }
                failure = failure ?? next.failure
                turnedAway = turnedAway || isRejected(next, .misbehaved, at: peer(3))
                open = next
            }
            #expect(turnedAway)
            if case .tainted(let worker, let answers)? = failure {
                #expect(hadAnswers && worker.name == "w3" && answers > 0)
            } else {
                #expect(!hadAnswers && delivered == 40)
            }
        }
    }

    /// So that some tasks are confirmed and others are not.
    private func partlyConfirming() -> CoordinatorState { .withOpenJob(confirmedPercent: 30) }

    @Test("what a worker still sends after it was turned away is void")
    func barred() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        let handed = state.handle(.submit(job, tasks(4)), at: seconds(1)).handedOut(to: peer(1))
        for _ in 0..<3 {
            _ = state.handle(.malformed(reason: "noise", from: peer(1)), at: seconds(2))
        }
        let late = state.answer(handed[0], from: peer(1), at: seconds(3))
        #expect(late.delivered == [] && state.counters.stale == 1)
    }

    @Test("about the asked part of all tasks is confirmed", arguments: [0.0, 1, 30, 100])
    func share(percent: Double) {
        let confirmation = Confirmation(percent: percent, salt: 77)
        let all = (1...50).flatMap { tasks(200, round: UInt32($0)) }
        let part = Double(all.count { confirmation.covers($0) }) / Double(all.count) * 100
        #expect(abs(part - percent) <= 1.5)
    }

    @Test("with nobody to confirm it a single answer is taken, and counted")
    func unconfirmed() {
        var state = CoordinatorState.withOpenJob(confirmedPercent: 100)
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        let effects = state.handle(
            .answered(attempt, computeTime: .seconds(1), digest: digest, from: peer(1)),
            at: seconds(2))
        #expect(effects.delivered == [attempt])
        #expect(state.counters.unconfirmed == 1 && state.counters.accepted == 1)
    }

    @Test("whoever fails what it should confirm keeps nobody waiting")
    func cannotConfirm() throws {
        var state = CoordinatorState.withOpenJob(confirmedPercent: 100)
        _ = state.join(peer(1), hello("sound"), at: seconds(0))
        let first = try #require(
            state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut.last)
        _ = state.join(peer(2), hello("broken"), at: seconds(1))
        var effects = state.handle(
            .answered(first, computeTime: .seconds(1), digest: digest, from: peer(1)),
            at: seconds(2))
        #expect(effects.delivered.isEmpty)
        let second = try #require(effects.handedOut(to: peer(2)).last)
        effects = state.fail(second, at: peer(2), now: seconds(3))
        #expect(effects.delivered == [first])
        #expect(state.counters.unconfirmed == 1)
    }

    @Test("two workers that find no finite number are enough: the task is at fault")
    func notFinite() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        let first = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        let failure = TaskFailure(code: .notFinite, reason: "not finite")
        let next = state.handle(.unsound(first, failure, from: peer(1)), at: seconds(2))
        #expect(next.failure == nil)
        let last = state.handle(
            .unsound(next.handedOut[0], failure, from: peer(2)), at: seconds(3))
        guard case .taskFailed(_, let evidence)? = last.failure else {
            Issue.record("\(last)")
            return
        }
        #expect(evidence.count == 2)
    }

    @Test("answers of a wrong shape are the workers' fault, however many of them give some")
    func wrongShape() {
        var state = CoordinatorState.withOpenJob()
        for number: UInt8 in 1...3 {
            _ = state.join(peer(number), hello("w\(number)"), at: seconds(0))
        }
        var effects = state.handle(.submit(job, tasks(1)), at: seconds(1))
        for time in 2...3 {
            guard let (attempt, holder) = effects.assignments.last else {
                Issue.record("not handed out again: \(effects)")
                return
            }
            effects = state.handle(
                .unsound(
                    attempt, TaskFailure(code: .unsound, reason: "3 predictions"), from: holder),
                at: seconds(Double(time)))
            #expect(effects.failure == nil)
        }
        #expect(effects.assignments.count == 1)
    }
}

@Suite("A machine that dies whatever it is asked", .watched)
struct FruitlessTests {
    /// Joins, is given a task and dies, so often; another worker is there and busy. The failure, if
    /// the job ended.
    private func dying(
        times: Int, name: (Int) -> String
    ) throws -> (state: CoordinatorState, failure: JobFailure?) {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(100), hello("busy"), at: seconds(0))
        _ = state.handle(.submit(job, tasks(20)), at: seconds(0))
        for number in 1...times {
            let life = Hello(
                worker: WorkerID(name: name(number), incarnation: UInt64(number)), slots: 1,
                identity: identity, version: "test")
            let joined = state.join(peer(UInt8(number)), life, at: seconds(Double(number)))
            let lost = state.handle(
                .disconnected(peer(UInt8(number))), at: seconds(Double(number) + 0.1))
            if let failure = (joined + lost).failure { return (state, failure) }
        }
        return (state, nil)
    }

    @Test("fails no job while another lives, and what it dropped is not given to it again")
    func sameName() throws {
        let (state, failure) = try dying(times: 10) { _ in "flappy" }
        #expect(failure == nil)
        #expect(state.jobs[job]?.ledger.openEntries.allSatisfy { $0.failures.count <= 1 } == true)
    }

    @Test("fails none either under a new name each time, until that has been many")
    func newNames() throws {
        let few = try dying(times: Limits.standard.maximumFruitlessAttempts / 2 - 1) {
            "host/\($0)"
        }
        #expect(few.failure == nil)
        guard
            case .taskFailed(_, let evidence)? = try dying(times: 100, name: { "host/\($0)" })
                .failure
        else {
            Issue.record("the job goes on")
            return
        }
        #expect(evidence.count == Limits.standard.maximumFruitlessAttempts)
    }
}

@Suite("A worker that fails the known questions for reasons of its own", .watched)
struct FailedTrialTests {
    @Test("is asked again, but no job waits for it longer than for nobody")
    func isNobody() throws {
        let limits = Limits.standard
        var state = CoordinatorState.withOpenJob(trial: [.denoise])
        var effects = state.join(peer(1), hello("broken"), at: seconds(0))
        effects += state.handle(.submit(job, tasks(1)), at: seconds(0))
        var time = 0
        while effects.failure == nil, time < 1000 {
            time += 1
            let now = seconds(Double(time))
            if let question = effects.handedOut.last {
                effects = state.fail(question, at: peer(1), now: now)
            } else {
                effects = []
            }
            effects += state.beat(peer(1), at: now) + state.handle(.tick, at: now)
        }
        #expect(time == Int(limits.noWorkerTimeout.components.seconds))
        guard case .noWorkers(_, let reasons)? = effects.failure else {
            Issue.record("\(effects)")
            return
        }
        #expect(reasons.contains { $0.contains("broken") && $0.contains("broke") })
    }

    @Test("may yet succeed")
    func succeeds() throws {
        var state = CoordinatorState.withOpenJob(trial: [.denoise])
        var effects = state.join(peer(1), hello("a"), at: seconds(0))
        effects += state.handle(.submit(job, tasks(1)), at: seconds(0))
        _ = state.fail(try #require(effects.handedOut.last), at: peer(1), now: seconds(1))
        let again = try #require(state.beat(peer(1), at: seconds(2)).handedOut.last)
        #expect(again.task.round == 0)
        #expect(
            state.answer(again, from: peer(1), at: seconds(3)).handedOut.map(\.task) == tasks(1))
    }
}

@Suite("A task that fails on the only worker", .watched)
struct SecondOpinionTests {
    private var limits: Limits {
        var limits = Limits.standard
        limits.secondOpinionWait = .seconds(30)
        return limits
    }

    /// A coordinator whose only worker has failed the only task as often as it may, at second 5.
    private func doubting() throws -> (CoordinatorState, [CoordinatorEffect]) {
        var state = CoordinatorState.withOpenJob(limits: limits)
        _ = state.join(peer(1), hello("broken"), at: seconds(0))
        var effects = state.handle(.submit(job, tasks(1)), at: seconds(1))
        for number in 1...limits.maximumAttempts {
            let attempt = try #require(effects.handedOut.last)
            effects = state.fail(attempt, at: peer(1), now: seconds(Double(number + 1)))
        }
        return (state, effects)
    }

    @Test("is not tried there again, and whoever comes next gets it")
    func another() throws {
        var (state, effects) = try doubting()
        #expect(effects.failure == nil && effects.handedOut.isEmpty)
        #expect(
            effects.workerEvents == [
                .doubted(hello("broken").worker, tasks(1)[0], waiting: .seconds(30))
            ])
        effects = state.join(peer(2), hello("sound"), at: seconds(20))
        let attempt = AttemptID(task: tasks(1)[0], number: 5)
        #expect(effects.handedOut(to: peer(2)) == [attempt])
        #expect(state.answer(attempt, from: peer(2), at: seconds(40)).delivered == [attempt])
    }

    @Test("fails the job with the evidence when nobody comes")
    func nobody() throws {
        var (state, _) = try doubting()
        for time in 6...34 {
            _ = state.beat(peer(1), at: seconds(Double(time)))
            let effects = state.handle(.tick, at: seconds(Double(time)))
            #expect(effects.failure == nil && effects.workerEvents.isEmpty)
        }
        guard
            case .taskFailed(let task, let evidence)? = state.handle(.tick, at: seconds(35)).failure
        else {
            Issue.record("the job goes on")
            return
        }
        #expect(task == tasks(1)[0])
        #expect(evidence.count == limits.maximumAttempts)
    }

    @Test("is tried by a third when the second, which never answered either, fails it too")
    func both() throws {
        var (state, _) = try doubting()
        let handedOut = state.join(peer(2), hello("other"), at: seconds(20)).handedOut
        let effects = state.fail(try #require(handedOut.last), at: peer(2), now: seconds(21))
        #expect(effects.failure == nil)
        let third = state.join(peer(3), hello("third"), at: seconds(22)).handedOut(to: peer(3))
        #expect(third.map(\.task) == tasks(1))
    }

    @Test("fails at once on one that has answered others: then it is the task's fault")
    func answered() throws {
        var state = CoordinatorState.withOpenJob(limits: limits)
        _ = state.join(peer(1), hello("broken"), at: seconds(0))
        _ = state.join(peer(2), hello("sound"), at: seconds(0))
        let handedOut = state.handle(.submit(job, tasks(2)), at: seconds(1)).assignments
        let task = try #require(handedOut.first { $0.holder == peer(1) }).attempt.task
        let other = try #require(handedOut.first { $0.holder == peer(2) }).attempt
        _ = state.answer(other, from: peer(2), at: seconds(2))
        var effects: [CoordinatorEffect] = []
        for number: UInt32 in 1...UInt32(limits.maximumAttempts) {
            let attempt = AttemptID(task: task, number: number)
            let holder = try #require(
                state.roster.all.first { $0.value.leases[attempt] != nil }?.key)
            #expect(effects.failure == nil)
            effects = state.fail(attempt, at: holder, now: seconds(Double(2 + number)))
        }
        guard case .taskFailed(_, let evidence)? = effects.failure else {
            Issue.record("the job goes on: \(effects)")
            return
        }
        #expect(evidence.count == limits.maximumAttempts)
    }
}

/// What a worker sends of an answer that is not finite.
enum NotFiniteAnswer: CaseIterable, Sendable {
    /// That it is not.
    case honest
    /// The values, and whoever looks at them finds it.
    case values

    func event(_ attempt: AttemptID, from peer: PeerID) -> CoordinatorEvent {
        let failure = TaskFailure(code: .notFinite, reason: "not finite")
        return switch self {
        case .honest: .received(.failure(attempt, failure), from: peer)
        case .values: .unsound(attempt, failure, from: peer)
        }
    }
}

@Suite("An answer that is not finite", .watched)
struct NotFiniteTests {
    private func limits(secondOpinionWait: Duration) -> Limits {
        var limits = Limits.standard
        limits.secondOpinionWait = secondOpinionWait
        return limits
    }

    /// A coordinator whose only worker finds no finite answer to anything, until it is given
    /// nothing more.
    private func alone(
        _ answer: NotFiniteAnswer, slots: Int = 1, tasks count: Int = 5,
        secondOpinionWait: Duration = .zero
    ) -> (state: CoordinatorState, effects: [CoordinatorEffect]) {
        var state = CoordinatorState.withOpenJob(
            limits: limits(secondOpinionWait: secondOpinionWait))
        _ = state.join(peer(1), hello("only", slots: slots), at: seconds(0))
        var effects = state.handle(.submit(job, tasks(count)), at: seconds(1))
        var inHand = effects.handedOut[...]
        while let attempt = inHand.popFirst(), state.openTasks(of: job) > 0 {
            let next = state.handle(answer.event(attempt, from: peer(1)), at: seconds(2))
            inHand += next.handedOut
            effects += next
        }
        return (state, effects)
    }

    @Test(
        "of the only worker is asked for once more; then the job ends with it, and the worker stays",
        arguments: NotFiniteAnswer.allCases, [1, 3])
    func onlyWorker(answer: NotFiniteAnswer, slots: Int) {
        var (state, effects) = alone(answer, slots: slots)
        guard case .taskFailed(_, let evidence)? = effects.failure else {
            Issue.record("the job goes on: \(effects)")
            return
        }
        #expect(evidence.map(\.failure.code) == [.notFinite, .notFinite])
        #expect(effects.rejection(of: peer(1)) == nil && state.liveWorkers == 1)
        #expect(state.counters.rejected == 0 && state.counters.quarantined == 0)
        // It makes the next picture.
        let next = JobID(6)
        _ = state.handle(.open(next, conditioning: digest, trial: []), at: seconds(3))
        _ = state.handle(.received(.jobReady(next, problem: nil), from: peer(1)), at: seconds(3))
        let task = TaskID(job: next, round: 1, step: 1, index: 0, kind: .denoise)
        #expect(
            state.handle(.submit(next, [task]), at: seconds(3)).handedOut(to: peer(1)).map(\.task)
                == [task])
    }

    @Test(
        "of two workers ends the job, and neither is left alone for having said so",
        arguments: NotFiniteAnswer.allCases)
    func bothHonest(answer: NotFiniteAnswer) {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        var inHand = state.handle(.submit(job, tasks(9)), at: seconds(1)).assignments[...]
        // The first is quicker by far.
        var failure: JobFailure?
        while failure == nil,
            let next = inHand.firstIndex(where: { $0.holder == peer(1) }) ?? inHand.indices.first
        {
            let (attempt, holder) = inHand.remove(at: next)
            let effects = state.handle(answer.event(attempt, from: holder), at: seconds(2))
            failure = effects.failure
            inHand += effects.assignments
        }
        guard case .taskFailed? = failure else {
            Issue.record("\(failure as (any Error)?)")
            return
        }
        #expect(state.liveWorkers == 2 && state.counters.quarantined == 0)
    }

    @Test(
        "of the only worker is left to another where one may come, who has it",
        arguments: NotFiniteAnswer.allCases)
    func secondOpinion(answer: NotFiniteAnswer) throws {
        var (state, effects) = alone(answer, tasks: 1, secondOpinionWait: .seconds(30))
        #expect(effects.failure == nil && effects.handedOut.count == 2)
        #expect(
            effects.workerEvents == [
                .doubted(hello("only").worker, tasks(1)[0], waiting: .seconds(30))
            ])
        effects = state.join(peer(2), hello("sound"), at: seconds(20))
        let attempt = try #require(effects.handedOut(to: peer(2)).first)
        #expect(state.answer(attempt, from: peer(2), at: seconds(25)).delivered == [attempt])
    }

    @Test(
        "of one among many is computed by the others, and that one is left alone for a while",
        arguments: NotFiniteAnswer.allCases)
    func oneOfMany(answer: NotFiniteAnswer) {
        var state = CoordinatorState.withOpenJob()
        for number: UInt8 in 1...3 {
            _ = state.join(peer(number), hello("w\(number)"), at: seconds(0))
        }
        let effects = state.handle(.submit(job, tasks(30)), at: seconds(1))
        var inHand = effects.assignments[...]
        var delivered: [TaskID] = []
        var time = 1.0
        while let (attempt, holder) = inHand.popFirst() {
            time += 0.1
            let next =
                holder == peer(1)
                ? state.handle(answer.event(attempt, from: holder), at: seconds(time))
                : state.answer(attempt, from: holder, at: seconds(time))
                    + state.handle(.consumed(job), at: seconds(time))
            #expect(next.failure == nil && next.rejection(of: peer(1)) == nil)
            delivered += next.delivered.map(\.task)
            inHand += next.assignments
            inHand.removeAll { state.roster[$0.holder]?.leases[$0.attempt] == nil }
        }
        #expect(Set(delivered) == Set(tasks(30)))
        #expect(state.counters.quarantined == 1)
        #expect(state.roster[peer(1)]?.quarantinedUntil != nil)
    }
}
