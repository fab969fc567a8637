package import Denoising
internal import DurableFiles
internal import Foundation
internal import Locking
package import Tensors

/// A folder that lets a killed run go on. One process at a time holds it.
///
/// | file | what |
/// |---|---|
/// | `manifest.json` | format and job: whose state this is |
/// | `life.json` | realm and epoch of the newest coordinator |
/// | `step-<n>.safetensors` | the canvas after n steps; the last two files are kept |
/// | `step-0.safetensors` | the canvas that is made of the picture that the run starts from |
/// | `step-<n>-<t>.safetensors` | the same, and t tasks of the step under way |
/// | `tiles.journal` | tiles that are decoded |
/// | `lock` | held while a process works here, with its pid and boot id for people |
///
/// Files appear whole or not at all, except the journal, whose torn end is recognised and cut
/// off. Nothing in a folder is changed before it is clear that it may be.
package final class CheckpointFolder: Sendable {
    package let path: String
    /// Whether it was opened to go on.
    package let isResuming: Bool
    private let lock: StateLock
    private let session: StateSession
    private let hold: StateHold
    private let recorder: CheckpointRecorder
    private let writer: CheckpointWriter
    private let cadence: Lock<CheckpointCadence>

    /// How often a step under way is kept unless somebody says otherwise.
    package static let usualInterval: Duration = .seconds(60)

    private static let journalName = "tiles.journal"
    /// What the manifest is renamed to when the picture is there: the rest can go.
    private static let finishedName = "finished.json"

    /// Opens the folder for a picture, creating it when it is not there, and removes what killed
    /// writers left behind.
    ///
    /// `latentWeights` are the fingerprint of the weights that decide the latents: with equal ones
    /// a run goes on under another autoencoder. From `autoencoderPhase` on, what is kept has something
    /// of the old one. A step under way is kept every `keepingEvery` or
    /// more rarely (``keep(_:)``).
    /// `beforeWrite` is called on the writing thread before each write, for injected faults;
    /// `onEvent` from any thread. Throws ``CheckpointError``: another process works in the
    /// folder, it holds another picture's state or a damaged or newer one, or it holds this
    /// picture's and `resume` is false.
    package init(
        path: String,
        job: Provenance,
        latentWeights: Fingerprint? = nil,
        autoencoderPhase: Int? = nil,
        resume: Bool,
        keepingEvery interval: Duration = CheckpointFolder.usualInterval,
        beforeWrite: StateWriteHook? = nil,
        onEvent: @escaping @Sendable (StateEvent) -> Void = { _ in }
    ) throws(CheckpointError) {
        let path = Self.withoutTrailingSlash(path)
        do { try makeFolder(path) } catch {
            throw .unusable(path: path, reason: error.reason)
        }
        let lock = try StateLock(folder: path)
        let held: HeldFolder
        do { held = try HeldFolder(path) } catch {
            throw .unusable(path: path, reason: error.reason)
        }
        let (manifest, isOther) = try Self.adopt(
            job, latentWeights: latentWeights, in: path, resume: resume, beforeWrite: beforeWrite)
        if isOther {
            let newest = Self.checkpoints(in: path).last?.phase
            let isMixed = newest.map { $0 >= autoencoderPhase ?? .max } ?? false
            onEvent(.otherAutoencoder(isMixed: isMixed))
        }
        if manifest.job.version != job.version {
            onEvent(.otherVersion(held: manifest.job.version))
        }
        let session = StateSession(
            folder: path, run: manifest.run, beforeWrite: beforeWrite, announce: onEvent)
        let hold = StateHold(session: session, manifest: manifest, folder: held)
        let recorder = CheckpointRecorder(session: session, hold: hold)
        self.path = path
        isResuming = resume
        self.lock = lock
        self.session = session
        self.hold = hold
        self.recorder = recorder
        let clock = ContinuousClock()
        let cadence = Lock(CheckpointCadence(interval: interval, from: clock.now))
        self.cadence = cadence
        writer = CheckpointWriter { state in
            let start = clock.now
            let outcome = recorder.record(state)
            cadence.withLock { $0.wrote(in: clock.now - start) }
            return outcome
        }
    }

    /// The request whose state a folder holds; nil without any. The folder is not held and may be
    /// another's. Throws ``CheckpointError`` when it cannot be read.
    package static func request(
        keptIn path: String
    ) throws(CheckpointError) -> GenerationRequest? {
        try StateManifest.read(in: withoutTrailingSlash(path))?.job.request
    }

    /// Raises the epoch, durably: to be called once, before anything of this process can be
    /// heard by workers. Throws ``CheckpointError``; then nothing was changed.
    package func beginLife() throws(CheckpointError) -> StateLife { try session.beginLife() }

    /// The newest state that is whole; nil when no step was finished yet, or none of those is.
    /// Damaged ones are passed over, and said.
    package func latest() -> DenoisingState? {
        for file in Self.checkpoints(in: path).reversed() {
            do {
                let state = try file.read(of: session.run, in: path)
                recorder.adopt(file)
                return state
            } catch {
                session.announce(
                    .passedOver(
                        file: path + "/" + file.name, reason: error.reason,
                        instead: "an older checkpoint is taken, or the run begins anew"))
            }
        }
        return nil
    }

    /// Keeps the state after a step, and drops those that are too old. Returns at once; a disk
    /// that is slow delays nobody, one that is full is said (``StateEvent``) and tried again with
    /// the next step, and so is a folder that is not under its path any more. Throws
    /// ``CheckpointError/superseded(path:epoch:by:)``, after which the run has to end.
    package func save(_ state: DenoisingState) throws(CheckpointError) {
        cadence.withLock { $0.restart(at: ContinuousClock().now) }
        try writer.submit(state)
    }

    /// Keeps a state in the middle of a step like one after a step, when the last that was kept is
    /// old enough. Throws as ``save(_:)`` does.
    package func keep(_ state: DenoisingState) throws(CheckpointError) {
        guard cadence.withLock({ $0.isDue(at: ContinuousClock().now) }) else { return }
        try save(state)
    }

    /// Waits until what was saved is on disk. A state that could not be written is tried once
    /// more, for room may have come free; so is a manifest that somebody has removed.
    package func settle() async {
        await writer.settle()
        // Where it cannot be written, ``loss`` says so to whoever relies on it.
        try? hold.keepManifest()
    }

    /// Why a run cannot go on from what is under the folder's path; nil while one can, and once the
    /// picture is there. Looks at the disk, and waits for one that hangs.
    package var loss: StateLoss? { hold.loss }

    /// Why a run would not go on from the checkpoint after this step, which is of this phase; nil
    /// when it is on disk and one would.
    package func loss(ofStep step: Int, phase: Int = 0) -> StateLoss? {
        if let loss { return loss }
        let file = CheckpointFile(step: step, phase: phase)
        let isThere = recorder.holds(file) && Self.exists(path + "/" + file.name)
        return isThere ? nil : .notTaken(path: path)
    }

    /// The decoded tiles of a finished latent: what an earlier process has left of the same
    /// latent, or none. Nil, and said, when the disk does not take a journal or the folder is not
    /// under its path any more.
    package func journal(for latent: Latent, grid: TileGrid) -> TileJournal? {
        if let displacement = hold.displacement {
            session.announce(.lost(displacement))
            return nil
        }
        let binding = TileJournal.Binding(
            run: session.run, latent: CRC32C.of(latent.values),
            tiles: grid.count)
        return TileJournal(
            path: path + "/" + Self.journalName, binding: binding, syncEvery: grid.columns,
            session: session)
    }

    /// The picture is there: nothing has to be kept but the folder's line of lives.
    package func finish() async {
        await writer.settle(wanted: false)
        hold.end()
        // Of a folder that came in its place nothing is this run's to remove.
        guard hold.displacement == nil, session.supersession == nil else { return }
        // From here on a kill leaves a folder that says that its picture is there.
        unsafe rename(path + "/" + StateManifest.name, path + "/" + Self.finishedName)
        syncFolder(of: path + "/" + Self.finishedName)
        Self.removeFinished(in: path)
    }

    // MARK: - Files

    private static func withoutTrailingSlash(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    private static func checkpoints(in folder: String) -> [CheckpointFile] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap(CheckpointFile.init(name:)).sorted()
    }

    /// Removes what a finished run leaves, its mark last.
    private static func removeFinished(in folder: String) {
        let names = checkpoints(in: folder).map(\.name) + [journalName, finishedName]
        for name in names { unsafe unlink(folder + "/" + name) }
    }

    /// The folder's manifest, and whether it was of another autoencoder.
    private static func adopt(
        _ job: Provenance, latentWeights: Fingerprint?, in folder: String, resume: Bool,
        beforeWrite: StateWriteHook?
    ) throws(CheckpointError) -> (StateManifest, isOther: Bool) {
        let begun = hasState(folder)
        guard let held = try StateManifest.read(in: folder) else {
            guard !begun || exists(folder + "/" + finishedName) else {
                throw .damaged(
                    file: folder + "/" + StateManifest.name,
                    reason: "it is missing although there are checkpoints")
            }
            removeFinished(in: folder)
            removeAbandoned(in: folder)
            let manifest = StateManifest(job: job, latentWeights: latentWeights)
            try write(manifest, in: folder, beforeWrite: beforeWrite)
            return (manifest, false)
        }
        let differences = held.differences(to: job)
        let isOther = held.differsInAutoencoder(from: job, latentWeights: latentWeights)
        guard differences.isEmpty || isOther else {
            throw .otherPicture(path: folder, differences: differences)
        }
        guard resume || !begun else { throw .started(path: folder) }
        removeAbandoned(in: folder)
        guard isOther else { return (held, false) }
        // Before the manifest says otherwise: its tiles are the old autoencoder's.
        unsafe unlink(folder + "/" + journalName)
        let manifest = StateManifest(job: job, latentWeights: latentWeights, run: held.run)
        try write(manifest, in: folder, beforeWrite: beforeWrite)
        return (manifest, true)
    }

    private static func hasState(_ folder: String) -> Bool {
        !checkpoints(in: folder).isEmpty || exists(folder + "/" + journalName)
    }

    private static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    private static func write(
        _ manifest: StateManifest, in folder: String, beforeWrite: StateWriteHook?
    ) throws(CheckpointError) {
        do {
            try beforeWrite?(StateWrite(kind: .manifest, step: 0))
            try manifest.write(in: folder)
        } catch {
            throw .unusable(path: folder, reason: reasonText(error))
        }
    }

    /// Temporary files of killed writers, of whatever step.
    private static func removeAbandoned(in folder: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let targets = names.compactMap(AtomicFile.target(ofTemporary:)).filter {
            $0 == StateManifest.name || $0 == LifeRecord.name
                || CheckpointFile(name: $0) != nil
        }
        for target in Set(targets) { AtomicFile.removeAbandoned(for: folder + "/" + target) }
    }
}
