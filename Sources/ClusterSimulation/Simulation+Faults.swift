internal import ClusterCore

extension Simulation {
    /// Whether messages may still be lost and damaged.
    var isFaulty: Bool { clock.now < FaultSchedule.end }

    mutating func strike(_ fault: Fault) {
        mishaps[fault.name, default: 0] += 1
        tell("FAULT \(fault)")
        switch fault {
        case .crash(let index, let noticed, let restart): crash(index, noticed: noticed, restart)
        case .stall(let index, let time):
            machines[index].stalledUntil = max(machines[index].stalledUntil, clock.now + time)
        case .slow(let index, let factor, let time):
            machines[index].slowFactor = factor
            clock.plan(.mended(fault), in: time)
        case .hang(let index, let restart):
            machines[index].isHung = true
            machines[index].wasComputing = !machines[index].computing.isEmpty
            hung[index] = machines[index].life
            clock.plan(.mended(fault), in: restart)
        case .deviceErrors(let index, let time): machines[index].failsUntil = clock.now + time
        case .cut(let index, let directions, let time):
            for direction in directions { network.cut(index, direction) }
            clock.plan(.mended(fault), in: time)
        case .partition(let time):
            for index in stride(from: 0, to: machines.count, by: 2) {
                for direction in SimulatedNetwork.Direction.allCases {
                    network.cut(index, direction)
                }
            }
            clock.plan(.mended(fault), in: time)
        case .disconnect(let index, let noticed): disconnect(index, noticed: noticed)
        case .drain(let index):
            if machines[index].isUp { feed(index, .drain) }
        case .strangers: speakAsStrangers()
        case .coordinatorStall(let time):
            coordinator.stalledUntil = max(coordinator.stalledUntil, clock.now + time)
            // Whether the timers or the messages come first then is a matter of luck.
            if luck.chance(perMille: 500) {
                clock.plan(
                    .coordinatorWakes(life: coordinator.life), at: coordinator.stalledUntil)
            }
        case .coordinatorRestart(let time): restartCoordinator(in: time)
        case .coordinatorCrash(let restart, let oldOneWakesUp):
            crashCoordinator(restart: restart, oldOneWakesUp: oldOneWakesUp)
        }
    }

    mutating func mend(_ fault: Fault) {
        tell("MENDED \(fault)")
        switch fault {
        case .slow(let index, _, _): machines[index].slowFactor = 1
        case .hang(let index, let time):
            guard machines[index].life == hung[index] else { return }
            if time >= .seconds(150), machines[index].wasComputing {
                violate(.ends, "worker \(index) hangs for \(time) and does not notice")
            }
            crash(index, noticed: true, .seconds(1))
        case .cut(let index, let directions, _):
            for direction in directions { network.mend(index, direction) }
        case .partition:
            for index in stride(from: 0, to: machines.count, by: 2) {
                for direction in SimulatedNetwork.Direction.allCases {
                    network.mend(index, direction)
                }
            }
        default: break
        }
    }

    private mutating func disconnect(_ index: Int, noticed: Bool) {
        connections[index] += 1
        guard noticed else { return }
        clock.plan(
            .disconnectNotice(machines[index].peer, life: coordinator.life),
            in: luck.milliseconds(1...50))
    }

    /// Port scanners, other versions, forgers, and a machine that joins and is never heard again.
    private mutating func speakAsStrangers() {
        guard coordinator.isUp, coordinator.stalledUntil <= clock.now else { return }
        lives += 1
        let peer = SimulatedMachine.peer(machine: 255, life: lives)
        let worker = WorkerID(name: "stranger", incarnation: lives)
        func hello(slots: Int, _ identity: ModelIdentity) -> CoordinatorEvent {
            let hello = Hello(worker: worker, slots: slots, identity: identity, version: "0")
            return .received(.hello(hello), from: peer)
        }
        switch Int.random(in: 0..<7, using: &luck) {
        case 0: for _ in 0..<5 { feed(.malformed(reason: "GET / HTTP/1.1", from: peer)) }
        case 1: feed(.incompatible(WireVersion(major: 9, minor: 1), from: peer))
        case 2:
            let beat = Heartbeat(number: 7, inHand: [], progress: nil)
            feed(.received(.heartbeat(beat), from: peer))
        case 3: feed(hello(slots: 0, .expected))
        case 4: feed(hello(slots: 1, .other))
        case 5:
            feed(hello(slots: 1, .expected))
            if let job = loop.job { feed(.received(.jobReady(job, problem: nil), from: peer)) }
        default:
            guard let task = loop.anyTask else { return }
            let forged = AttemptID(task: task, number: 4_000_000)
            feed(
                .answered(forged, computeTime: .zero, digest: ContentDigest(7), from: peer),
                answer: 7)
        }
    }

    // MARK: Planted defects

    func sabotage(_ event: CoordinatorEvent) -> CoordinatorEvent {
        switch (options.sabotage, event) {
        case (.losesTask, .submit(let job, let tasks)) where tasks.count > 1:
            return .submit(job, tasks.dropLast())
        case (.trustsEverybody, .received(.hello(let hello), let peer)):
            let believed = Hello(
                worker: hello.worker, slots: hello.slots, identity: .expected,
                version: hello.version)
            return .received(.hello(believed), from: peer)
        case (.noticesNothing, .disconnected(let peer)):
            return .malformed(reason: "nothing", from: PeerID(bytes: peer.bytes + [0]))
        default: return event
        }
    }

    func sabotage(_ effects: [CoordinatorEffect], of event: CoordinatorEvent)
        -> [CoordinatorEffect]
    {
        guard options.sabotage == .acceptsTwice,
            case .answered(let attempt, _, _, _) = event, attempt.task.round > 0,
            effects.contains(where: { if case .note(.staleResult) = $0 { true } else { false } })
        else { return effects }
        return effects + [.deliver(attempt)]
    }
}
