internal import ClusterCore

/// The question of a task, or its answer: what a tensor is in a real run.
typealias Content = UInt64

/// What machines compute: pure functions, like the model's.
enum PureModel {
    /// The answer to a question.
    static func answer(to question: Content) -> Content {
        SeededGenerator.mix(question ^ 0x616e_7377_6572_0000)
    }

    /// The question of a task of a step, of what the steps before have made.
    static func question(_ unit: Int, step: Int, of latent: Content) -> Content {
        SeededGenerator.mix(latent &+ UInt64(unit) &* 0x1_0001 &+ UInt64(step) << 48)
    }

    /// The question of a tile of a row on the way to a new canvas, of what the rows before made.
    static func question(_ unit: Int, ofRow row: Int, of latent: Content) -> Content {
        question(unit, step: 1000 + row, of: latent)
    }

    /// A question whose answer the coordinator knows.
    static func trialQuestion(_ task: TaskID) -> Content {
        SeededGenerator.mix(0x7472_6961_6c00 &+ UInt64(task.index))
    }

    /// Stands for an answer that is not finite.
    static let notFinite: Content = 0

    /// A step's result: the answers merged in the order of their tasks.
    static func merge(_ answers: [Int: Content], into latent: Content) -> Content {
        answers.keys.sorted().reduce(latent) {
            SeededGenerator.mix($0 ^ (answers[$1] ?? 0) &+ UInt64($1))
        }
    }

    /// What a quiet run makes of a picture.
    static func quietResult(of picture: Workload.Picture, number: Int) -> Content {
        var latent = start(of: number)
        for (step, count) in (picture.steps + [picture.decodeTasks]).enumerated() {
            for (row, tiles) in picture.entries[step, default: []].enumerated() {
                let before = latent
                latent = merged(tiles.count, into: latent) {
                    question($0, ofRow: row, of: before)
                }
            }
            let before = latent
            latent = merged(count, into: latent) { question($0, step: step, of: before) }
        }
        return latent
    }

    private static func merged(
        _ count: Int, into latent: Content, _ question: (_ unit: Int) -> Content
    ) -> Content {
        let answers = (0..<count).map { ($0, answer(to: question($0))) }
        return merge(Dictionary(uniqueKeysWithValues: answers), into: latent)
    }

    static func start(of picture: Int) -> Content { SeededGenerator.mix(UInt64(picture) + 1) }
}

/// One worker: its decisions, and what a process and its hardware are beside them. A machine has
/// many lives; each has a transport address of its own.
struct SimulatedMachine {
    let index: Int
    let nature: Nature
    private(set) var life: UInt64
    private(set) var state: WorkerState
    var isUp = true
    /// Its latest life's beginning.
    var startedAt: Instant?
    var stalledUntil = Instant(sinceStart: .zero)
    var slowFactor = 1
    var failsUntil = Instant(sinceStart: .zero)
    /// No computation returns any more in this life.
    var isHung = false
    /// Whether it was computing when that began.
    var wasComputing = false
    /// The model's operation counter.
    var progress: UInt64 = 0
    var computing: Set<AttemptID> = []
    /// What came with tasks that are not begun.
    var questions: [AttemptID: Content] = [:]
    /// Of what is being computed.
    var answers: [AttemptID: Content] = [:]
    /// Answers that may be asked for again.
    var kept: [AttemptID: Content] = [:]
    var conditionings: Set<ContentDigest> = []
    /// The latest life of the coordinator that took this life in.
    var welcomedBy = 0

    init(index: Int, nature: Nature, life: UInt64, limits: Limits) {
        self.index = index
        self.nature = nature
        self.life = life
        let hello = Hello(
            worker: WorkerID(name: "worker \(index)", incarnation: life),
            slots: nature.slots,
            identity: nature.flaw == .otherWeights ? .other : .expected,
            version: "simulated"
        )
        state = WorkerState(hello: hello, limits: limits)
    }

    /// What the transport knows this life as.
    var peer: PeerID { Self.peer(machine: index, life: life) }

    mutating func handle(_ event: WorkerStateEvent, at now: Instant) -> [WorkerEffect] {
        state.handle(event, at: now)
    }

    /// What its model makes of a question.
    func answer(to question: Content, of task: TaskID, luck: inout SeededGenerator) -> Content {
        let answer = PureModel.answer(to: question)
        switch nature.flaw {
        case .otherWeights, .wrongAnswers: return answer ^ 2
        case .corrupting where task.round > 0 && luck.chance(perMille: 150): return luck.next()
        case .notFinite where task.round > 0 && luck.chance(perMille: 500):
            return PureModel.notFinite
        case .none, .refusing, .unable, .failing, .notFinite, .corrupting: return answer
        }
    }

    static func peer(machine: Int, life: UInt64) -> PeerID {
        PeerID(bytes: [
            UInt8(truncatingIfNeeded: machine), UInt8(truncatingIfNeeded: life >> 16),
            UInt8(truncatingIfNeeded: life >> 8), UInt8(truncatingIfNeeded: life),
        ])
    }
}

extension ModelIdentity {
    private static let machineClass = MachineClass(
        backend: "simulated", instructionSet: "none", blasCore: "none", precision: "exact")

    static let expected = ModelIdentity(weights: ContentDigest(1), computeClass: machineClass)
    static let other = ModelIdentity(weights: ContentDigest(2), computeClass: machineClass)
}
