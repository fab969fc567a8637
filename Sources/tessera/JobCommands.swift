import ArgumentParser
import ClusterCore
import Foundation

/// Lists jobs.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Say where a coordinator's jobs are.",
        discussion: """
            Lists the job at work, then those that wait, in their order, then those that are over, \
            the latest first; the last 200 of these are known.

            EXAMPLES
              tessera status --state-dir ~/tessera
              tessera status --state-dir ~/tessera lake-1 --json
            """
    )

    @OptionGroup(title: "Coordinator") var coordinator: ControlOptions

    @Argument(help: "A job's id; all jobs if left out.")
    var id: String?

    @Flag(help: "Print one JSON object with a list of jobs.")
    var json = false

    func run() async throws {
        guard case .jobs(let jobs) = try await coordinator.ask(.status(id: id)) else { return }
        if json {
            try printJSON(["jobs": jobs.map(\.record)])
        } else {
            printTable(
                ["JOB", "STATE", "OUTPUT"], jobs.map { [$0.id, $0.story, $0.output] },
                none: "no jobs")
        }
    }
}

/// Gives a job up.
struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel",
        abstract: "Give a coordinator's job up.",
        discussion: """
            One that waits is not begun; for one that is at work, nothing more is asked, and \
            workers are free again when the task in hand is done. What was kept of it is removed.

            EXAMPLE
              tessera cancel --state-dir ~/tessera lake-1
            """
    )

    @OptionGroup(title: "Coordinator") var coordinator: ControlOptions

    @Argument(help: "The job's id.")
    var id: String

    func run() async throws {
        let job = try SubmitCommand.job(in: try await coordinator.ask(.cancel(id: id)))
        printLine("\(job.id): \(job.story)")
    }
}

/// Lists workers.
struct WorkersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workers",
        abstract: "Say which workers a coordinator has.",
        discussion: """
            Names, what they are at, how long their latest tasks took, and how often they were \
            left alone after failures.

            EXAMPLE
              tessera workers --state-dir ~/tessera
            """
    )

    @OptionGroup(title: "Coordinator") var coordinator: ControlOptions

    @Flag(help: "Print one JSON object with a list of workers.")
    var json = false

    func run() async throws {
        guard case .workers(let workers) = try await coordinator.ask(.workers) else { return }
        if json {
            try printJSON(["workers": workers.map(WorkerStatusRecord.init)])
        } else {
            printTable(
                ["WORKER", "STATE", "IN HAND", "DENOISING", "DECODING", "QUARANTINES"],
                workers.map(\.cells), none: "no workers")
        }
    }
}

/// Sends a worker home.
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Let one of a coordinator's workers finish its task and leave.",
        discussion: """
            As SIGTERM to the worker does: it finishes the task in hand, hands back the next, and \
            ends. The job goes on with the others.

            EXAMPLE
              tessera drain --state-dir ~/tessera 'worker 1'
            """
    )

    @OptionGroup(title: "Coordinator") var coordinator: ControlOptions

    @Argument(help: "The worker's name, as tessera workers lists it.")
    var name: String

    func run() async throws {
        guard case .workers(let workers) = try await coordinator.ask(.drain(name: name)) else {
            return
        }
        let others = workers.count > 1 ? ", all \(workers.count)" : ""
        printLine("\(name): asked to leave\(others)")
    }
}

/// A worker as `--json` prints it.
private struct WorkerStatusRecord: Encodable {
    let name: String
    let state: String
    let inHand: Int
    let denoiseSeconds: Double
    let decodeSeconds: Double
    let quarantineSeconds: Double
    let quarantines: Int

    init(_ worker: WorkerStatus) {
        name = worker.name
        state = worker.activity.text
        inHand = worker.attemptsInHand
        denoiseSeconds = worker.denoiseTime / .seconds(1)
        decodeSeconds = worker.decodeTime / .seconds(1)
        quarantineSeconds = worker.quarantine / .seconds(1)
        quarantines = worker.quarantines
    }
}

extension WorkerActivity {
    /// As scripts read it.
    fileprivate var text: String {
        switch self {
        case .idle: "idle"
        case .working: "working"
        case .silent: "silent"
        case .leaving: "leaving"
        case .quarantined: "quarantined"
        }
    }
}

extension WorkerStatus {
    fileprivate var cells: [String] {
        let rest = activity == .quarantined ? " for \(quarantine.components.seconds) s" : ""
        return [
            name, activity.text + rest, "\(attemptsInHand)", time(denoiseTime), time(decodeTime),
            "\(quarantines)",
        ]
    }

    private func time(_ time: Duration) -> String {
        time == .zero ? "-" : String(format: "%.3f s", time / .seconds(1))
    }
}

/// Columns as wide as their widest cell.
private func printTable(_ titles: [String], _ rows: [[String]], none: String) {
    guard !rows.isEmpty else { return printLine(none) }
    let lines = [titles] + rows
    let widths = titles.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    for line in lines {
        let cells = zip(line, widths).map { cell, width in
            cell + String(repeating: " ", count: width - cell.count)
        }
        printLine(cells.joined(separator: "  ").trimmingCharacters(in: .whitespaces))
    }
}
