internal import ClusterCore

/// One life of the coordinator's process.
struct SimulatedCoordinator {
    /// Counts the lives from 1.
    let life: Int
    var state: CoordinatorState
    var referee: Referee
    var isUp = true
    var stalledUntil = Instant(sinceStart: .zero)

    /// Answers that wait for another worker's.
    var held: [AttemptID: Content] = [:]

    init(life: Int, epoch: Epoch, confirmedPercent: Double, limits: Limits) {
        self.life = life
        state = CoordinatorState(
            CoordinatorSetup(
                expected: .expected,
                life: CoordinatorLife(realm: Realm(0x5e1f), epoch: epoch),
                version: "simulated",
                limits: limits,
                confirmation: Confirmation(percent: confirmedPercent, salt: UInt64(life))))
        referee = Referee(limits: .standard)
    }
}

extension Simulation {
    // MARK: Lives

    mutating func startCoordinator() {
        coordinator.isUp = true
        let epoch = coordinator.state.setup.life.epoch
        tell("coordinator starts, life \(coordinator.life), epoch \(epoch)")
        clock.plan(.coordinatorTick(life: coordinator.life), in: limits.tickInterval)
        openPicture()
    }

    mutating func tickCoordinator(life: Int) {
        guard life == coordinator.life, coordinator.isUp else { return }
        if coordinator.stalledUntil <= clock.now { feed(.tick) }
        clock.plan(.coordinatorTick(life: life), in: limits.tickInterval)
    }

    /// A new process takes the place of the old one, on its state.
    mutating func crashCoordinator(restart: Duration, oldOneWakesUp: Bool) {
        guard coordinator.isUp else { return }
        if oldOneWakesUp {
            old = coordinator
            let wakesUp = clock.now + restart + luck.milliseconds(100...4000)
            clock.plan(
                .oldCoordinatorTick(until: wakesUp + luck.milliseconds(1000...15000)), at: wakesUp)
        }
        let epoch = coordinator.state.setup.life.epoch
        coordinator = SimulatedCoordinator(
            life: coordinator.life + 1,
            epoch: options.sabotage == .keepsEpoch ? epoch : Epoch(epoch.value + 1),
            confirmedPercent: loop.workload.confirmedPercent,
            limits: limits
        )
        coordinator.isUp = false
        loop.crash()
        // Every connection to the old process is broken.
        for index in connections.indices { connections[index] += 1 }
        clock.plan(.coordinatorStart, in: restart)
    }

    /// The process stops in order, and comes back.
    mutating func restartCoordinator(in time: Duration) {
        guard coordinator.isUp, coordinator.stalledUntil <= clock.now else { return }
        loop.crash()
        feed(.shutdown(isReturning: true))
        crashCoordinator(restart: time, oldOneWakesUp: false)
    }

    /// A frozen coordinator that was given up and replaced looks at its timers and speaks.
    mutating func tickOldCoordinator(until: Instant) {
        guard var ghost = old else { return }
        for effect in ghost.state.handle(.tick, at: clock.now) {
            if case .send(let message, let peer) = effect {
                post(message, to: peer, from: ghost)
            }
        }
        old = clock.now < until ? ghost : nil
        if old != nil { clock.plan(.oldCoordinatorTick(until: until), in: limits.tickInterval) }
    }

    // MARK: Events

    mutating func feed(_ event: CoordinatorEvent, answer: Content? = nil) {
        guard coordinator.isUp else { return }
        let altered = sabotage(event)
        let effects = sabotage(coordinator.state.handle(altered, at: clock.now), of: altered)
        tell("coordinator: \(event.story)")
        coordinator.referee.observe(event, effects, coordinator.state, at: clock.now)
        for violation in coordinator.referee.violations {
            violate(violation.invariant, violation.text)
        }
        for effect in effects { perform(effect, answer: answer) }
    }

    private mutating func perform(_ effect: CoordinatorEffect, answer: Content?) {
        switch effect {
        case .send(let message, let peer): post(message, to: peer, from: coordinator)
        case .hold(let attempt):
            coordinator.held[attempt] = answer
            if answer == nil { violate(.sameAnswers, "\(attempt) is to be held without an answer") }
        case .deliver(let attempt): deliver(answer, of: attempt)
        case .fail(let job, let reason):
            tell("  job \(job) fails: \(reason)")
            if loop.jobs.contains(job) { fail(reason) }
        case .worker(let change): tell("  \(change)")
        case .note(let note): tell("  note: \(note)")
        }
    }

    private mutating func fail(_ reason: JobFailure) {
        failure = reason
        if case .shutdown = reason { violate(.ends, "failed by a shutdown") }
        // All of the able ones may have hung, one after the other, for the whole of that time.
        let isSomebodyUp = machines.contains {
            guard let start = $0.startedAt, $0.nature.flaw.isAble else { return false }
            return $0.isUp && !$0.isHung && clock.now - start > .seconds(10)
        }
        if case .noWorkers = reason, isSomebodyUp {
            violate(.ends, "failed for want of workers: \(reason)")
        }
    }

    /// A letter reaches the coordinator's machine.
    mutating func arrive(_ letter: Letter) {
        let peer = SimulatedMachine.peer(machine: letter.machine, life: letter.life)
        guard coordinator.isUp else {
            // What the worker's side still holds goes out when somebody listens again.
            if luck.chance(perMille: 500) { clock.plan(.toCoordinator(letter), in: .seconds(1)) }
            return
        }
        guard coordinator.stalledUntil <= clock.now else {
            return clock.plan(.toCoordinator(letter), at: coordinator.stalledUntil)
        }
        if letter.connection != connections[letter.machine], luck.chance(perMille: 500) { return }
        var answer = letter.answer
        if network.isDamaged() {
            guard options.sabotage == .ignoresChecksums else {
                return feed(.malformed(reason: "its checksum is wrong", from: peer))
            }
            answer = answer.map { $0 ^ 1 }
        }
        if case .result(let attempt, let time) = letter.message, let answer {
            feed(judged(answer, to: attempt, time, from: peer), answer: answer)
        } else {
            feed(.received(letter.message, from: peer))
        }
    }

    /// What the owner of the decisions makes of an answer before it asks them.
    private func judged(
        _ answer: Content, to attempt: AttemptID, _ time: Duration, from peer: PeerID
    ) -> CoordinatorEvent {
        if answer == PureModel.notFinite, loop.question(of: attempt.task) != nil {
            return .unsound(
                attempt, TaskFailure(code: .notFinite, reason: "the answer is not finite"),
                from: peer)
        }
        if attempt.task.round == 0, loop.jobs.contains(attempt.task.job),
            answer != PureModel.answer(to: PureModel.trialQuestion(attempt.task))
        {
            return .unsound(
                attempt, TaskFailure(code: .unsound, reason: "it is not the known answer"),
                from: peer)
        }
        return .answered(attempt, computeTime: time, digest: ContentDigest(answer), from: peer)
    }

    /// As a router with mandatory routes: a message to nobody is noticed at once.
    mutating func post(
        _ message: CoordinatorMessage, to peer: PeerID, from sender: SimulatedCoordinator
    ) {
        let index = Int(peer.bytes[0])
        guard index < machines.count else { return }
        var question: Content?
        if case .task(let attempt) = message {
            // What an old coordinator still asks has its question, too.
            let isOld = sender.life < coordinator.life
            let trial = attempt.task.round == 0 ? PureModel.trialQuestion(attempt.task) : nil
            guard let asked = trial ?? loop.question(of: attempt.task) ?? (isOld ? 0 : nil) else {
                return
            }
            question = asked
            remember(
                clock.now.microseconds, UInt64(index), UInt64(attempt.task.index),
                UInt64(attempt.number))
        } else {
            remember(clock.now.microseconds, UInt64(index))
        }
        guard machines[index].isUp, machines[index].peer == peer else {
            return clock.plan(
                .disconnectNotice(peer, life: sender.life), in: .milliseconds(1))
        }
        tell("  \(message.story) → \(peer)")
        for arrival in network.arrivals(on: index, .toWorker, at: clock.now) {
            clock.plan(
                .toWorker(
                    Sending(
                        message: message, question: question, life: sender.life,
                        from: sender.state.setup.life, peer: peer, connection: connections[index])),
                at: arrival)
        }
    }

    // MARK: Pictures

    private mutating func openPicture() {
        guard !loop.isDone else { return }
        let jobs = (0..<loop.texts).map { _ in JobID(luck.next()) }
        loop.open(jobs)
        for (text, job) in jobs.enumerated() {
            feed(
                .open(
                    job, conditioning: loop.conditioning(of: text), trial: loop.workload.trial))
        }
        submitStep()
    }

    private mutating func submitStep() {
        guard let job = loop.job else { return }
        if loop.isToBeCancelled { clock.plan(.cancelled(job), in: luck.milliseconds(0...4000)) }
        let tasks = loop.nextBatch()
        guard !tasks.isEmpty else {
            // The life before had everything but the last save.
            return clock.plan(.saved(job, life: coordinator.life), in: .zero)
        }
        for job in loop.jobs {
            let own = tasks.filter { $0.job == job }
            if !own.isEmpty { feed(.submit(job, own)) }
        }
    }

    private mutating func deliver(_ answer: Content?, of attempt: AttemptID) {
        guard var answer = coordinator.held[attempt] ?? answer else {
            return violate(.sameAnswers, "\(attempt) is to be delivered without an answer")
        }
        let wasHeld = coordinator.held.keys.contains { $0.task == attempt.task }
        let isSingle = coordinator.held[attempt] != nil || !wasHeld
        for other in coordinator.held.keys where other.task == attempt.task {
            coordinator.held[other] = nil
        }
        if options.sabotage == .mixesAnswers, attempt.task.index == 1 { answer &+= 1 }
        switch loop.deliver(answer, of: attempt.task) {
        case .right: break
        case .wrong where isSingle && mayBeWrong: spoiled += 1
        case .wrong: return violate(.sameAnswers, "\(attempt) has a wrong answer")
        case .misplaced:
            return violate(.sameAnswers, "\(attempt) is not asked now, or was answered before")
        }
        remember(clock.now.microseconds, answer)
        let most = Int(loop.workload.consumption.components.attoseconds / 1_000_000_000_000_000)
        clock.plan(
            .taken(attempt.task, life: coordinator.life), in: luck.milliseconds(0...max(0, most)))
    }

    /// Whether a wrong answer may be taken on one worker's word: it is known that a machine has
    /// bad memory, and not every task is computed twice.
    private var mayBeWrong: Bool {
        schedule.natures.contains { $0.flaw == .corrupting }
    }

    /// The loop takes an answer; with the last one of a step the step goes to disk.
    mutating func take(_ task: TaskID, life: Int) {
        guard life == coordinator.life, let job = loop.job, loop.jobs.contains(task.job) else {
            return
        }
        guard coordinator.stalledUntil <= clock.now else {
            return clock.plan(.taken(task, life: life), at: coordinator.stalledUntil)
        }
        loop.take(task)
        feed(.consumed(task.job))
        if loop.isBatchComplete || options.sabotage == .startsEarly {
            clock.plan(.saved(job, life: life), in: luck.milliseconds(0...300))
        }
    }

    mutating func stepSaved(_ job: JobID, life: Int) {
        guard life == coordinator.life, job == loop.job else { return }
        guard coordinator.stalledUntil <= clock.now else {
            return clock.plan(.saved(job, life: life), at: coordinator.stalledUntil)
        }
        if !loop.isBatchComplete { violate(.inputsFirst, "a step ends before its last answer") }
        guard loop.endBatch() else { return submitStep() }
        if loop.result != loop.quietResult && spoiled == 0 {
            violate(.sameAnswers, "picture \(loop.picture) is not the quiet run's")
        }
        tell("picture \(loop.picture) is done")
        leavePicture()
    }

    /// The user does not want the picture any more.
    mutating func cancel(_ job: JobID) {
        guard job == loop.job else { return }
        guard coordinator.stalledUntil <= clock.now else {
            return clock.plan(.cancelled(job), at: coordinator.stalledUntil)
        }
        tell("picture \(loop.picture) is cancelled")
        leavePicture()
    }

    private mutating func leavePicture() {
        for job in loop.jobs { feed(.close(job)) }
        loop.leavePicture()
        coordinator.held.removeAll()
        spoiled = 0
        if coordinator.state.attemptsInHand > 0 {
            violate(.books, "\(coordinator.state.attemptsInHand) leases outlive the last job")
        }
        if loop.isDone {
            feed(.shutdown(isReturning: false))
        } else {
            openPicture()
        }
    }
}

extension Instant {
    var microseconds: UInt64 {
        let (seconds, attoseconds) = sinceStart.components
        return UInt64(seconds) &* 1_000_000 &+ UInt64(attoseconds / 1_000_000_000_000)
    }
}
