internal import ClusterCore

extension Simulation {
    // MARK: Lives

    mutating func startMachine(_ index: Int, life: UInt64) {
        guard machines[index].life == life, machines[index].isUp else { return }
        tell("worker \(index) starts, life \(life)")
        machines[index].startedAt = clock.now
        feed(index, .started)
        clock.plan(.machineTick(index, life: life), in: luck.milliseconds(10...250))
    }

    /// The process is gone; a new one comes after a while.
    mutating func crash(_ index: Int, noticed: Bool, _ restart: Duration) {
        guard machines[index].isUp else { return }
        tell("worker \(index) is dead")
        end(index, noticed: noticed, restart: restart)
    }

    private mutating func end(_ index: Int, noticed: Bool, restart: Duration) {
        let peer = machines[index].peer
        if noticed {
            clock.plan(
                .disconnectNotice(peer, life: coordinator.life), in: luck.milliseconds(1...50))
        }
        lives += 1
        machines[index] = SimulatedMachine(
            index: index, nature: machines[index].nature, life: lives, limits: .standard)
        connections[index] += 1
        clock.plan(.machineStart(index, life: lives), in: restart)
    }

    mutating func tickMachine(_ index: Int, life: UInt64) {
        let happening = Happening.machineTick(index, life: life)
        guard isAwake(index, life: life, or: happening) else { return }
        if !machines[index].computing.isEmpty, !machines[index].isHung {
            machines[index].progress += 1
        }
        feed(index, .tick(progress: machines[index].progress))
        clock.plan(happening, in: limits.tickInterval)
    }

    /// False for a life that is over; what reaches a stopped machine, it takes in later.
    private mutating func isAwake(_ index: Int, life: UInt64, or happening: Happening) -> Bool {
        guard machines[index].isUp, machines[index].life == life else { return false }
        guard machines[index].stalledUntil <= clock.now else {
            clock.plan(happening, at: machines[index].stalledUntil)
            return false
        }
        return true
    }

    // MARK: Messages

    mutating func arrive(_ sending: Sending) {
        let index = Int(sending.peer.bytes[0])
        guard machines[index].peer == sending.peer else { return }
        let life = machines[index].life
        guard isAwake(index, life: life, or: .toWorker(sending)) else { return }
        if sending.connection != connections[index], luck.chance(perMille: 500) { return }
        if network.isDamaged() { return tell("worker \(index): a damaged message") }
        if case .task(let attempt) = sending.message {
            machines[index].questions[attempt] = sending.question
        }
        let before = machines[index].state.currentLife
        let effects = feed(index, .received(sending.message, life: sending.from))
        if case .welcome = sending.message, machines[index].life == life {
            machines[index].welcomedBy = max(machines[index].welcomedBy, sending.life)
        }
        let isObeyed = effects.contains { if case .discard = $0 { false } else { true } }
        if sending.life < machines[index].welcomedBy, isObeyed {
            violate(
                .fencing,
                "worker \(index) obeys life \(sending.life) and belongs to "
                    + "\(machines[index].welcomedBy): \(sending.message.story)")
        }
        if machines[index].life == life, machines[index].state.currentLife.isVoid(before: before) {
            violate(.fencing, "worker \(index) goes back from \(before)")
        }
    }

    private mutating func send(
        _ message: WorkerMessage, from index: Int, _ event: WorkerStateEvent
    ) {
        var answer: Content?
        if case .result(let attempt, _) = message {
            answer = machines[index].kept[attempt]
            if answer == nil, case .computed(attempt, _) = event {
                answer = machines[index].answers[attempt]
            }
            if answer == nil { violate(.sameAnswers, "worker \(index) answers without computing") }
        }
        remember(clock.now.microseconds, UInt64(index) + 1000)
        tell("  worker \(index) sends \(message.story)")
        let letter = Letter(
            message: message, answer: answer, machine: index, life: machines[index].life,
            connection: connections[index])
        for arrival in network.arrivals(on: index, .toCoordinator, at: clock.now) {
            clock.plan(.toCoordinator(letter), at: arrival)
        }
    }

    // MARK: Decisions

    @discardableResult
    mutating func feed(_ index: Int, _ event: WorkerStateEvent) -> [WorkerEffect] {
        let effects = machines[index].handle(event, at: clock.now)
        if trace != nil, !effects.isEmpty || !event.isTick {
            tell("worker \(index): \(event.story)")
        }
        var exit: WorkerExit?
        for effect in effects {
            if exit != nil { violate(.books, "worker \(index) acts after its end: \(effect)") }
            switch effect {
            case .send(let message, _): send(message, from: index, event)
            case .prepare(let digest): prepare(digest, at: index)
            case .compute(let attempt): compute(attempt, at: index)
            case .keep(let attempt):
                machines[index].kept[attempt] = machines[index].answers[attempt]
            case .drop(let attempt): machines[index].kept[attempt] = nil
            case .discard(let attempt): machines[index].questions[attempt] = nil
            case .forget(let digest): machines[index].conditionings.remove(digest)
            case .news(let news): tell("  worker \(index): \(news)")
            case .exit(let reason): exit = reason
            }
        }
        if case .computed(let attempt, _) = event { machines[index].answers[attempt] = nil }
        for problem in machines[index].state.inconsistencies() {
            violate(.books, "worker \(index): \(problem)")
        }
        if machines[index].questions.count > machines[index].state.waitingCount {
            violate(.books, "worker \(index) keeps questions that nobody will ask for")
        }
        if let exit {
            tell("  worker \(index) ends: \(exit)")
            end(index, noticed: true, restart: luck.milliseconds(500...8000))
        }
        return effects
    }

    // MARK: The model

    private mutating func prepare(_ digest: ContentDigest, at index: Int) {
        machines[index].conditionings.insert(digest)
        let flaw = machines[index].nature.flaw
        let refuses = flaw == .unable || flaw == .refusing && luck.chance(perMille: 300)
        clock.plan(
            .prepared(
                digest, index, life: machines[index].life,
                problem: refuses ? "no memory for it" : nil),
            in: luck.milliseconds(10...300))
    }

    mutating func prepared(_ digest: ContentDigest, _ index: Int, life: UInt64, problem: String?) {
        let happening = Happening.prepared(digest, index, life: life, problem: problem)
        guard isAwake(index, life: life, or: happening) else { return }
        feed(index, .prepared(digest, problem: problem))
    }

    private mutating func compute(_ attempt: AttemptID, at index: Int) {
        let machine = machines[index]
        guard let question = machines[index].questions.removeValue(forKey: attempt) else {
            return violate(.inputsFirst, "worker \(index) computes \(attempt) without its question")
        }
        let digest = machine.state.conditioning(of: attempt.task.job)
        if digest.map({ machine.conditionings.contains($0) }) != true {
            violate(.inputsFirst, "worker \(index) computes \(attempt) without its conditioning")
        }
        machines[index].answers[attempt] = machine.answer(
            to: question, of: attempt.task, luck: &luck)
        machines[index].computing.insert(attempt)
        if machines[index].computing.count > machine.nature.slots {
            violate(.books, "worker \(index) computes \(machines[index].computing.count) at once")
        }
        if loop.isPoison(attempt.task) {
            return clock.plan(
                .poisoned(index, life: machine.life), in: luck.milliseconds(20...500))
        }
        let usual = Int.random(in: 100...900, using: &luck)
        let time = usual * machine.nature.slowness / 100 * machine.slowFactor
        let fails = machine.failsUntil > clock.now || machine.nature.flaw == .failing
        clock.plan(
            .computed(attempt, index, life: machine.life, fails: fails), in: .milliseconds(time))
    }

    mutating func computed(_ attempt: AttemptID, _ index: Int, life: UInt64, fails: Bool) {
        let happening = Happening.computed(attempt, index, life: life, fails: fails)
        guard isAwake(index, life: life, or: happening), !machines[index].isHung else { return }
        machines[index].computing.remove(attempt)
        machines[index].progress += 1
        if fails {
            feed(
                index, .computeFailed(attempt, TaskFailure(code: .compute, reason: "device error")))
        } else {
            let time = Duration.milliseconds(5 * machines[index].nature.slowness)
            feed(index, .computed(attempt, computeTime: time))
        }
    }
}
