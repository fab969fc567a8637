import ClusterCore
import Denoising
import DurableFiles
import FaultInjection
import Foundation
import OutputChannels
import Synchronization
import Tensors
import TextToImage

/// What a run says on its way: a bar or lines on standard error, and with `--json` one object
/// per event on standard output. The loop and the cluster speak through the same one.
final class RunReporter: Sendable {
    private let display = Mutex(ProgressDisplay())
    private let printsEvents: Bool

    init(json: Bool) { printsEvents = json }

    /// Anything a person should know, such as what was cut from a prompt.
    func note(_ text: String) {
        display.withLock { $0.note(text) }
        emit("note", ["text": .string(text)])
    }

    /// Something that may cost the run dear, and does not stop it.
    func warning(_ text: String) {
        display.withLock { $0.note("warning: " + text) }
        emit("warning", ["text": .string(text)])
    }

    func run(_ event: PictureRunEvent) {
        switch event {
        case .note(let text): note(text)
        case .progress(let progress): self.progress(progress)
        case .resumed(let step, let tasks):
            let text =
                step > 0 || tasks > 0
                ? "after \(StateWrite.place(step: step, tasks: tasks))"
                : "at the first step: none was kept"
            display.withLock { $0.note("resuming " + text) }
            emit("resumed", ["step": .int(step), "tasks": .int(tasks)])
        case .pictureKept:
            display.withLock {
                $0.note("resuming at the first step: the picture is encoded already")
            }
            emit("picture_kept", [:])
        case .tilesKept(let tiles, let count):
            display.withLock { $0.note("\(tiles) of \(count) tiles are decoded already") }
            emit("tiles_kept", ["tiles": .int(tiles), "of": .int(count)])
        }
    }

    /// What a state folder has to tell.
    func state(_ event: StateEvent) {
        switch event {
        case .saved(let step, let tasks, let byteCount, let took):
            emit(
                "checkpoint",
                [
                    "step": .int(step), "tasks": .int(tasks), "bytes": .int(byteCount),
                    "seconds": .double(took / .seconds(1)),
                ])
        case _ where event.isWarning: warning(event.description)
        default: note(event.description)
        }
    }

    /// Which life of its state folder this process is.
    func life(_ life: StateLife, in folder: String) {
        emit(
            "state",
            [
                "folder": .string(folder), "epoch": .int(Int(clamping: life.epoch)),
                "realm": .string("\(Fingerprint(value: life.realm))"),
            ])
    }

    /// Which seed `--seed random` has drawn.
    func seed(_ seed: UInt64) {
        display.withLock { $0.note("seed \(seed)") }
        emit("seed", ["seed": .seed(seed)])
    }

    func planned(_ picture: PicturePlan) {
        let plan = picture.plan
        display.withLock { $0.note(plan.description) }
        emit(
            "plan",
            [
                "fingerprint": .string(picture.fingerprint.description),
                "width": .int(picture.request.width), "height": .int(picture.request.height),
                "seed": .seed(picture.request.seed),
                "steps": .int(plan.stepCount), "views": .int(plan.forwardCount),
            ])
    }

    func progress(_ progress: GenerationProgress) {
        switch progress {
        case .views(let done, let views):
            display.withLock { $0.update("denoising", done: done, total: views) }
        case .step(let done, let steps):
            emit("step", ["done": .int(done), "of": .int(steps)])
        case .redrawn(0, _, let done, let tiles):
            display.withLock { $0.update("encoding", done: done, total: tiles) }
            emit("encoding", ["tiles": .int(done), "of_tiles": .int(tiles)])
        case .redrawn(let phase, let phases, let done, let tiles):
            let name = "enlarging (\(phase) of \(phases - 1))"
            display.withLock { $0.update(name, done: done, total: tiles) }
            emit(
                "enlarging",
                [
                    "phase": .int(phase), "of": .int(phases - 1), "tiles": .int(done),
                    "of_tiles": .int(tiles),
                ])
        case .tile(let done, let tiles):
            display.withLock { $0.update("decoding", done: done, total: tiles) }
            emit("tile", ["done": .int(done), "of": .int(tiles)])
        }
    }

    /// A worker came, went or was turned away.
    func worker(_ event: WorkerEvent) {
        // One that leaves was said to be leaving.
        if case .left = event { return }
        let text = "\(event)"
        display.withLock { $0.note(text) }
        var fields: [String: Value] = ["text": .string(text)]
        if let live = event.live { fields["live"] = .int(live) }
        emit("worker", fields)
    }

    /// Tells people, then whoever waits for a milestone to break something.
    func run(_ event: PictureRunEvent, _ injector: FaultInjector?) {
        run(event)
        switch event {
        case .progress(.step(let done, _)): injector?.reached(.step, number: done)
        case .progress(.tile(let done, _)): injector?.reached(.tile, number: done)
        case .note, .progress(.views), .progress(.redrawn), .resumed, .pictureKept, .tilesKept:
            break
        }
    }

    /// A job begins or is over.
    func job(_ job: JobStatus) {
        note("job \(job.id): \(job.story)")
        emit(
            "job",
            [
                "id": .string(job.id), "state": .string(job.phase.text),
                "reason": .string(job.reason), "output": .string(job.output),
            ])
    }

    /// A coordinator takes jobs from now on.
    func takesJobs(at control: String, workersAt endpoint: String, waiting: Int) {
        note("taking jobs at \(control), workers at \(endpoint)")
        emit(
            "coordinator",
            [
                "control": .string(control), "endpoint": .string(endpoint),
                "waiting": .int(waiting),
            ])
    }

    /// Things will be broken on purpose.
    func faults(_ drill: FaultDrill) {
        display.withLock { $0.note(drill.banner) }
        emit(
            "faults",
            [
                "spec": .string("\(drill.injector.spec)"),
                "seed": .string("\(drill.injector.seed)"),
            ])
    }

    /// The same of worker processes on this machine.
    func workerFaults(_ options: WorkerFaultOptions, of workers: Int) {
        for index in 0..<workers {
            guard let spec = options.spec(ofWorker: index) else { continue }
            display.withLock {
                $0.note("FAULTS ARE BEING INJECTED on purpose into worker \(index): \(spec)")
            }
            emit("faults", ["spec": .string("\(spec)"), "worker": .int(index)])
        }
    }

    /// What was broken on purpose.
    func faultsDone(_ drill: FaultDrill) {
        display.withLock { $0.note(drill.summary) }
        for count in drill.injector.counts {
            emit(
                "faults-done",
                [
                    "fault": .string("\(count.rule)"), "injected": .int(count.injected),
                    "of": .int(count.seen),
                ])
        }
    }

    /// What the cluster went through; said only when there was any trouble.
    func cluster(_ counters: ClusterCounters) {
        let numbers: [(String, Int)] = [
            ("stale", counters.stale), ("unsound", counters.unsound),
            ("malformed", counters.malformed), ("failed", counters.failed),
            ("resent", counters.resent), ("expired", counters.expired),
            ("copied", counters.copied), ("recalled", counters.recalled),
            ("unconfirmed", counters.unconfirmed), ("outvoted", counters.outvoted),
            ("lost", counters.lost), ("rejected", counters.rejected),
            ("quarantined", counters.quarantined),
        ]
        let quiet: [(String, Int)] = [
            ("accepted", counters.accepted), ("confirmed", counters.confirmed),
            ("joined", counters.joined),
        ]
        emit(
            "cluster",
            Dictionary(uniqueKeysWithValues: (quiet + numbers).map { ($0.0, .int($0.1)) }))
        let trouble = numbers.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }
        guard !trouble.isEmpty else { return }
        display.withLock { display in
            display.note(
                "\(counters.accepted) answers from \(counters.joined) workers; on the way: "
                    + trouble.joined(separator: ", "))
        }
    }

    /// Plaintext was asked for: said so loudly that nobody can miss it.
    func insecure(_ endpoint: String) {
        display.withLock { $0.note(InsecureBanner.text(endpoint)) }
        emit(
            "insecure",
            ["endpoint": .string(endpoint), "text": .string("not encrypted, not authenticated")])
    }

    /// What came to the coordinator's door in all.
    func transport(_ counters: TransportCounters) {
        if let summary = counters.refusalSummary {
            display.withLock { $0.note("at the door: \(summary)") }
        }
        let refused = counters.refused.map { ($0.key.rawValue, $0.value) }
        emit(
            "transport",
            [
                "accepted": .int(counters.accepted), "established": .int(counters.established),
                "ended": .int(counters.ended), "ended_unheard": .int(counters.endedUnheard),
                "messages": .int(counters.messages),
                "refused": .counts(Dictionary(uniqueKeysWithValues: refused)),
                "refused_total": .int(counters.totalRefused),
            ])
    }

    /// `output` is nil when standard output is the picture's.
    func finished(output: String?, took duration: Duration, weights: String) {
        display.withLock { $0.closeBar() }
        if printsEvents {
            emit(
                "done",
                [
                    "output": .string(output ?? "-"), "weights": .string(weights),
                    "seconds": .double(duration / .seconds(1)),
                    "peak_bytes": .int(ProcessFacts.peakMemoryBytes),
                ])
        } else {
            display.withLock { $0.note("done in \(clockText(duration))") }
            if let output {
                Output.keepOrder()
                Output.events.send(SystemPath.bytes(of: output + "\n"))
            }
        }
    }

    private enum Value: Encodable {
        case string(String)
        case int(Int)
        case seed(UInt64)
        case double(Double)
        case counts([String: Int])

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .string(let value): try container.encode(value)
            case .int(let value): try container.encode(value)
            case .seed(let value): try container.encode(value)
            case .double(let value): try container.encode(value)
            case .counts(let value): try container.encode(value)
            }
        }
    }

    private func emit(_ event: String, _ fields: [String: Value]) {
        guard printsEvents else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let fields = fields.merging(
            ["event": .string(event), "ms": .int(Int(monotonicMilliseconds()))]
        ) { $1 }
        guard let line = try? encoder.encode(fields) else { return }
        Output.events.send(line + [UInt8(ascii: "\n")])
    }
}
