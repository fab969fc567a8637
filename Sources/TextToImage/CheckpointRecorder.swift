internal import Denoising
internal import DiffusionModels
internal import Foundation
internal import Locking
internal import Tensors

/// Writes checkpoints and drops the ones that are too old, on whatever thread it is called.
final class CheckpointRecorder: Sendable {
    private let session: StateSession
    private let hold: StateHold
    private let memory = Lock(Memory())

    private struct Memory {
        /// Checkpoints that are known to be whole, oldest first.
        var kept: [CheckpointFile] = []
        var trouble = TroubleGate()
    }

    private static let generations = 2

    init(session: StateSession, hold: StateHold) {
        self.session = session
        self.hold = hold
    }

    /// Counts a checkpoint that was found whole among those that are kept.
    func adopt(_ file: CheckpointFile) { memory.withLock { $0.kept = [file] } }

    func holds(_ file: CheckpointFile) -> Bool { memory.withLock { $0.kept.contains(file) } }

    func record(_ state: DenoisingState) -> CheckpointWriter.Outcome {
        // Another folder under this path says nothing about this run.
        if hold.displacement == nil, let supersession = session.supersession {
            return .ended(supersession)
        }
        let clock = ContinuousClock()
        let start = clock.now
        let file = CheckpointFile(of: state)
        let write = StateWrite(kind: .checkpoint, step: file.step, tasks: file.tasks)
        do {
            try session.willWrite(write)
            try hold.check()
            try hold.keepManifest()
            try CheckpointFile.write(state, of: session.run, in: session.folder)
            // Another may have come under this path meanwhile, whose files are not to be dropped.
            try hold.check()
        } catch {
            failed(write, error, at: clock.now)
            return .failed
        }
        // Whoever came while this was on its way has the same bytes under this name, and newer
        // checkpoints that are not this process's to drop.
        if let supersession = session.supersession { return .ended(supersession) }
        let kept = memory.withLock { memory in
            memory.kept = (memory.kept + [file]).suffix(Self.generations)
            return memory.kept
        }
        dropAllBut(kept)
        let count =
            state.canvas.values.count + (state.underWay?.sum.values.count ?? 0)
            + (state.underWay?.mixed?.values.count ?? 0)
            + state.kept.reduce(0) { $0 + $1.latent.values.count }
        session.announce(
            .saved(
                step: file.step, tasks: file.tasks, byteCount: count * MemoryLayout<Float>.size,
                took: clock.now - start))
        let failures = memory.withLock { $0.trouble.succeeded() }
        if failures > 0 { session.announce(.recovered(write, failures: failures)) }
        return .written
    }

    private func failed(_ write: StateWrite, _ error: any Error, at now: ContinuousClock.Instant) {
        guard memory.withLock({ $0.trouble.failed(at: now) }) else { return }
        let loss = error as? StateLoss
        session.announce(loss.map(StateEvent.lost) ?? .failed(write, reason: text(error)))
    }

    private func text(_ error: any Error) -> String {
        if case WeightsError.unwritable(_, let reason) = error { return reason }
        return reasonText(error)
    }

    /// Only after a new one is whole: what was kept before, damaged ones included, stays until
    /// then.
    private func dropAllBut(_ kept: [CheckpointFile]) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: session.folder)) ?? []
        for file in names.compactMap(CheckpointFile.init(name:)) where !kept.contains(file) {
            try? FileManager.default.removeItem(atPath: session.folder + "/" + file.name)
        }
    }
}
