import DequeModule
import OrderedCollections

@testable import ClusterCore

/// One coordinator and some workers as state machines on a simulated network and clock. All
/// decisions of fate come from one seed, so a failure is replayed by its seed.
struct Simulation {
    enum Happening {
        case toCoordinator(WorkerMessage, from: Int, life: UInt64, corrupt: Bool)
        case toWorker(CoordinatorMessage, Int, life: UInt64)
        case disconnected(Int, life: UInt64)
        case computed(AttemptID, Int, life: UInt64, fails: Bool)
        case prepared(ContentDigest, Int, life: UInt64)
        case tickCoordinator
        case tickWorker(Int, life: UInt64)
        case start(Int)
        case fault
    }

    struct Machine {
        var state: WorkerState
        var life: UInt64
        var isUp = true
        var isCutOff = false
        var stalledUntil = Instant(sinceStart: .zero)
        var slowness: Double
        var progress: UInt64 = 0
        /// The network keeps order: nothing overtakes.
        var lastToWorker = Instant(sinceStart: .zero)
        var lastToCoordinator = Instant(sinceStart: .zero)
        var running: Set<AttemptID> = []
    }

    static let faultsEnd = 60.0
    static let rounds: UInt32 = 4
    static let tasksPerRound = 13

    private var random: SeededGenerator
    private var limits: Limits
    private var coordinator: CoordinatorState
    private var machines: [Machine] = []
    private var queue: [(at: Instant, what: Happening)] = []
    private var now = Instant(sinceStart: .zero)
    private var lives: UInt64 = 0
    private var round: UInt32 = 0
    private var coordinatorStalledUntil = Instant(sinceStart: .zero)

    private(set) var deliveries: [TaskID: Int] = [:]
    private(set) var failure: JobFailure?
    private(set) var violations: [String] = []
    private(set) var faults = 0

    init(seed: UInt64, workers: Int) {
        random = SeededGenerator(seed: seed)
        limits = Limits()
        limits.noWorkerTimeout = .seconds(1000)
        coordinator = CoordinatorState.withOpenJob(limits: limits)
        for _ in 0..<workers { machines.append(fresh()) }
    }

    var isDone: Bool { round > Self.rounds || failure != nil }

    private mutating func fresh() -> Machine {
        lives += 1
        let slowness = Double.random(in: 0.3...2, using: &random)
        return Machine(
            state: WorkerState(hello: hello("w", incarnation: lives), limits: limits), life: lives,
            slowness: slowness)
    }

    /// Until the job is over or simulated time is up.
    mutating func run(until end: Double = 600) {
        for index in machines.indices { plan(.start(index), in: 0.01 * Double(index)) }
        plan(.tickCoordinator, in: 0.1)
        plan(.fault, in: 1)
        nextRound()
        while !isDone, let next = queue.popLast(), next.at < seconds(end) {
            now = next.at
            happen(next.what)
        }
    }

    // MARK: Time

    private mutating func plan(_ what: Happening, in delay: Double) {
        plan(what, at: now + .seconds(delay))
    }

    private mutating func plan(_ what: Happening, at instant: Instant) {
        // Sorted, the next one last; of equal times the one planned first comes first.
        var low = 0
        var high = queue.count
        while low < high {
            let middle = (low + high) / 2
            if queue[middle].at > instant { low = middle + 1 } else { high = middle }
        }
        queue.insert((instant, what), at: low)
    }

    // MARK: What happens

    private mutating func happen(_ what: Happening) {
        switch what {
        case .toCoordinator(let message, let index, let life, let isCorrupt):
            guard coordinatorStalledUntil <= now else {
                return plan(what, at: coordinatorStalledUntil)
            }
            let from = address(index, life)
            feed(
                isCorrupt
                    ? .malformed(reason: "bit flip", from: from)
                    : .received(message, from: from))
        case .disconnected(let index, let life):
            feed(.disconnected(address(index, life)))
        case .tickCoordinator:
            if coordinatorStalledUntil <= now { feed(.tick) }
            plan(.tickCoordinator, in: 0.25)
        case .start(let index):
            feed(index, machines[index].life, .started)
            plan(.tickWorker(index, life: machines[index].life), in: 0.05)
        case .fault: fault()
        case .toWorker(let message, let index, let life):
            deferring(what, index, life) {
                $0.feed(index, life, .received(message, epoch: Epoch(3)))
            }
        case .computed(let attempt, let index, let life, let fails):
            deferring(what, index, life) { simulation in
                simulation.machines[index].running.remove(attempt)
                simulation.machines[index].progress += 1
                let failure = TaskFailure(code: .compute, reason: "device error")
                simulation.feed(
                    index, life,
                    fails
                        ? .computeFailed(attempt, failure)
                        : .computed(attempt, computeTime: .seconds(1)))
            }
        case .prepared(let digest, let index, let life):
            deferring(what, index, life) { $0.feed(index, life, .prepared(digest, problem: nil)) }
        case .tickWorker(let index, let life):
            deferring(what, index, life) { simulation in
                if !simulation.machines[index].running.isEmpty {
                    simulation.machines[index].progress += 1
                }
                simulation.feed(
                    index, life, .tick(progress: simulation.machines[index].progress))
                simulation.plan(what, in: 0.25)
            }
        }
    }

    /// Lets a stopped machine take it in later, and a dead one never.
    private mutating func deferring(
        _ what: Happening,
        _ index: Int,
        _ life: UInt64,
        _ body: (inout Simulation) -> Void
    ) {
        guard machines[index].isUp, machines[index].life == life else { return }
        guard machines[index].stalledUntil <= now else {
            return plan(what, at: machines[index].stalledUntil)
        }
        body(&self)
    }

    private func address(_ index: Int, _ life: UInt64) -> PeerID {
        PeerID(bytes: [UInt8(index), UInt8(truncatingIfNeeded: life)])
    }

    // MARK: The coordinator

    private mutating func feed(_ event: CoordinatorEvent) {
        for effect in coordinator.handle(event, at: now) {
            switch effect {
            case .send(let message, let peer): deliver(message, to: peer)
            case .deliver(let attempt):
                deliveries[attempt.task, default: 0] += 1
            case .fail(_, let reason): failure = reason
            case .worker, .note: break
            }
        }
        checkInvariants()
        let taken = deliveries.values.reduce(0, +)
        if taken == Int(round) * Self.tasksPerRound, !isDone { nextRound() }
    }

    private mutating func nextRound() {
        if round > 0 {
            for _ in 0..<Self.tasksPerRound { feedQuietly(.consumed(job)) }
        }
        round += 1
        guard round <= Self.rounds else { return }
        let batch = tasks(Self.tasksPerRound, round: round)
        for effect in coordinator.handle(.submit(job, batch), at: now) {
            if case .send(let message, let peer) = effect { deliver(message, to: peer) }
        }
    }

    private mutating func feedQuietly(_ event: CoordinatorEvent) {
        for effect in coordinator.handle(event, at: now) {
            if case .send(let message, let peer) = effect { deliver(message, to: peer) }
        }
    }

    private mutating func deliver(_ message: CoordinatorMessage, to peer: PeerID) {
        let index = Int(peer.bytes[0])
        let machine = machines[index]
        guard address(index, machine.life) == peer, machine.isUp else {
            // As a router with a mandatory route: an unknown peer is told at once.
            return plan(.disconnected(index, life: UInt64(peer.bytes[1])), in: 0.001)
        }
        guard !machine.isCutOff, !isLost() else { return }
        for _ in 0..<copies() {
            let at = max(machine.lastToWorker, now + .seconds(delay()))
            machines[index].lastToWorker = at
            plan(.toWorker(message, index, life: machine.life), at: at)
        }
    }

    // MARK: The workers

    private mutating func feed(_ index: Int, _ life: UInt64, _ event: WorkerStateEvent) {
        var hasExited = false
        for effect in machines[index].state.handle(event, at: now) {
            if hasExited { violations.append("an effect after exit: \(effect)") }
            switch effect {
            case .send(let message, _): send(message, index, life)
            case .prepare(let digest): plan(.prepared(digest, index, life: life), in: 0.3)
            case .compute(let attempt):
                machines[index].running.insert(attempt)
                let time = Double.random(in: 0.2...1.5, using: &random) * machines[index].slowness
                let fails = faultsAreOn && random.chance(1)
                plan(.computed(attempt, index, life: life, fails: fails), in: time)
            case .discard, .forget: break
            case .exit: hasExited = true
            }
        }
        if hasExited {
            machines[index].isUp = false
            plan(.disconnected(index, life: life), in: 0.01)
            revive(index)
        }
    }

    private mutating func send(_ message: WorkerMessage, _ index: Int, _ life: UInt64) {
        guard !machines[index].isCutOff, !isLost() else { return }
        let isCorrupt = faultsAreOn && random.chance(1)
        for _ in 0..<copies() {
            let at = max(machines[index].lastToCoordinator, now + .seconds(delay()))
            machines[index].lastToCoordinator = at
            plan(.toCoordinator(message, from: index, life: life, corrupt: isCorrupt), at: at)
        }
    }

    // MARK: Fate

    private var faultsAreOn: Bool { now < seconds(Self.faultsEnd) }
    private mutating func isLost() -> Bool { faultsAreOn && random.chance(3) }
    private mutating func copies() -> Int { faultsAreOn && random.chance(3) ? 2 : 1 }
    private mutating func delay() -> Double {
        faultsAreOn && random.chance(5)
            ? Double.random(in: 0.5...4, using: &random)
            : Double.random(in: 0.001...0.05, using: &random)
    }

    private mutating func fault() {
        guard faultsAreOn else {
            for index in machines.indices { machines[index].isCutOff = false }
            return
        }
        faults += 1
        let index = Int.random(in: 0..<machines.count, using: &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0, 1: crash(index)
        case 2:
            machines[index].stalledUntil = now + .seconds(Double.random(in: 1...15, using: &random))
        case 3: machines[index].isCutOff = true
        case 4: machines[index].isCutOff = false
        case 5: feed(index, machines[index].life, .drain)
        default:
            coordinatorStalledUntil = now + .seconds(Double.random(in: 1...12, using: &random))
        }
        plan(.fault, in: Double.random(in: 0.5...6, using: &random))
    }

    private mutating func crash(_ index: Int) {
        guard machines[index].isUp else { return }
        machines[index].isUp = false
        // A killed process is noticed at once, a dead machine only by its silence.
        if random.chance(70) { plan(.disconnected(index, life: machines[index].life), in: 0.02) }
        revive(index)
    }

    private mutating func revive(_ index: Int) {
        var machine = fresh()
        machine.isUp = true
        machines[index] = machine
        plan(.start(index), in: Double.random(in: 0.5...8, using: &random))
    }

    // MARK: What must hold

    private mutating func checkInvariants() {
        for (task, count) in deliveries where count > 1 {
            violations.append("\(task) was delivered \(count) times")
        }
        for record in coordinator.roster.all.values
        where record.leases.count > record.hello.slots * limits.creditsPerSlot {
            violations.append("\(record.id) holds \(record.leases.count) attempts")
        }
        guard let ledger = coordinator.jobs[job]?.ledger else { return }
        for task in ledger.queued where ledger.entry(task)?.isQueued != true {
            violations.append("\(task) waits but is not marked so")
        }
        for task in tasks(Self.tasksPerRound, round: round) {
            guard let entry = ledger.entry(task) else { continue }
            if !entry.isQueued && entry.live.isEmpty { violations.append("\(task) was forgotten") }
            if entry.live.count > limits.maximumLiveAttempts {
                violations.append("\(task) has \(entry.live.count) live attempts")
            }
            for live in entry.live where coordinator.roster[live.peer]?.leases[live.attempt] == nil
            {
                violations.append("\(live.attempt) is live without a lease")
            }
        }
    }
}
