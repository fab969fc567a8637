import ArgumentParser
import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import ImageOutput
import Synchronization
import TextToImage

/// Runs many jobs in one life of a coordinator, and looks at what they leave behind.
struct BenchJobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "Run many jobs in one life of a coordinator; find what they leave behind.",
        discussion: """
            Small pictures of mixed sizes, each with a prompt and noise of its own, one after \
            another through one coordinator and its worker processes. After a warm-up the \
            coordinator's descriptors, threads, child processes and memory are its baseline; at \
            the end they are compared with it, and so are the first picture and the same one made \
            last. The speed of the first and of the last jobs is said. Exit code 70 when something \
            was left behind, or the pictures differ.
            """
    )

    @Option(help: "How many jobs after the warm-up.")
    var jobs = 100

    @Option(help: "Worker processes.")
    var workers = 2

    @OptionGroup var model: ModelOptions
    @OptionGroup var compute: ComputeOptions

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    /// Enough for every size, every cache and every lazily made thread to have been met.
    private static let warmUp = 15

    /// Allocators keep some memory for later; what a leak of one picture a job would take is more.
    private static let memorySlack = 24 << 20

    func validate() throws {
        if jobs < 4 { throw ValidationError("--jobs should be at least 4, got \(jobs)") }
        if !(1...Limits.standard.maximumWorkers).contains(workers) {
            throw ValidationError("--workers should be at least 1, got \(workers)")
        }
    }

    mutating func run() async throws {
        let command = self
        try await withInterruption { try await command.measure() }
    }

    private func measure() async throws {
        let folder = try model.open()
        let backend = try compute.backend(sharing: workers)
        let encoder = try PromptEncoder(model: folder, backend: backend)
        let reporter = RunReporter(json: false)
        var cluster = try ClusterOptions.parse(["--workers", "\(workers)"])
        cluster.workers = workers
        let progress = Mutex(ProgressDisplay())
        let collected = Mutex<JobsReport?>(nil)
        let before = try Footprint.now()
        try await cluster.withWorkers(
            of: folder,
            identity: ModelIdentity(
                weights: try folder.fingerprint(), computeClass: backend.computeClass),
            life: CoordinatorLife(realm: .random(), epoch: Epoch(1)),
            threads: backend.threads,
            memoryBudget: compute.memoryBudget,
            stateDir: nil,
            reporter: reporter,
            drill: nil,
            workerFaults: { _ in [] }
        ) { coordinator in
            let executor = coordinator.executor(known: [])
            var made: [Job] = []
            var baseline: Footprint?
            let total = Self.warmUp + jobs
            for number in 0..<total {
                if number == Self.warmUp { baseline = try Footprint.now() }
                // The last job is the first one again.
                let job = number == total - 1 ? 0 : number
                made.append(try await make(job, of: folder, with: executor, encoder: encoder))
                progress.withLock { $0.update("jobs", done: number + 1, total: total) }
            }
            var final = try Footprint.now()
            // The thread that wrote the last picture lets go of it a moment later.
            for _ in 0..<250 where final.descriptors > baseline?.descriptors ?? 0 {
                try await Task.sleep(for: .milliseconds(20))
                final = try Footprint.now()
            }
            collected.withLock {
                $0 = JobsReport(
                    jobs: jobs, workers: workers, made: Array(made.dropFirst(Self.warmUp)),
                    samePicture: made.first?.picture == made.last?.picture,
                    baseline: baseline ?? final, final: final,
                    slack: Self.memorySlack)
            }
        }
        guard var report = collected.withLock({ $0 }) else { throw CancellationError() }
        report.childrenLeft = try Footprint.now().children - before.children
        try report.print(json: json)
        if !report.problems.isEmpty {
            throw CommandFailure(.bug, report.problems.joined(separator: "; "))
        }
    }

    /// One job, as `generate` makes it.
    private func make(
        _ number: Int, of folder: ModelFolder, with executor: RemoteExecutor,
        encoder: PromptEncoder
    ) async throws -> Job {
        let native = folder.nativeSide
        let sizes = [(1, 1), (2, 1), (2, 2), (1, 3), (3, 2)]
        let (across, down) = sizes[number % sizes.count]
        let request = GenerationRequest(
            prompt: "picture \(number) of a lake", width: native * across + 8 * (number % 3),
            height: native * down, steps: 2 + number % 3, guidanceScale: 3,
            seed: UInt64(number), method: number % 4 == 3 ? "multidiffusion" : "cutdiffusion")
        let picture = try PicturePlan(request: request, model: folder)
        let generator = ImageGenerator(
            picture: picture,
            conditionings: [encoder.encode(prompt: request.prompt).conditioning])
        let path = NSTemporaryDirectory() + "tessera-jobs-\(UUID().uuidString).png"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let clock = ContinuousClock()
        let start = clock.now
        let noise = try picture.initialNoise(from: nil)
        let latent = try await generator.denoise(
            from: generator.initialState(noise: noise), with: executor, onProgress: { _ in })
        let stream = try PNGStream(
            to: .file(path), width: request.width, height: request.height, texts: [])
        try await generator.decode(latent, with: executor, into: stream, onProgress: { _ in })
        return Job(
            seconds: (clock.now - start) / .seconds(1), views: picture.plan.forwardCount,
            picture: number == 0 ? FileManager.default.contents(atPath: path) : nil)
    }
}

/// One job that was done.
struct Job: Sendable {
    let seconds: Double
    let views: Int
    /// The file, of the first job and its repetition only.
    let picture: Data?
}

/// What a process holds of the system.
struct Footprint: Hashable, Sendable, Encodable {
    let descriptors: Int
    let threads: Int
    let children: Int
    let memoryBytes: Int

    /// This process, now. Throws when the system does not say.
    static func now() throws -> Footprint {
        let files = FileManager.default
        let threads = try files.contentsOfDirectory(atPath: "/proc/self/task")
        let children = threads.reduce(0) { sum, thread in
            let list = try? String(
                contentsOfFile: "/proc/self/task/\(thread)/children", encoding: .utf8)
            return sum + (list?.split(separator: " ").count ?? 0)
        }
        let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            .split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return Footprint(
            // One is the folder that is being read.
            descriptors: try files.contentsOfDirectory(atPath: "/proc/self/fd").count - 1,
            threads: threads.count, children: children,
            memoryBytes: (pages ?? 0) * sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// What `bench jobs` prints.
struct JobsReport: BenchReport {
    var benchmark = "jobs"
    let version = tesseraVersion
    let jobs: Int
    let workers: Int
    let baseline: Footprint
    let final: Footprint
    /// Processes that outlived the coordinator.
    var childrenLeft = 0
    let samePicture: Bool
    /// Milliseconds per view, median of the first and of the last quarter of the jobs.
    let firstMillisecondsPerView: Double
    let lastMillisecondsPerView: Double
    let seconds: Double
    private let slack: Int

    enum CodingKeys: String, CodingKey {
        case benchmark, version, jobs, workers, baseline, final, childrenLeft, samePicture
        case firstMillisecondsPerView, lastMillisecondsPerView, seconds
    }

    init(
        jobs: Int, workers: Int, made: [Job], samePicture: Bool, baseline: Footprint,
        final: Footprint, slack: Int
    ) {
        self.jobs = jobs
        self.workers = workers
        self.baseline = baseline
        self.final = final
        self.samePicture = samePicture
        self.slack = slack
        let costs = made.map { $0.seconds * 1000 / Double(max(1, $0.views)) }
        let quarter = max(1, costs.count / 4)
        firstMillisecondsPerView = Timing(Array(costs.prefix(quarter))).medianSeconds
        lastMillisecondsPerView = Timing(Array(costs.suffix(quarter))).medianSeconds
        seconds = made.reduce(0) { $0 + $1.seconds }
    }

    /// What was left behind, or differs.
    var problems: [String] {
        var problems: [String] = []
        if final.descriptors > baseline.descriptors {
            problems.append("\(final.descriptors - baseline.descriptors) descriptors leaked")
        }
        if final.threads > baseline.threads {
            let count = final.threads - baseline.threads
            problems.append("\(count) thread\(count == 1 ? "" : "s") leaked")
        }
        if final.children > workers || childrenLeft > 0 {
            problems.append("\(max(final.children - workers, childrenLeft)) processes leaked")
        }
        if final.memoryBytes > baseline.memoryBytes + slack {
            problems.append(
                "memory grew by \((final.memoryBytes - baseline.memoryBytes) >> 20) MiB")
        }
        if !samePicture { problems.append("the first picture and its repetition differ") }
        return problems
    }

    var text: String {
        let verdict =
            problems.isEmpty
            ? "nothing was left behind" : problems.joined(separator: "; ")
        return factsText([
            ("tessera", "\(version), bench \(benchmark)"),
            ("jobs", "\(jobs) by \(workers) worker processes, \(secondsText(seconds))"),
            ("descriptors", "\(baseline.descriptors) before, \(final.descriptors) after"),
            ("threads", "\(baseline.threads) before, \(final.threads) after"),
            ("children", "\(final.children), \(childrenLeft) after the coordinator's end"),
            (
                "memory",
                "\(baseline.memoryBytes >> 20) MiB before, \(final.memoryBytes >> 20) MiB after"
            ),
            (
                "a view",
                "\(secondsText(firstMillisecondsPerView / 1000)) in the first quarter, "
                    + "\(secondsText(lastMillisecondsPerView / 1000)) in the last"
            ),
            ("found", verdict),
        ])
    }
}
