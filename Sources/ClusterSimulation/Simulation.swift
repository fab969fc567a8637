package import ClusterCore

/// What a run is drawn from.
package struct SimulationOptions: Hashable, Sendable {
    package var seed: UInt64
    /// 1 ... 64.
    package var workers: Int
    /// A defect for the run to find.
    package var sabotage: Sabotage?

    package init(seed: UInt64, workers: Int, sabotage: Sabotage? = nil) {
        precondition((1...64).contains(workers), "1 to 64 workers can be simulated")
        self.seed = seed
        self.workers = workers
        self.sabotage = sabotage
    }

    /// How many workers a seed has when nobody says: 1 ... 8.
    package static func usualWorkers(for seed: UInt64) -> Int { 1 + Int(seed % 8) }
}

/// What came of a run.
package struct SimulationReport: Hashable, Sendable {
    package enum Ending: Hashable, Sendable {
        /// All pictures were made, or given up by their user.
        case finished
        /// A picture could not be made, for a reason that the facts bear out.
        case failed(JobFailure)
        /// Simulated time was up, or an invariant broke.
        case unfinished
    }

    package let options: SimulationOptions
    package let ending: Ending
    /// Empty when all invariants held.
    package let violations: [Violation]
    /// Events that happened.
    package let events: Int
    /// How often each kind of thing went wrong: `crash`, `cut`, `message lost`, …
    package let mishaps: [String: Int]
    /// Lives of the coordinator.
    package let lives: Int
    package let simulated: Duration
    /// Of everything that was sent and when: two runs of one seed have the same.
    package let history: UInt64
}

/// A whole cluster in one value: one coordinator and some workers as state machines, on a clock,
/// a network and machines that are simulated. All fate comes from one seed, so that a run is
/// repeated by its seed.
package struct Simulation {
    enum Happening {
        case toCoordinator(Letter)
        case toWorker(Sending)
        case disconnectNotice(PeerID, life: Int)
        case coordinatorTick(life: Int)
        case coordinatorWakes(life: Int)
        case coordinatorStart
        case oldCoordinatorTick(until: Instant)
        case taken(TaskID, life: Int)
        case saved(JobID, life: Int)
        case cancelled(JobID)
        case machineStart(Int, life: UInt64)
        case machineTick(Int, life: UInt64)
        case computed(AttemptID, Int, life: UInt64, fails: Bool)
        case prepared(ContentDigest, Int, life: UInt64, problem: String?)
        case poisoned(Int, life: UInt64)
        case fault(Fault)
        case mended(Fault)
        /// The weather clears up.
        case calm
    }

    /// What a worker has sent, on its way.
    struct Letter {
        let message: WorkerMessage
        /// The answer that travels with a result.
        let answer: Content?
        let machine: Int
        let life: UInt64
        let connection: Int
    }

    /// What a coordinator has sent, on its way.
    struct Sending {
        let message: CoordinatorMessage
        /// The question that travels with a task.
        let question: Content?
        let life: Int
        let from: CoordinatorLife
        let peer: PeerID
        let connection: Int
    }

    /// By then every job has ended: nothing goes wrong after ``FaultSchedule/end``, and the longest
    /// wait after it is the two minutes that a job waits for a worker.
    static let bound = Instant.seconds(600)

    /// More events than any sound run has: a storm of messages.
    static let maximumEvents = 2_000_000

    let options: SimulationOptions
    let schedule: FaultSchedule
    let limits: Limits
    let trace: ((String) -> Void)?
    var luck: SeededGenerator
    var clock = SimulatedClock<Happening>()
    var network: SimulatedNetwork
    var machines: [SimulatedMachine] = []
    /// Counts the connections of each machine.
    var connections: [Int]
    var lives: UInt64 = 0
    /// The life in which each machine's computations stopped returning.
    var hung: [Int: UInt64] = [:]
    var coordinator: SimulatedCoordinator
    var old: SimulatedCoordinator?
    var loop: PictureLoop
    var violations: [Violation] = []
    var failure: JobFailure?
    /// Wrong answers in the picture, each on the word of one machine with bad memory.
    var spoiled = 0
    var events = 0
    var mishaps: [String: Int] = [:]
    var history: UInt64 = 0

    /// `trace` is told what happens, a line each.
    package init(_ options: SimulationOptions, trace: ((String) -> Void)? = nil) {
        self.options = options
        self.trace = trace
        schedule = FaultSchedule(seed: options.seed, workers: options.workers)
        luck = SeededGenerator(seed: options.seed)
        network = SimulatedNetwork(
            links: options.workers, weather: schedule.weather,
            luck: SeededGenerator(seed: options.seed ^ 0x6e65_7477_6f72_6b00))
        connections = Array(repeating: 0, count: options.workers)
        loop = PictureLoop(workload: schedule.workload)
        limits = Self.limits(for: options.sabotage, secondOpinion: schedule.secondOpinionWait)
        coordinator = SimulatedCoordinator(
            life: 1, epoch: Epoch(1), confirmedPercent: schedule.workload.confirmedPercent,
            limits: limits)
        for (index, nature) in schedule.natures.enumerated() {
            lives += 1
            machines.append(
                SimulatedMachine(index: index, nature: nature, life: lives, limits: .standard))
        }
    }

    private static func limits(for sabotage: Sabotage?, secondOpinion: Duration) -> Limits {
        var limits = Limits.standard
        limits.secondOpinionWait = secondOpinion
        switch sabotage {
        case .noticesNothing:
            limits.suspectAfter = .seconds(1_000_000)
            limits.lostAfter = .seconds(1_000_000)
            limits.minimumLease = .seconds(1_000_000)
        case .ignoresCredits: limits.creditsPerSlot += 1
        default: break
        }
        return limits
    }

    /// Runs until the pictures are made, one fails, time is up, or an invariant breaks.
    package mutating func run() -> SimulationReport {
        begin()
        while violations.isEmpty, !isOver, let happening = clock.next() {
            events += 1
            if clock.now > Self.bound {
                violate(.ends, "the job has not ended \(loop.picture):\(loop.step)")
            } else if events > Self.maximumEvents {
                violate(.ends, "a storm: \(events) events")
            } else {
                happen(happening)
            }
        }
        return report
    }

    private var isOver: Bool { loop.isDone || failure != nil }

    private mutating func begin() {
        for machine in machines {
            clock.plan(
                .machineStart(machine.index, life: machine.life), in: luck.milliseconds(0...2000))
        }
        for (at, fault) in schedule.faults { clock.plan(.fault(fault), at: at) }
        clock.plan(.calm, at: FaultSchedule.end)
        startCoordinator()
    }

    private var report: SimulationReport {
        let ending: SimulationReport.Ending =
            if !violations.isEmpty {
                .unfinished
            } else if let failure {
                .failed(failure)
            } else {
                loop.isDone ? .finished : .unfinished
            }
        return SimulationReport(
            options: options, ending: ending, violations: violations, events: events,
            mishaps: mishaps.merging(network.mishaps) { $1 }, lives: coordinator.life,
            simulated: clock.now.sinceStart,
            history: history)
    }

    mutating func violate(_ invariant: Invariant, _ text: String) {
        violations.append(Violation(invariant, at: clock.now, text))
        trace?("\(clock.now.text)  VIOLATED \(invariant.rawValue): \(text)")
    }

    func tell(_ text: @autoclosure () -> String) {
        if let trace { trace("\(clock.now.text)  \(text())") }
    }

    /// Folds what was sent into the history.
    mutating func remember(_ values: UInt64...) {
        history = values.reduce(history) { SeededGenerator.mix($0 ^ $1) }
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .toCoordinator(let letter): arrive(letter)
        case .toWorker(let sending): arrive(sending)
        case .disconnectNotice(let peer, let life):
            if life == coordinator.life, coordinator.isUp { feed(.disconnected(peer)) }
        case .coordinatorTick(let life): tickCoordinator(life: life)
        case .coordinatorWakes(let life):
            if life == coordinator.life, coordinator.stalledUntil <= clock.now { feed(.tick) }
        case .coordinatorStart: startCoordinator()
        case .oldCoordinatorTick(let until): tickOldCoordinator(until: until)
        case .taken(let task, let life): take(task, life: life)
        case .saved(let job, let life): stepSaved(job, life: life)
        case .cancelled(let job): cancel(job)
        case .machineStart(let index, let life): startMachine(index, life: life)
        case .machineTick(let index, let life): tickMachine(index, life: life)
        case .computed(let attempt, let index, let life, let fails):
            computed(attempt, index, life: life, fails: fails)
        case .prepared(let digest, let index, let life, let problem):
            prepared(digest, index, life: life, problem: problem)
        case .poisoned(let index, let life):
            if machines[index].life == life { crash(index, noticed: true, .seconds(2)) }
        case .fault(let fault): strike(fault)
        case .mended(let fault): mend(fault)
        case .calm: network.weather = Weather()
        }
    }
}
