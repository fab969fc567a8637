import ClusterCore
import ClusterRuntime
import ClusterSimulation
import Foundation
import TextToImage

/// A recorded run, lived again.
struct ReplayReport {
    let path: String
    let events: Int
    let story: ReplayStory
    let counters: ClusterCounters
    let violations: [Violation]
    /// The line of the first event after which this program decides otherwise than the writer.
    let firstDifference: Int?
    let end: EventLogReader.End
    let writer: String

    /// Replays the log; `trace` is told every event and what was decided. Throws
    /// ``EventLogError``.
    static func run(path: String, trace: ((String) -> Void)?) throws(EventLogError) -> ReplayReport
    {
        var reader = try EventLogReader(path: path)
        var replay = Replay(reader.setup)
        var events = 0
        var firstDifference: Int?
        while let record = try reader.next() {
            if let problem = replay.problem(of: record.event) {
                throw .damaged(path, line: record.line, reason: problem)
            }
            let effects = replay.handle(record.event, at: record.at)
            events += 1
            if !reader.agrees(effects), firstDifference == nil { firstDifference = record.line }
            if let trace {
                trace("\(record.at.text)  \(record.event.story)")
                for effect in effects { trace("\(record.at.text)    \(effect.story)") }
            }
        }
        return ReplayReport(
            path: path, events: events, story: replay.story, counters: replay.counters,
            violations: replay.violations, firstDifference: firstDifference,
            end: reader.end ?? .missing, writer: reader.setup.version)
    }

    var isClean: Bool { violations.isEmpty && firstDifference == nil }

    // MARK: For a person

    var text: String {
        var lines: [String] = []
        let start = story.start ?? story.end
        lines.append(
            "\(events) events in \(clockText(story.end - start)): \(story.jobs) jobs, "
                + "\(story.answered) answers, written by tessera \(writer)")
        for worker in story.workers {
            lines.append(
                "\(worker.name): \(worker.answers) answers in "
                    + "\(secondsText(worker.computing / .seconds(1))) of computing, "
                    + "\(worker.failures) failures")
            lines += worker.turns.map { "  \($0)" }
        }
        for task in story.troubled {
            lines.append("\(task.task) of round \(task.task.round):")
            lines += task.attempts.map { "  \($0)" }
        }
        if story.troubledCount > story.troubled.count {
            lines.append("… and \(story.troubledCount - story.troubled.count) more such tasks")
        }
        lines += story.failures.map { "a job failed: \($0)" }
        lines.append(
            story.events.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
                .map { "\($0.value) × \($0.key)" }.joined(separator: ", "))
        lines += violations.map(\.description)
        lines.append(verdict)
        return lines.joined(separator: "\n")
    }

    private var verdict: String {
        var words = "every invariant held after every event, and every decision was made again"
        if !violations.isEmpty {
            words = "\(violations.count) times an invariant did not hold"
        } else if let firstDifference {
            words =
                "from line \(firstDifference) on this program, tessera \(tesseraVersion), decides "
                + "otherwise than the one that wrote the log, tessera \(writer)"
        }
        switch end {
        case .complete: return words
        case .stopped(let reason): return words + "; the log was ended early: \(reason)"
        case .missing: return words + "; the log has no end: the coordinator was killed"
        }
    }

    // MARK: For a program

    var json: some Encodable {
        JSON(
            events: events, writer: writer, clean: isClean,
            end: {
                switch end {
                case .complete: "complete"
                case .stopped: "stopped"
                case .missing: "missing"
                }
            }(),
            firstDifference: firstDifference, violations: violations.map(\.description),
            jobs: story.jobs, answers: story.answered, retried: story.troubledCount,
            failures: story.failures,
            workers: story.workers.map {
                JSON.Worker(
                    name: $0.name, answers: $0.answers, failures: $0.failures,
                    computingSeconds: $0.computing / .seconds(1))
            },
            counts: story.events, counters: counters)
    }

    private struct JSON: Encodable {
        struct Worker: Encodable {
            let name: String
            let answers: Int
            let failures: Int
            let computingSeconds: Double
        }

        var event = "replayed"
        let events: Int
        let writer: String
        let clean: Bool
        let end: String
        let firstDifference: Int?
        let violations: [String]
        let jobs: Int
        let answers: Int
        let retried: Int
        let failures: [String]
        let workers: [Worker]
        let counts: [String: Int]
        let counters: ClusterCounters
    }
}
