import ArgumentParser
import ClusterCore
import HeapModule
import TextToImage

/// Times a coordinator's decisions about many workers.
struct BenchDispatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dispatch",
        abstract: "Time a coordinator's decisions about many workers.",
        discussion: """
            The decisions of a real coordinator, without network and computation: workers join, and \
            answer every task after a time of their own, on a clock that is made up. Said are the \
            times that handing out a whole batch takes, and one answer with all that follows from \
            it; while a coordinator decides it hears nobody.
            """
    )

    @Option(help: "Workers.")
    var workers = 256

    @Option(help: "Tasks of a batch, which is a denoising step.")
    var tasks = 2000

    @Option(help: "Batches.")
    var batches = 4

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func validate() throws {
        let most = Limits.standard.maximumWorkers
        if !(1...most).contains(workers) {
            throw ValidationError("--workers should be 1 to \(most), got \(workers)")
        }
        if tasks < 1 { throw ValidationError("--tasks should be at least 1, got \(tasks)") }
        if batches < 1 { throw ValidationError("--batches should be at least 1, got \(batches)") }
    }

    func run() throws {
        var cluster = IdealCluster(workers: workers)
        for round in 1...batches { cluster.compute(round: UInt32(round), tasks: tasks) }
        try DispatchReport(
            workers: workers, tasks: tasks, batch: Timing(cluster.batchSeconds),
            answer: Timing(cluster.answerSeconds)
        ).print(json: json)
    }
}

/// A coordinator's state with workers that do what they are asked, each in its own time.
private struct IdealCluster {
    private static let identity = ModelIdentity(
        weights: ContentDigest(1),
        computeClass: MachineClass(
            backend: "none", instructionSet: "none", blasCore: "none", precision: "none"))

    private struct Computation: Comparable {
        let end: Instant
        let attempt: AttemptID
        let peer: PeerID

        static func < (first: Self, second: Self) -> Bool { first.end < second.end }
    }

    private var state = CoordinatorState(
        CoordinatorSetup(
            expected: Self.identity, life: CoordinatorLife(realm: Realm(1), epoch: Epoch(1)),
            version: tesseraVersion, limits: .standard))
    private let job = JobID(1)
    private let clock = ContinuousClock()
    private var now = Instant(sinceStart: .zero)
    private var running = Heap<Computation>()
    private var busyUntil: [PeerID: Instant] = [:]
    private var taskTimes: [PeerID: Duration] = [:]

    /// One for each batch, and one for each answer.
    private(set) var batchSeconds: [Double] = []
    private(set) var answerSeconds: [Double] = []

    init(workers: Int) {
        _ = handle(.open(job, conditioning: ContentDigest(1), trial: []))
        for number in 0..<workers {
            let peer = PeerID(bytes: [UInt8(number >> 8), UInt8(number & 255)])
            // From a half to twice the usual, each a little different.
            taskTimes[peer] = .milliseconds(500 + 1500 * (number * 7919 % workers) / workers)
            let hello = Hello(
                worker: WorkerID(name: "worker \(number)", incarnation: 1), slots: 1,
                identity: Self.identity, version: tesseraVersion)
            _ = handle(.received(.hello(hello), from: peer))
            _ = handle(.received(.jobReady(job, problem: nil), from: peer))
        }
    }

    /// One batch, to its end.
    mutating func compute(round: UInt32, tasks: Int) {
        let batch = (0..<tasks).map {
            TaskID(job: job, round: round, step: round, index: UInt32($0), kind: .denoise)
        }
        batchSeconds.append(handle(.submit(job, batch)))
        while let next = running.popMin() {
            now = max(now, next.end)
            answerSeconds.append(
                handle(
                    .received(
                        .result(next.attempt, computeTime: taskTimes[next.peer] ?? .zero),
                        from: next.peer)))
            _ = handle(.consumed(job))
        }
    }

    /// Seconds that the decisions took; what is to be computed is begun.
    private mutating func handle(_ event: CoordinatorEvent) -> Double {
        let start = clock.now
        let effects = state.handle(event, at: now)
        let time = clock.now - start
        for case .send(.task(let attempt), let peer) in effects {
            let end = max(busyUntil[peer] ?? now, now) + (taskTimes[peer] ?? .zero)
            busyUntil[peer] = end
            running.insert(Computation(end: end, attempt: attempt, peer: peer))
        }
        return time / .seconds(1)
    }
}

/// What `bench dispatch` prints.
struct DispatchReport: BenchReport {
    var benchmark = "dispatch"
    let version = tesseraVersion
    let processor = DoctorReport.Machine.present.processor
    let system = DoctorReport.Machine.present.system
    let workers: Int
    let tasks: Int
    /// Handing out what fits of a batch.
    let batch: Timing
    /// One answer, and what is handed out upon it.
    let answer: Timing

    init(workers: Int, tasks: Int, batch: Timing, answer: Timing) {
        self.workers = workers
        self.tasks = tasks
        self.batch = batch
        self.answer = answer
    }

    var text: String {
        factsText([
            ("tessera", "\(version), bench \(benchmark)"),
            ("machine", "\(processor), \(system)"),
            ("workers", "\(workers)"),
            ("batch", "\(tasks) tasks, handed out in \(Self.text(batch))"),
            ("answer", Self.text(answer)),
        ])
    }

    private static func text(_ timing: Timing) -> String {
        "\(secondsText(timing.medianSeconds)), \(secondsText(timing.maxSeconds)) at most"
    }
}
