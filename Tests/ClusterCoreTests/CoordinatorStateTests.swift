import ClusterCore
import TestSupport
import Testing

@Suite("CoordinatorState", .watched)
struct CoordinatorStateTests {
    @Test("a fitting worker is welcomed and told of the open jobs")
    func welcome() {
        var state = CoordinatorState.withOpenJob()
        let effects = state.handle(.received(.hello(hello("a")), from: peer(1)), at: seconds(1))
        #expect(
            effects.sent(to: peer(1)) == [
                .welcome(
                    Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "test")),
                .openJob(job, conditioning: digest),
            ])
        #expect(
            effects.workerEvents == [
                .joined(WorkerID(name: "a", incarnation: 1), live: 1)
            ])
    }

    @Test(
        "a worker that does not fit is turned away with the reason",
        arguments: [
            (
                hello(
                    "a",
                    identity: ModelIdentity(
                        weights: ContentDigest(8), computeClass: identity.computeClass)),
                RejectionCode.weights, "0000000000000008"
            ),
            (
                hello(
                    "a",
                    identity: ModelIdentity(
                        weights: identity.weights,
                        computeClass: MachineClass(
                            backend: "cpu", instructionSet: "avx512", blasCore: "SkylakeX",
                            precision: "f32"))), .computeClass, "cpu/avx512/SkylakeX/f32"
            ),
            (hello("a", slots: 0), .misbehaved, "0 slots"),
            (hello("a", slots: 65), .misbehaved, "65 slots"),
        ])
    func rejection(hello: Hello, code: RejectionCode, words: String) throws {
        var state = CoordinatorState.withOpenJob()
        let effects = state.handle(.received(.hello(hello), from: peer(1)), at: seconds(1))
        let rejection = try #require(effects.rejection(of: peer(1)), "\(effects)")
        #expect(rejection.code == code)
        #expect(rejection.reason.contains(words))
        #expect(effects.workerEvents == [.rejected(name: "a", rejection)])
        #expect(state.liveWorkers == 0)
    }

    @Test("another wire version is refused with both versions named")
    func wireVersion() throws {
        var state = CoordinatorState.withOpenJob()
        let effects = state.handle(
            .incompatible(WireVersion(major: 9, minor: 3), from: peer(1)), at: seconds(1))
        let rejection = try #require(effects.rejection(of: peer(1)), "\(effects)")
        #expect(rejection.code == .wireVersion)
        #expect(rejection.reason.contains("9.3"))
        #expect(rejection.reason.contains("\(WireVersion.current)"))
    }

    @Test("the roster has an end")
    func full() throws {
        var limits = Limits()
        limits.maximumWorkers = 1
        var state = CoordinatorState.withOpenJob(limits: limits)
        _ = state.join(peer(1), hello("a"), at: seconds(1))
        let effects = state.join(peer(2), hello("b"), at: seconds(1))
        #expect(try #require(effects.rejection(of: peer(2))).code == .full)
    }

    @Test("operators see who is there and what everyone is at")
    func snapshot() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(1))
        _ = state.join(peer(2), hello("b"), at: seconds(1))
        #expect(state.workers(at: seconds(1)).map(\.activity) == [.idle, .idle])
        _ = state.handle(.submit(job, tasks(1)), at: seconds(1))
        _ = state.handle(.received(.goodbye(.draining), from: peer(2)), at: seconds(1))
        let workers = state.workers(at: seconds(1))
        #expect(workers.map(\.name) == ["a", "b"])
        #expect(workers.map(\.activity) == [.working, .leaving])
        #expect(workers.map(\.attemptsInHand) == [1, 0])
        #expect(workers[0].denoiseTime == .zero && workers[0].quarantines == 0)
        #expect(state.peers(named: "b") == [peer(2)])
        #expect(state.peers(named: "c") == [])
    }

    @Test("a stranger is asked to say hello")
    func stranger() throws {
        var state = CoordinatorState.withOpenJob()
        let effects = state.beat(peer(9), at: seconds(1))
        #expect(try #require(effects.rejection(of: peer(9))).code == .unknownSession)
    }

    @Test("a worker gets one task to run and one ahead per slot", arguments: [1, 2, 3])
    func credits(slots: Int) {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a", slots: slots), at: seconds(0))
        let effects = state.handle(.submit(job, tasks(20)), at: seconds(1))
        #expect(effects.handedOut.count == 2 * slots)
        #expect(effects.handedOut.map(\.task) == Array(tasks(20).prefix(2 * slots)))
        let next = state.answer(effects.handedOut[0], from: peer(1), at: seconds(2))
        #expect(next.delivered == [effects.handedOut[0]])
        #expect(next.handedOut.count == 1)
    }

    @Test("running slots are filled before anybody gets a second task")
    func spreading() {
        var state = CoordinatorState.withOpenJob()
        for number in 1...3 {
            _ = state.join(peer(UInt8(number)), hello("w\(number)"), at: seconds(0))
        }
        let effects = state.handle(.submit(job, tasks(4)), at: seconds(1))
        #expect(effects.handedOut(to: peer(1)).map(\.task.index) == [0, 3])
        #expect(effects.handedOut(to: peer(2)).map(\.task.index) == [1])
        #expect(effects.handedOut(to: peer(3)).map(\.task.index) == [2])
    }

    @Test("tasks wait for a worker that is ready for the job")
    func readiness() {
        var state = CoordinatorState.withOpenJob()
        _ = state.handle(.received(.hello(hello("a")), from: peer(1)), at: seconds(0))
        #expect(state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut == [])
        let effects = state.handle(
            .received(.jobReady(job, problem: nil), from: peer(1)), at: seconds(2))
        #expect(effects.handedOut.count == 1)
    }

    @Test("a job that no worker can prepare fails with their reasons")
    func refusedJob() {
        var state = CoordinatorState.withOpenJob()
        _ = state.handle(.received(.hello(hello("a")), from: peer(1)), at: seconds(0))
        _ = state.handle(.submit(job, tasks(1)), at: seconds(1))
        let effects = state.handle(
            .received(.jobReady(job, problem: "too wide"), from: peer(1)), at: seconds(2))
        #expect(effects.failure == .refused(["a: too wide"]))
    }

    @Test("conditioning is sent when it is asked for")
    func asset() {
        var state = CoordinatorState.withOpenJob()
        _ = state.handle(.received(.hello(hello("a")), from: peer(1)), at: seconds(0))
        let effects = state.handle(.received(.assetRequest(digest), from: peer(1)), at: seconds(1))
        #expect(effects.sent(to: peer(1)) == [.asset(digest)])
    }

    @Test("nothing more goes out while the loop does not take its answers")
    func backPressure() {
        var limits = Limits()
        limits.maximumUnconsumed = 2
        var state = CoordinatorState.withOpenJob(limits: limits)
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let first = state.handle(.submit(job, tasks(5)), at: seconds(1)).handedOut
        _ = state.answer(first[0], from: peer(1), at: seconds(2))
        #expect(state.answer(first[1], from: peer(1), at: seconds(2)).handedOut == [])
        #expect(state.handle(.consumed(job), at: seconds(3)).handedOut.count > 0)
    }

    // MARK: Answers

    @Test("the second answer of a task is stale, whoever sends it")
    func duplicate() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        #expect(state.answer(attempt, from: peer(1), at: seconds(2)).delivered == [attempt])
        for sender in [peer(1), peer(7)] {
            let effects = state.answer(attempt, from: sender, at: seconds(3))
            #expect(effects.delivered == [])
            #expect(effects.contains(.note(.staleResult(attempt, sender))))
        }
    }

    @Test("a late answer of a worker given up is taken while the task is open")
    func lateAnswer() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        _ = state.handle(.disconnected(peer(1)), at: seconds(2))
        #expect(state.answer(attempt, from: peer(1), at: seconds(3)).delivered == [attempt])
        #expect(state.openTasks(of: job) == 0)
    }

    @Test("an answer to what was never asked is a strike, not an answer")
    func neverIssued() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.submit(job, tasks(1)), at: seconds(1))
        let invented = AttemptID(task: tasks(1)[0], number: 9)
        let effects = state.answer(invented, from: peer(1), at: seconds(2))
        #expect(effects.delivered == [])
        #expect(state.openTasks(of: job) == 1)
    }

    // MARK: Failures

    @Test("a failed task goes to another worker before the same one gets it again")
    func retryElsewhere() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        let effects = state.fail(attempt, at: peer(1), now: seconds(2))
        #expect(effects.handedOut(to: peer(2)) == [AttemptID(task: attempt.task, number: 2)])
    }

    @Test("a task that fails four times fails its job with the evidence", arguments: [1, 2])
    func poison(workers: Int) {
        var state = CoordinatorState.withOpenJob()
        for number in 1...workers {
            _ = state.join(peer(UInt8(number)), hello("w\(number)"), at: seconds(0))
        }
        var effects = state.handle(.submit(job, tasks(1)), at: seconds(1))
        for number in 1...4 {
            guard
                case .send(.task(let attempt), let holder)? = effects.last(where: {
                    if case .send(.task, _) = $0 { true } else { false }
                })
            else {
                Issue.record("attempt \(number) was not handed out: \(effects)")
                return
            }
            #expect(attempt.number == UInt32(number))
            #expect(effects.failure == nil)
            effects = state.fail(attempt, at: holder, now: seconds(Double(number + 1)))
        }
        guard case .taskFailed(let task, let evidence)? = effects.failure else {
            Issue.record("the job goes on: \(effects)")
            return
        }
        #expect(task == tasks(1)[0])
        #expect(evidence.count == 4)
        #expect(Set(evidence.map(\.worker)).count == workers)
    }

    @Test("what does not fit the model fails at once: it is the same everywhere")
    func unsuitable() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        let effects = state.fail(attempt, at: peer(1), .unsuitable, now: seconds(2))
        guard case .taskFailed? = effects.failure else {
            Issue.record("the job goes on: \(effects)")
            return
        }
    }

    @Test("an unsound answer is refused, and three in a row end the worker's session")
    func unsound() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        var effects = state.handle(.submit(job, tasks(9)), at: seconds(1))
        var inHand = effects.handedOut(to: peer(1))
        for number in 1...3 {
            effects = state.handle(
                .unsound(
                    inHand.removeFirst(), TaskFailure(code: .unsound, reason: "a wrong shape"),
                    from: peer(1)),
                at: seconds(Double(number + 1)))
            #expect(effects.delivered == [])
            inHand += effects.handedOut(to: peer(1))
        }
        #expect(
            effects.sent(to: peer(1)).contains {
                if case .reject(let rejection) = $0 { rejection.code == .misbehaved } else { false }
            })
        #expect(state.liveWorkers == 1)
        #expect(state.openTasks(of: job) == 9)
    }

    // MARK: Loss

    @Test("a lost connection hands all tasks on at once")
    func disconnected() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let held = state.handle(.submit(job, tasks(2)), at: seconds(1)).handedOut
        // The second worker takes one of the two over when it joins, the other at the loss.
        let before = state.join(peer(2), hello("b"), at: seconds(1))
        let after = state.handle(.disconnected(peer(1)), at: seconds(2))
        let moved = (before + after).handedOut(to: peer(2)).map(\.task)
        #expect(moved == held.map(\.task).reversed())
        #expect(after.handedOut(to: peer(2)).count == 1)
    }

    @Test("silence makes a suspect at 3 s, whose tasks are copied, and a loss at 10 s")
    func silence() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        var live: [CoordinatorEffect] = []
        for step in 1...40 {
            let now = seconds(Double(step) * 0.25)
            if step == 8 { live += state.join(peer(2), hello("b"), at: now) }
            if step > 8 { live += state.beat(peer(2), at: now) }
            let effects = state.handle(.tick, at: now)
            switch step {
            case 12:
                #expect(effects.workerEvents == [.suspected(WorkerID(name: "a", incarnation: 1))])
                #expect(effects.handedOut(to: peer(2)).map(\.task) == [attempt.task])
            case 40:
                #expect(
                    effects.workerEvents == [
                        .lost(WorkerID(name: "a", incarnation: 1), .silent(.seconds(10)), live: 1)
                    ])
            default: #expect(effects.workerEvents == [])
            }
        }
    }

    @Test("a suspect that speaks again is trusted again")
    func recovery() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.tick, at: seconds(1))
        _ = state.handle(.tick, at: seconds(3))
        #expect(
            state.beat(peer(1), at: seconds(3.5)).workerEvents == [
                .recovered(WorkerID(name: "a", incarnation: 1))
            ])
    }

    @Test("a coordinator that stood still blames nobody for its own silence")
    func ownStall() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.tick, at: seconds(0.25))
        let effects = state.handle(.tick, at: seconds(60))
        #expect(effects.workerEvents == [])
        #expect(state.liveWorkers == 1)
    }

    @Test("a new life of a silent worker ends the old one; two that both speak both work")
    func incarnations() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a", incarnation: 1), at: seconds(0))
        let clone = state.join(peer(2), hello("a", incarnation: 2), at: seconds(1))
        #expect(clone.contains(.note(.duplicateName("a"))))
        #expect(state.liveWorkers == 2)
        let restarted = state.join(peer(3), hello("a", incarnation: 3), at: seconds(2.9))
        #expect(
            restarted.workerEvents.contains(
                .lost(WorkerID(name: "a", incarnation: 1), .replaced, live: 1)))
        #expect(state.liveWorkers == 2)
    }

    @Test("a task message that got lost is handed out again when its lease ends")
    func lostTask() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        for step in 1..<5 {
            _ = state.beat(peer(1), at: seconds(Double(step)))
            #expect(state.handle(.tick, at: seconds(Double(step))).handedOut == [])
        }
        _ = state.beat(peer(1), at: seconds(5))
        let effects = state.handle(.tick, at: seconds(5))
        #expect(effects.contains(.send(.cancel(attempt), to: peer(1))))
        #expect(effects.handedOut == [AttemptID(task: attempt.task, number: 2)])
    }

    @Test("heartbeats that name an attempt keep it, as long as something progresses")
    func stuck() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        var takenAt: Int?
        for step in 1...60 where takenAt == nil {
            let now = seconds(Double(step))
            // Counts until 20 s, then stands still.
            _ = state.beat(
                peer(1), naming: [attempt], progress: UInt64(min(step, 20)), at: now)
            let effects = state.handle(.tick, at: now)
            if effects.sent(to: peer(1)).contains(.cancel(attempt)) { takenAt = step }
            // It hangs, and is given nothing more.
            #expect(effects.handedOut == [])
        }
        // 20 s + the 30 s that a computation may stand still, + what was left of the lease.
        #expect(takenAt.map { (50...55).contains($0) } == true)
        let other = state.join(peer(2), hello("b"), at: seconds(61))
        #expect(other.handedOut(to: peer(2)).map(\.task) == [attempt.task])
    }

    @Test("without a progress counter a named attempt is kept for as long as it takes")
    func noCounter() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        for step in 1...200 {
            let now = seconds(Double(step))
            _ = state.beat(peer(1), naming: [attempt], at: now)
            #expect(state.handle(.tick, at: now).handedOut == [])
        }
    }

    @Test("a worker that did not answer an announced job is reminded")
    func reminder() {
        var state = CoordinatorState.withOpenJob()
        _ = state.handle(.received(.hello(hello("a")), from: peer(1)), at: seconds(0))
        #expect(state.beat(peer(1), at: seconds(1)).sent(to: peer(1)) == [.heartbeatAck(1)])
        #expect(
            state.beat(peer(1), at: seconds(6)).sent(to: peer(1))
                == [.heartbeatAck(1), .openJob(job, conditioning: digest)])
    }

    // MARK: Waiting, leaving, closing

    @Test("without a worker the job fails in time, with who was turned away and why")
    func noWorkers() {
        var state = CoordinatorState.withOpenJob()
        _ = state.handle(.submit(job, tasks(1)), at: seconds(1))
        let other = ModelIdentity(weights: ContentDigest(1), computeClass: identity.computeClass)
        _ = state.handle(
            .received(.hello(hello("odd", identity: other)), from: peer(1)), at: seconds(2))
        var failure: JobFailure?
        for step in 1...130 where failure == nil {
            failure = state.handle(.tick, at: seconds(Double(step))).failure
        }
        guard case .noWorkers(let waited, let rejections)? = failure else {
            Issue.record("not the expected failure: \(String(describing: failure))")
            return
        }
        #expect(waited == .seconds(120))
        #expect(rejections.count == 1)
        #expect(rejections.first?.hasPrefix("odd: ") == true)
    }

    @Test("a leaving worker's tasks go to others without blame")
    func leaving() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let held = state.handle(.submit(job, tasks(2)), at: seconds(0)).handedOut
        let before = state.join(peer(2), hello("b"), at: seconds(0))
        let draining = state.handle(.received(.goodbye(.draining), from: peer(1)), at: seconds(1))
        #expect(draining.workerEvents == [.draining(WorkerID(name: "a", incarnation: 1), live: 1)])
        let left = state.handle(.received(.goodbye(.leaving), from: peer(1)), at: seconds(2))
        #expect(left.sent(to: peer(1)) == [.goodbye(.leaving)])
        #expect(left.workerEvents == [.left(WorkerID(name: "a", incarnation: 1), live: 1)])
        #expect(!left.contains { if case .note(.attemptFailed) = $0 { true } else { false } })
        let moved = (before + draining + left).handedOut(to: peer(2)).map(\.task)
        #expect(Set(moved) == Set(held.map(\.task)))
    }

    @Test("closing a job cancels what is in hand")
    func closing() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let held = state.handle(.submit(job, tasks(2)), at: seconds(0)).handedOut
        let effects = state.handle(.close(job), at: seconds(1))
        #expect(
            effects.sent(to: peer(1)) == [.cancel(held[0]), .cancel(held[1]), .closeJob(job)])
        #expect(state.attemptsInHand == 0)
    }

    @Test("shutting down fails open jobs and says goodbye")
    func shutdown() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.submit(job, tasks(2)), at: seconds(0))
        let effects = state.handle(.shutdown(isReturning: false), at: seconds(1))
        #expect(effects.failure == .shutdown)
        #expect(effects.sent(to: peer(1)).last == .goodbye(.leaving))
        #expect(state.handle(.shutdown(isReturning: false), at: seconds(2)) == [])
    }

    // MARK: The end of a batch

    @Test("a prefetched task is recalled for an idle worker")
    func recall() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let held = state.handle(.submit(job, tasks(2)), at: seconds(0)).handedOut
        let effects = state.join(peer(2), hello("b"), at: seconds(1))
        #expect(effects.contains(.send(.cancel(held[1]), to: peer(1))))
        #expect(effects.handedOut(to: peer(2)).map(\.task) == [held[1].task])
    }

    @Test("an unusually long attempt is copied to an idle worker; the first answer wins")
    func speculation() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.join(peer(2), hello("b"), at: seconds(0))
        var queue = state.handle(.submit(job, tasks(40)), at: seconds(0)).handedOut(to: peer(2))
        let slow = AttemptID(task: tasks(40)[0], number: 1)
        var now = 0.0
        var copies: [AttemptID] = []
        // Worker b answers one task a second; a never answers.
        while copies.isEmpty, now < 100 {
            now += 1
            _ = state.beat(peer(1), naming: [slow], at: seconds(now))
            guard !queue.isEmpty else { break }
            let done = queue.removeFirst()
            _ = state.handle(.consumed(job), at: seconds(now))
            let effects = state.answer(done, from: peer(2), at: seconds(now))
            queue += effects.handedOut(to: peer(2))
            copies = effects.handedOut(to: peer(2)).filter { $0.task == slow.task }
        }
        #expect(copies == [AttemptID(task: slow.task, number: 2)])
        let effects = state.answer(copies[0], from: peer(2), at: seconds(now + 1))
        #expect(effects.delivered == copies)
        #expect(effects.sent(to: peer(1)) == [.cancel(slow)])
    }

    @Test("an attempt that heartbeats do not name is sent again, and at once when it was named")
    func resend() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let attempt = state.handle(.submit(job, tasks(1)), at: seconds(0)).handedOut[0]
        #expect(state.beat(peer(1), at: seconds(1)).handedOut == [])
        #expect(state.beat(peer(1), at: seconds(2)).handedOut == [attempt])
        #expect(state.beat(peer(1), naming: [attempt], at: seconds(3)).handedOut == [])
        // It was named before: its answer is what got lost.
        #expect(state.beat(peer(1), at: seconds(3.1)).handedOut == [attempt])
        #expect(state.counters.resent == 2)
    }

    @Test("a worker that never answers what it has is blamed; the job ends")
    func deafWorker() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        _ = state.handle(.submit(job, tasks(1)), at: seconds(0))
        var failure: JobFailure?
        for second in stride(from: 0.5, to: 60, by: 0.5) where failure == nil {
            failure = state.beat(peer(1), at: seconds(second)).failure
            failure = failure ?? state.handle(.tick, at: seconds(second)).failure
        }
        guard case .taskFailed(_, let evidence)? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(evidence.count == Limits.standard.maximumAttempts)
    }

    @Test("workers are told whether the coordinator will be back", arguments: [true, false])
    func returning(isReturning: Bool) {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let effects = state.handle(.shutdown(isReturning: isReturning), at: seconds(1))
        #expect(effects.sent(to: peer(1)).last == .goodbye(isReturning ? .returning : .leaving))
    }

    @Test("a worker is busy with a cancelled attempt until it says otherwise, and its time counts")
    func busyWithCancelled() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("slow"), at: seconds(0))
        _ = state.join(peer(2), hello("fast"), at: seconds(0))
        var clock = 0.0
        // The fast worker does all but what the slow one holds, which is copied in the end.
        var effects = state.handle(.submit(job, tasks(20)), at: seconds(0))
        let slow = AttemptID(task: tasks(1)[0], number: 1)
        var open = effects.handedOut(to: peer(2))
        for _ in 0..<40 where !open.isEmpty {
            clock += 1
            effects = state.answer(open.removeFirst(), from: peer(2), at: seconds(clock))
            open += effects.handedOut(to: peer(2))
            for _ in effects.delivered {
                open += state.handle(.consumed(job), at: seconds(clock)).handedOut(to: peer(2))
            }
            _ = state.beat(peer(1), naming: [slow], at: seconds(clock))
        }
        #expect(state.openTasks(of: job) == 0)
        // The next batch goes past it while it is busy …
        let next = state.handle(.submit(job, tasks(2, round: 2)), at: seconds(clock))
        #expect(next.handedOut(to: peer(1)) == [])
        for attempt in next.handedOut(to: peer(2)) {
            _ = state.answer(attempt, from: peer(2), at: seconds(clock + 1))
        }
        // … and is not given to it when it is known to be slow.
        let freed = TaskFailure(code: .handedBack, reason: "it was cancelled")
        _ = state.handle(.received(.failure(slow, freed), from: peer(1)), at: seconds(clock + 2))
        let last = state.handle(.submit(job, tasks(2, round: 3)), at: seconds(clock + 2))
        #expect(last.handedOut(to: peer(1)) == [])
        #expect(last.handedOut(to: peer(2)).count == 2)
    }

    @Test("a worker that dialled anew is one worker, and its former leases go on without blame")
    func dialledAnew() {
        var state = CoordinatorState.withOpenJob()
        _ = state.join(peer(1), hello("a"), at: seconds(0))
        let first = state.handle(.submit(job, tasks(1)), at: seconds(1)).handedOut[0]
        let again = state.join(peer(2), hello("a"), at: seconds(2))
        #expect(state.liveWorkers == 1)
        #expect(again.handedOut(to: peer(2)) == [AttemptID(task: first.task, number: 2)])
        #expect(state.counters.failed == 0)
    }
}
