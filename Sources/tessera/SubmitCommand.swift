import ArgumentParser
import ClusterCore
import ClusterRuntime
import DiffusionModels
import DurableFiles
import Foundation
import JobService
import Tensors
import TextToImage

/// Has a coordinator make a picture.
struct SubmitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Have a coordinator that stays up make a picture.",
        discussion: """
            Takes the flags of tessera generate that decide the picture, and prints the job's id. \
            The request is judged before it is taken in; from then on the job is kept, whatever \
            happens to this command or to the coordinator. The coordinator writes the files, and reads \
            those that the request names.

            With --id the command can be given again as often as one likes: the same id is one \
            job. One that failed is then tried again, and goes on from what is kept. --seed random \
            therefore gives the same id the same seed.

            \(RequestOptions.methodsHelp)

            EXAMPLES
              tessera submit --state-dir ~/tessera --prompt "a lake at dawn" --output lake.png
              tessera submit --state-dir ~/tessera --prompt "a lake at dawn" --output lake.png \\
                --id lake-1 --watch
              tessera submit --state-dir ~/tessera --prompt "a lake at dawn" --image photo.png \\
                --size 4x --output large.png
            """
    )

    @OptionGroup(title: "Coordinator") var coordinator: ControlOptions
    @OptionGroup(title: "Request") var options: RequestOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            """
            Where the coordinator puts the PNG: a file, which appears when it is whole, with the \
            mode and owner of the one that it replaces; links are followed.
            """,
            valueName: "file")
    )
    var output: String

    @Option(help: ArgumentHelp("Also write the final latents.", valueName: "file"))
    var saveLatents: String?

    @Option(
        help: ArgumentHelp(
            "The job's name: letters, digits, '-', '_', '.'. One is made if left out.",
            valueName: "key")
    )
    var id: String?

    @Flag(
        help: """
            Show progress until the job is over, and end with its exit code. Without it, or when \
            this command ends before, the job goes on all the same.
            """
    )
    var watch = false

    @Flag(help: "Print the job's status as JSON, when it is submitted and when it is over.")
    var json = false

    func validate() throws {
        if options.prompt == nil {
            throw ValidationError("--prompt is missing: say what the picture shows")
        }
        for (option, path) in [("--output", output), ("--save-latents", saveLatents)]
        where path == "-" {
            throw ValidationError(
                "\(option) - is this command's standard output, and the coordinator writes the "
                    + "files: name one")
        }
    }

    func run() async throws {
        // Made here, so that asking again after a lost answer does not make a second job.
        let id = id ?? "job-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        let seed = options.seed.settled(forJob: id)
        if options.seed == .random { RunReporter(json: false).seed(seed) }
        let bytes = try order(seed: seed).json
        let last = try await coordinator.withClient { client in
            let answer = try await client.granted(
                .submit(id: id, order: bytes), patience: coordinator.patience)
            let job = try Self.job(in: answer)
            if json { try printJSON(job.record(seed: seed)) } else { printLine(job.id) }
            return watch
                ? try await JobWatch(id: id, patience: coordinator.patience).finalStatus(client)
                : nil
        }
        guard let last else { return }
        if json { try printJSON(last.record) }
        switch last.phase {
        case .done: return
        case .cancelled: throw CommandFailure(.interrupted, "job '\(id)' was cancelled")
        default:
            throw CommandFailure(
                ExitStatus(rawValue: Int32(clamping: last.exitCode)) ?? .bug,
                "job '\(id)' failed: \(last.reason)")
        }
    }

    private func order(seed: UInt64) throws -> JobOrder {
        try JobOrder(
            size: options.size.description,
            request: options.request(width: 0, height: 0, seed: seed),
            output: Self.absolute(output),
            saveLatents: saveLatents.map(Self.absolute),
            initialLatents: options.initialLatents.map(Self.readable),
            image: options.image.map(Self.readable),
            // The coordinator has a model of its own; who names one means that very one.
            weights: options.model.model == nil
                ? nil : options.model.open().fingerprint().description
        )
    }

    /// The absolute path of a file that the coordinator reads.
    private static func readable(_ path: String) throws(CommandFailure) -> String {
        let absolute = try absolute(path)
        guard SystemPath.isUTF8(absolute) else {
            throw CommandFailure(
                .usage,
                "\(path) is in a folder whose name is not UTF-8, from which nothing is read; "
                    + "submit from another folder")
        }
        return absolute
    }

    /// The absolute path of a result.
    private static func absolute(_ path: String) throws(CommandFailure) -> String {
        if path.utf8.first == UInt8(ascii: "/") { return path }
        guard let folder = getcwd(nil, 0) else {
            throw CommandFailure(
                .usage, "\(path) is in a folder that is gone; name it from the root on")
        }
        defer { free(folder) }
        return SystemPath.text(ofCString: folder) + "/" + path
    }

    static func job(in answer: ControlAnswer) throws(CommandFailure) -> JobStatus {
        guard case .jobs(let jobs) = answer, let job = jobs.first else {
            throw CommandFailure(.bug, "the coordinator's answer is about something else")
        }
        return job
    }
}

/// Follows a job to its end.
private struct JobWatch {
    let id: String
    let patience: Duration

    /// How often it is asked for: often enough for a bar, too rare to cost.
    private static let period: Duration = .milliseconds(500)

    /// A coordinator that was killed has this long to be started again.
    private static let absence: Duration = .seconds(60)

    func finalStatus(_ client: ControlClient) async throws -> JobStatus {
        var display = ProgressDisplay()
        var last: JobStatus?
        while true {
            let answer = try await client.granted(
                .status(id: id), patience: max(patience, Self.absence))
            let job = try SubmitCommand.job(in: answer)
            if job != last { show(job, on: &display) }
            if job.phase.isOver {
                display.closeBar()
                return job
            }
            last = job
            try await Task.sleep(for: Self.period)
        }
    }

    private func show(_ job: JobStatus, on display: inout ProgressDisplay) {
        switch job.phase {
        case .running where job.total > 0:
            display.update("denoising", done: job.done, total: job.total)
        case .decoding: display.update("decoding", done: job.done, total: job.total)
        case .running, .queued, .done, .failed, .cancelled:
            display.note("job \(job.id): \(job.story)")
        }
    }
}
