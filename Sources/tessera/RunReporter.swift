import ClusterCore
import Denoising
import Foundation
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

    func planned(_ picture: PicturePlan) {
        let plan = picture.plan
        display.withLock { $0.note(plan.description) }
        emit(
            "plan",
            [
                "fingerprint": .string(picture.fingerprint.description),
                "width": .int(picture.request.width), "height": .int(picture.request.height),
                "steps": .int(plan.stepCount), "views": .int(plan.forwardCount),
            ])
    }

    func progress(_ progress: GenerationProgress) {
        switch progress {
        case .views(let done, let views):
            display.withLock { $0.update("denoising", done: done, total: views) }
        case .step(let done, let steps):
            emit("step", ["done": .int(done), "of": .int(steps)])
        case .tile(let done, let tiles):
            display.withLock { $0.update("decoding", done: done, total: tiles) }
            emit("tile", ["done": .int(done), "of": .int(tiles)])
        }
    }

    /// A worker came, went or was turned away.
    func worker(_ event: WorkerEvent) {
        guard let (text, live) = Self.describe(event) else { return }
        display.withLock { $0.note(text) }
        emit(
            "worker", ["text": .string(text)].merging(live.map { ["live": .int($0)] } ?? [:]) { $1 }
        )
    }

    private static func describe(_ event: WorkerEvent) -> (text: String, live: Int?)? {
        switch event {
        case .joined(let worker, let live): ("\(worker) joined, \(live) at work", live)
        case .rejected(let name, let reason): ("\(name) was rejected: \(reason)", nil)
        case .draining(let worker, let live): ("\(worker) is leaving, \(live) at work", live)
        case .lost(let worker, let reason, let live):
            ("\(worker) is lost: \(reason); \(live) at work", live)
        case .suspected(let worker): ("\(worker) is silent", nil)
        case .recovered(let worker): ("\(worker) is back", nil)
        case .left: nil
        }
    }

    func finished(output: String, took duration: Duration, weights: String) {
        display.withLock { $0.closeBar() }
        if printsEvents {
            emit(
                "done",
                [
                    "output": .string(output), "weights": .string(weights),
                    "seconds": .double(duration / .seconds(1)),
                ])
        } else {
            display.withLock { $0.note("done in \(clockText(duration))") }
            print(output)
        }
    }

    private enum Value: Encodable {
        case string(String)
        case int(Int)
        case double(Double)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .string(let value): try container.encode(value)
            case .int(let value): try container.encode(value)
            case .double(let value): try container.encode(value)
            }
        }
    }

    private func emit(_ event: String, _ fields: [String: Value]) {
        guard printsEvents else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let fields = fields.merging(["event": .string(event)]) { $1 }
        guard var line = try? encoder.encode(fields) else { return }
        line.append(UInt8(ascii: "\n"))
        FileHandle.standardOutput.write(line)
    }
}
