internal import DurableFiles
internal import Locking

/// This process's stay in a state folder: what everything that writes there has to know.
final class StateSession: Sendable {
    let folder: String
    /// The manifest's run: what is written belongs to it.
    let run: String
    let announce: @Sendable (StateEvent) -> Void
    private let beforeWrite: StateWriteHook?
    private let life = Lock<StateLife?>(nil)

    init(
        folder: String,
        run: String,
        beforeWrite: StateWriteHook?,
        announce: @escaping @Sendable (StateEvent) -> Void
    ) {
        self.folder = folder
        self.run = run
        self.beforeWrite = beforeWrite
        self.announce = announce
    }

    /// Runs the hook; throws what it throws.
    func willWrite(_ write: StateWrite) throws { try beforeWrite?(write) }

    /// Raises the folder's epoch on disk. Throws ``CheckpointError``.
    func beginLife() throws(CheckpointError) -> StateLife {
        let life: StateLife
        switch try LifeRecord.read(in: folder) {
        case .life(let last): life = last.next
        case .missing: life = .first()
        case .damaged:
            // The last epoch is not known, so the line of lives starts anew under a new name.
            life = .first()
            announce(
                .passedOver(
                    file: folder + "/" + LifeRecord.name, reason: "is damaged",
                    instead: "this coordinator begins a new realm"))
        }
        do {
            try willWrite(StateWrite(kind: .epoch, step: Int(clamping: life.epoch)))
            try AtomicFile.write(
                LifeRecord(life).text, to: folder + "/" + LifeRecord.name, access: .anyUser)
        } catch {
            throw .unusable(path: folder, reason: reasonText(error))
        }
        self.life.withLock { $0 = life }
        return life
    }

    /// What to throw when another process has begun a life in this folder since this one did, as
    /// happens when a lock is lost with the machine that holds it. A record that cannot be read
    /// proves nothing.
    var supersession: CheckpointError? {
        guard let life = life.withLock({ $0 }),
            case .life(let newest)? = try? LifeRecord.read(in: folder), newest != life
        else { return nil }
        return .superseded(path: folder, epoch: life.epoch, by: newest.epoch)
    }
}

/// Why a write failed, for a sentence that names the file already.
func reasonText(_ error: any Error) -> String {
    (error as? FileFailure)?.reason ?? "\(error)"
}
