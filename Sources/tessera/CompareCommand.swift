import ArgumentParser
import ClusterLaunch
import Comparison
import Denoising
import DurableFiles
import Foundation
import Synchronization
import TextToImage

/// Makes the same pictures by several methods, and a page to look at them.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Make the same pictures by several methods, and one page to compare them.",
        discussion: """
            Each picture is made by a `tessera generate` of its own, one after the other; what \
            follows -- goes to every one of them as it is. A comparison that was ended goes on when \
            the same command is given again: pictures that are there are kept, and the one under way \
            goes on where it was. The page, comparison.html in the folder, holds everything that it \
            shows; the pictures in full lie beside it.

            What pictures should show is known for the model that ships. Its recipe's judge.py, run \
            on the folder, counts horizons and suns and measures detail and distances to true \
            pictures; the same command again puts its figures on the page.

            EXAMPLES
              tessera compare --size 4x --seeds 0..3 --output methods
              tessera compare --method upscale --method demofusion --size 2048x2048 \\
                --size 4096x4096 --prompt "a lake at dawn" --output methods -- --model sdxl
            """
    )

    @Option(
        help: ArgumentHelp(
            "A method; may be given several times. All of them if left out: "
                + "\(DenoisingMethods.all.map(\.name).formatted()).")
    )
    var method: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Pixels as WxH, or Nx for a square of N times the model's native side; may be given \
            several times. (default: 4x)
            """, valueName: "size"),
        transform: PictureSize.argument
    )
    var size: [PictureSize] = []

    @Option(help: "What the picture shows; may be given several times.")
    var prompt: [String] = []

    @Option(
        help: ArgumentHelp("Seeds from A to B, both included.", valueName: "A..B"))
    var seeds = SeedRange(argument: "0..3")!

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The folder that the comparison grows in.", valueName: "folder"))
    var output: String

    @Option(help: "Pixels a side of the pictures on the page.")
    var thumbnail = 256

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("Options for every `tessera generate`.", valueName: "options"))
    var rest: [String] = []

    func validate() throws {
        guard (32...1024).contains(thumbnail) else {
            throw ValidationError("--thumbnail should be from 32 to 1024, got \(thumbnail)")
        }
        guard seeds.range.upperBound - seeds.range.lowerBound < 1000 else {
            throw ValidationError("--seeds should be at most 1000 seeds, got \(seeds.range)")
        }
        let own = [
            "--method", "--size", "--prompt", "--seed", "--output", "-o", "--json", "--state-dir",
            "--resume",
        ]
        let names = rest.map { String($0.prefix { $0 != "=" }) }
        if let name = names.first(where: own.contains) {
            throw ValidationError(
                "\(name) is not for --: `tessera compare` gives it to every run itself")
        }
    }

    mutating func run() async throws {
        let command = self
        do {
            try await withInterruption { try await command.compare() }
        } catch let interruption as Interrupted {
            throw CommandFailure(
                .resumable, "\(interruption); the same command again goes on from there")
        }
    }

    private func compare() async throws {
        for name in method { _ = try DenoisingMethods.method(named: name) }
        let folder: ComparisonFolder
        do { folder = try ComparisonFolder(path: output) } catch {
            throw CommandFailure(.usage, "--output \(output) cannot be used: \(error.reason)")
        }
        let judgement = try folder.judgement()
        let cases = ComparisonCase.all(
            methods: method.isEmpty ? DenoisingMethods.all.map(\.name) : method,
            sizes: (size.isEmpty ? [.times(4)] : size).map(\.description),
            prompts: prompt.isEmpty ? [BenchTextCommand.examplePrompt] : prompt,
            seeds: seeds.range)
        var display = ProgressDisplay()
        var entries: [ComparisonPage.Entry] = []
        for (number, `case`) in cases.enumerated() {
            display.update("comparing", done: number, total: cases.count)
            let kept = folder.record(of: `case`, origin: origin(of: `case`))
            let record: ComparisonRecord
            if let kept { record = kept } else { record = try await make(`case`, in: folder) }
            if let failure = record.failure { display.note("\(`case`.name): \(failure)") }
            entries.append(try await entry(of: record, in: folder))
            // The page grows with the comparison: whoever waits can look.
            if kept == nil || number == cases.count - 1 {
                try writePage(of: entries, judgement, in: folder)
            }
        }
        display.update("comparing", done: cases.count, total: cases.count)
        guard entries.contains(where: { $0.record.figures != nil }) else {
            throw CommandFailure(.badData, "no picture could be made; see \(folder.page)")
        }
        printLine(folder.page)
    }

    /// What a case's run is told of the picture.
    private func request(of case: ComparisonCase) -> [String] {
        [
            "--prompt", `case`.prompt, "--size", `case`.size, "--method", `case`.method,
            "--seed", "\(`case`.seed)",
        ] + rest
    }

    private func origin(of case: ComparisonCase) -> [String] {
        [tesseraVersion] + request(of: `case`)
    }

    /// Runs a case, and keeps what comes of it.
    private func make(
        _ case: ComparisonCase, in folder: ComparisonFolder
    ) async throws -> ComparisonRecord {
        let origin = origin(of: `case`)
        let state = folder.state(of: `case`, origin: origin)
        let isUnderWay = FileManager.default.fileExists(atPath: state)
        let story = Mutex(GenerateStory())
        let run = ProgramRun(
            ["generate", "--json", "--output", folder.picture(of: `case`), "--state-dir", state]
                + (isUnderWay ? ["--resume"] : []) + request(of: `case`))
        let end = try await run.run { line in story.withLock { $0.add(line) } }
        try Task.checkCancellation()
        let figures = story.withLock { $0.figures }
        let record =
            if end.status == 0, let figures {
                ComparisonRecord(case: `case`, origin: origin, figures: figures)
            } else {
                ComparisonRecord(
                    case: `case`, origin: origin,
                    failure: end.reason.isEmpty ? "exit code \(end.status)" : end.reason)
            }
        try folder.keep(record)
        return record
    }

    private func entry(
        of record: ComparisonRecord, in folder: ComparisonFolder
    ) async throws -> ComparisonPage.Entry {
        guard record.figures != nil else {
            return ComparisonPage.Entry(record: record, reduced: [], detail: [])
        }
        let (reduced, detail) = (folder.thumbnail(of: record.case), folder.detail(of: record.case))
        try await Thumbnail.write(
            of: folder.picture(of: record.case), side: thumbnail, reduced: .file(reduced),
            detail: .file(detail))
        let limit = 16 << 20
        return ComparisonPage.Entry(
            record: record, reduced: try readSmallFile(reduced, limit: limit) ?? [],
            detail: try readSmallFile(detail, limit: limit) ?? [])
    }

    private func writePage(
        of entries: [ComparisonPage.Entry], _ judgement: Judgement?, in folder: ComparisonFolder
    ) throws {
        let machine = DoctorReport.Machine.present
        let page = ComparisonPage(
            entries: entries, judgement: judgement,
            machine: "\(machine.processor), \(machine.threads) threads, "
                + "\(machine.memoryBytes >> 30) GiB, \(machine.system)")
        try AtomicFile.write(Array(page.html.utf8), to: folder.page)
    }
}

/// What a run tells of itself in its JSON lines.
private struct GenerateStory {
    private struct Line: Decodable {
        let event: String
        let width: Int?
        let height: Int?
        let views: Int?
        let seconds: Double?
        let peakBytes: Int?
        let weights: String?
    }

    private var plan: Line?
    private var end: Line?

    mutating func add(_ text: String) {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let line = try? decoder.decode(Line.self, from: Data(text.utf8)) else { return }
        switch line.event {
        case "plan": plan = line
        case "done": end = line
        default: break
        }
    }

    /// Nil until the run is done.
    var figures: ComparisonRecord.Figures? {
        guard let plan, let end, let width = plan.width, let height = plan.height,
            let views = plan.views, let seconds = end.seconds, let peak = end.peakBytes,
            let weights = end.weights
        else { return nil }
        return ComparisonRecord.Figures(
            width: width, height: height, views: views, seconds: seconds, peakBytes: peak,
            weights: weights)
    }
}
