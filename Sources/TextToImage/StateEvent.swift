/// A write into a state folder, announced to ``CheckpointFolder``'s hook before it happens.
package struct StateWrite: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// What the folder holds.
        case manifest
        /// The raised epoch.
        case epoch
        /// The latents after a step, or those of the picture that is started from.
        case checkpoint
        /// One decoded tile.
        case journal
    }

    package let kind: Kind
    /// A checkpoint's count of finished steps, a journal's tile, an epoch's number; else 0.
    package let step: Int
    /// A checkpoint's count of merged tasks of the step under way; else 0.
    package let tasks: Int

    package init(kind: Kind, step: Int, tasks: Int = 0) {
        self.kind = kind
        self.step = step
        self.tasks = tasks
    }

    /// `step 3`, or in the middle of the one after it `task 1 of step 4`; before the first one there
    /// is what is made of a picture.
    package static func place(step: Int, tasks: Int) -> String {
        if step == 0, tasks == 0 { return "the encoding of the picture" }
        return tasks > 0 ? "task \(tasks) of step \(step + 1)" : "step \(step)"
    }

    package var description: String {
        switch kind {
        case .manifest: "the manifest"
        case .epoch: "epoch \(step)"
        case .checkpoint: "the checkpoint after \(Self.place(step: step, tasks: tasks))"
        case .journal: "decoded tile \(step)"
        }
    }
}

/// Called on the writing thread before each write into a state folder. What it throws is taken
/// for the disk's refusal; what it waits for is taken for the disk's slowness.
package typealias StateWriteHook = @Sendable (StateWrite) throws -> Void

/// What a person should know about a state folder while a run uses it.
package enum StateEvent: Equatable, Sendable {
    /// The latents after so many steps, and so many tasks of the next one, are on disk.
    case saved(step: Int, tasks: Int, byteCount: Int, took: Duration)
    /// A write failed. The run goes on, and what was on disk before is intact.
    case failed(StateWrite, reason: String)
    /// Nothing can be kept in the folder any more, unless it comes back. The run goes on.
    case lost(StateLoss)
    /// Writing works again, after so many writes that failed.
    case recovered(StateWrite, failures: Int)
    /// A file was not believed, and what is done instead.
    case passedOver(file: String, reason: String, instead: String)
    /// The folder was begun by another version of the program.
    case otherVersion(held: String)
    /// The folder was begun with another autoencoder, and some of that is in the latents.
    case otherAutoencoder(isMixed: Bool)

    package var description: String {
        switch self {
        case .saved(let step, let tasks, _, _):
            "\(StateWrite(kind: .checkpoint, step: step, tasks: tasks)) is on disk"
        case .failed(let write, let reason):
            "\(write) could not be written (\(reason)); what was kept before is intact and the "
                + "run goes on"
        case .lost(let loss): "\(loss): nothing more is kept there, and the run goes on"
        case .recovered(let write, let failures):
            "state is kept again: \(write) was written, after \(failures) that could not be"
        case .passedOver(let file, let reason, let instead): "\(file) \(reason); \(instead)"
        case .otherVersion(let held):
            "this run was begun by tessera \(held) and goes on with \(tesseraVersion)"
        case .otherAutoencoder(let isMixed):
            "this run was begun with another autoencoder: its latents are taken, and all tiles are "
                + "decoded with the one that is there now"
                + (isMixed
                    ? "; the old one has had a part in the latents, so that no model alone makes "
                        + "this picture again" : "")
        }
    }

    /// Whether it is a warning; else it is news.
    package var isWarning: Bool {
        switch self {
        case .failed, .lost, .passedOver, .otherVersion, .otherAutoencoder: true
        case .saved, .recovered: false
        }
    }
}

/// Decides which of many failures in a row are said: the first, then one a minute, then the end.
struct TroubleGate {
    private var failures = 0
    private var said: ContinuousClock.Instant?

    static let period: Duration = .seconds(60)

    /// Whether to say this failure.
    mutating func failed(at now: ContinuousClock.Instant) -> Bool {
        failures += 1
        if let said, now - said < Self.period { return false }
        said = now
        return true
    }

    /// How many failures have ended; 0 when there were none.
    mutating func succeeded() -> Int {
        defer { self = TroubleGate() }
        return failures
    }
}
