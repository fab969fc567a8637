internal import ClusterCore

/// One thing that goes wrong with a machine, the network, or the coordinator.
enum Fault: Hashable, Sendable {
    /// A killed process is noticed at once, a machine without power only by its silence.
    case crash(Int, noticed: Bool, restart: Duration)
    case stall(Int, Duration)
    /// Slower by this factor, then as before.
    case slow(Int, factor: Int, Duration)
    /// The computation running now, or the next one, never ends; the network thread lives.
    case hang(Int, restart: Duration)
    /// Every computation begun in this time fails.
    case deviceErrors(Int, Duration)
    case cut(Int, [SimulatedNetwork.Direction], Duration)
    /// Every second machine is cut off.
    case partition(Duration)
    /// The connection breaks, and is made again at once.
    case disconnect(Int, noticed: Bool)
    case drain(Int)
    /// Somebody who is no worker of ours speaks to the coordinator.
    case strangers
    case coordinatorStall(Duration)
    /// The process stops in order, says that it will be back, and is.
    case coordinatorRestart(Duration)
    /// The process is gone; a new one goes on from the state it left. The old one may have been
    /// frozen rather than dead, and wake up beside the new one.
    case coordinatorCrash(restart: Duration, oldOneWakesUp: Bool)

    /// For counting.
    var name: String {
        switch self {
        case .crash(_, noticed: true, _): "crash"
        case .crash(_, noticed: false, _): "crash unnoticed"
        case .stall: "stall"
        case .slow: "slow"
        case .hang: "hang"
        case .deviceErrors: "device errors"
        case .cut(_, let directions, _): directions.count == 1 ? "one-way cut" : "cut"
        case .partition: "partition"
        case .disconnect: "disconnect"
        case .drain: "drain"
        case .strangers: "stranger"
        case .coordinatorStall: "coordinator stall"
        case .coordinatorRestart: "coordinator restart"
        case .coordinatorCrash(_, oldOneWakesUp: false): "coordinator crash"
        case .coordinatorCrash(_, oldOneWakesUp: true): "coordinator replaced while frozen"
        }
    }
}

/// What a machine is like from its first to its last life.
struct Nature: Hashable, Sendable {
    enum Flaw: Hashable, Sendable {
        case none
        /// Its model is another one, and it says so.
        case otherWeights
        /// Its model is another one, or its library is broken, and it does not know.
        case wrongAnswers
        /// Some of its answers are wrong: bad memory.
        case corrupting
        /// Some answers are not finite.
        case notFinite
        /// Its model refuses conditionings now and then.
        case refusing
        /// Its model refuses every conditioning.
        case unable
        /// Its device fails in every computation.
        case failing

        /// Whether it ever computes for a job.
        var isAble: Bool {
            switch self {
            case .none, .corrupting, .notFinite, .refusing: true
            case .otherWeights, .wrongAnswers, .unable, .failing: false
            }
        }
    }

    var slots = 1
    /// Compute times are this many percent of the usual.
    var slowness = 100
    var flaw = Flaw.none
}

/// What the run makes: some pictures, each of some steps and a decode phase.
struct Workload: Hashable, Sendable {
    /// Tiles that are asked for together on the way to a new canvas.
    struct RowOfTiles: Hashable, Sendable {
        /// Decoded or encoded.
        let kind: TaskKind
        let count: Int
    }

    struct Picture: Hashable, Sendable {
        /// Tasks of each denoising step.
        var steps: [Int]
        /// Of the steps that begin on a new canvas: what is decoded and encoded for it, in order.
        /// Nothing of it is kept before all of it is there.
        var entries: [Int: [RowOfTiles]] = [:]
        var decodeTasks: Int
        /// Given up by its user at this step.
        var cancelledAt: Int?
        /// Texts that its denoising tasks are asked with in turn: a job for each.
        var texts = 1
    }

    var pictures: [Picture]
    /// The loop needs this long, at most, to take an answer.
    var consumption: Duration
    /// Kinds of the questions with known answers that workers have to answer first.
    var trial: [TaskKind] = []
    /// The part of the tasks that are computed twice, in percent.
    var confirmedPercent = 0.0
    /// Some task of this step kills every worker which computes it.
    var poison: Poison?

    struct Poison: Hashable, Sendable {
        let picture: Int
        let step: Int
    }
}

/// Everything about a run that is settled before it begins, drawn from its seed.
///
/// Each seed has some kinds of faults and not others (swarm testing, Groce et al. 2012): a run in
/// which everything fails all the time never reaches the rarer states.
struct FaultSchedule: Sendable {
    /// Nothing goes wrong from here on: what is broken is mended, and the jobs have to end.
    static let end = Instant.seconds(45)

    private(set) var weather = Weather()
    private(set) var natures: [Nature] = []
    private(set) var workload = Workload(pictures: [], consumption: .zero)
    private(set) var faults: [(at: Instant, fault: Fault)] = []
    /// Nobody comes by himself to every other cluster.
    let secondOpinionWait: Duration
    private var random: SeededGenerator

    private enum Kind: CaseIterable {
        case crash, stall, slow, hang, deviceErrors, cut, partition, disconnect, drain, strangers
        case coordinatorStall, coordinatorCrash, coordinatorRestart
    }

    init(seed: UInt64, workers: Int) {
        random = SeededGenerator(seed: seed ^ 0x7465_7373_6572_6100)
        secondOpinionWait = seed.isMultiple(of: 2) ? .zero : .seconds(30)
        drawWeather()
        drawWorkload(workers: workers)
        drawTexts(seed: seed)
        drawEntries(seed: seed, workers: workers)
        natures = (0..<workers).map { drawNature(isFirst: $0 == 0) }
        if random.chance(perMille: 30) { leaveNobodySound() }
        drawFaults(workers: workers)
    }

    private mutating func drawWeather() {
        let rates = [0, 0, 10, 30, 80]
        weather.loss = rates.randomElement(using: &random) ?? 0
        weather.duplication = rates.randomElement(using: &random) ?? 0
        weather.delay = rates.randomElement(using: &random) ?? 0
        weather.reordering = ([0, 0, 0] + rates).randomElement(using: &random) ?? 0
        weather.corruption = [0, 0, 2, 10].randomElement(using: &random) ?? 0
    }

    /// The first machine is sound, so that the picture can be made at all.
    private mutating func drawNature(isFirst: Bool) -> Nature {
        var nature = Nature()
        nature.slots = random.chance(perMille: 150) ? Int.random(in: 2...3, using: &random) : 1
        nature.slowness = Int.random(in: 30...200, using: &random)
        if random.chance(perMille: 50) { nature.slowness *= 5 }
        if !isFirst, random.chance(perMille: 200) {
            var flaws: [Nature.Flaw] = [.otherWeights, .notFinite, .refusing, .unable, .failing]
            // What nobody looks for is not found.
            if !workload.trial.isEmpty { flaws += [.wrongAnswers, .wrongAnswers] }
            if workload.confirmedPercent > 0 { flaws += [.corrupting, .corrupting] }
            nature.flaw = flaws.randomElement(using: &random) ?? .none
        }
        return nature
    }

    /// Nobody who could make the picture ever comes.
    private mutating func leaveNobodySound() {
        let flaws: [Nature.Flaw] =
            workload.trial.isEmpty
            ? [.otherWeights, .unable, .failing]
            : [.otherWeights, .unable, .failing, .wrongAnswers]
        for index in natures.indices {
            natures[index].flaw = flaws.randomElement(using: &random) ?? .otherWeights
        }
    }

    private mutating func drawWorkload(workers: Int) {
        let count = random.chance(perMille: 300) ? 2 : 1
        for number in 0..<count {
            let steps = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                Int.random(in: 1...(4 + 3 * workers), using: &random)
            }
            let isCancelled = number + 1 < count && random.chance(perMille: 500)
            workload.pictures.append(
                Workload.Picture(
                    steps: steps,
                    decodeTasks: Int.random(in: 1...(2 + 2 * workers), using: &random),
                    cancelledAt: isCancelled ? steps.indices.randomElement(using: &random) : nil))
        }
        let trials: [[TaskKind]] = [[], [.denoise], [.denoise, .decode]]
        workload.trial = trials.randomElement(using: &random) ?? []
        workload.confirmedPercent = [0, 0, 5, 30, 100].randomElement(using: &random) ?? 0
        if random.chance(perMille: 250) { workload.consumption = random.milliseconds(1...800) }
        if random.chance(perMille: 40) {
            let step = Int.random(
                in: 0..<workload.pictures[count - 1].steps.count, using: &random)
            workload.poison = Workload.Poison(picture: count - 1, step: step)
        }
    }

    /// From a stream of their own.
    private mutating func drawTexts(seed: UInt64) {
        var random = SeededGenerator(seed: ~seed)
        for number in workload.pictures.indices where random.chance(perMille: 300) {
            workload.pictures[number].texts = Int.random(in: 2...6, using: &random)
        }
    }

    /// Canvases of some steps, the first among them: a picture of the user's is encoded for it.
    private mutating func drawEntries(seed: UInt64, workers: Int) {
        var random = SeededGenerator(seed: seed ^ 0x656e_7472_6965_7300)
        for number in workload.pictures.indices {
            for step in workload.pictures[number].steps.indices where random.chance(perMille: 250) {
                let kinds = step == 0 ? [TaskKind.encode] : [.decode, .encode]
                let rows = Int.random(in: 1...3, using: &random)
                workload.pictures[number].entries[step] = (0..<rows).flatMap { _ in
                    kinds.map {
                        Workload.RowOfTiles(
                            kind: $0, count: Int.random(in: 1...(1 + workers), using: &random))
                    }
                }
            }
        }
    }

    private mutating func drawFaults(workers: Int) {
        let kinds = Kind.allCases.filter { _ in random.chance(perMille: 450) }
        guard !kinds.isEmpty else { return }
        let pause = Int.random(in: 1000...6000, using: &random)
        var at = Instant(sinceStart: .zero) + random.milliseconds(100...3000)
        while at < Self.end {
            if let kind = kinds.randomElement(using: &random) {
                faults.append((at, draw(kind, workers: workers)))
            }
            at = at + random.milliseconds(100...pause)
        }
    }

    private mutating func draw(_ kind: Kind, workers: Int) -> Fault {
        let machine = Int.random(in: 0..<workers, using: &random)
        let isNoticed = random.chance(perMille: 700)
        switch kind {
        case .crash:
            return .crash(machine, noticed: isNoticed, restart: random.milliseconds(200...8000))
        case .stall: return .stall(machine, random.milliseconds(500...15000))
        case .slow:
            return .slow(
                machine, factor: Int.random(in: 2...10, using: &random),
                random.milliseconds(2000...20000))
        case .hang:
            // Nobody comes to help now and then: the worker has to notice itself.
            let isHelped = random.chance(perMille: 800)
            return .hang(
                machine, restart: isHelped ? random.milliseconds(5000...45000) : .seconds(150))
        case .deviceErrors: return .deviceErrors(machine, random.milliseconds(500...6000))
        case .cut:
            let directions: [[SimulatedNetwork.Direction]] = [
                [.toCoordinator], [.toWorker], [.toCoordinator, .toWorker],
            ]
            return .cut(
                machine, directions.randomElement(using: &random) ?? [],
                random.milliseconds(500...20000))
        case .partition: return .partition(random.milliseconds(500...15000))
        case .disconnect: return .disconnect(machine, noticed: isNoticed)
        case .drain: return .drain(machine)
        case .strangers: return .strangers
        case .coordinatorStall: return .coordinatorStall(random.milliseconds(500...20000))
        case .coordinatorRestart: return .coordinatorRestart(random.milliseconds(100...9000))
        case .coordinatorCrash:
            return .coordinatorCrash(
                restart: random.milliseconds(100...9000),
                oldOneWakesUp: random.chance(perMille: 300))
        }
    }
}
