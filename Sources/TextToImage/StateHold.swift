internal import DurableFiles
internal import Locking

/// Watches over what makes a state folder one that a run can go on from: that it is the folder
/// that this run has opened, and says whose state it holds.
final class StateHold: Sendable {
    private let session: StateSession
    private let manifest: StateManifest
    private let folder: HeldFolder
    private let isOver = Lock(false)

    init(session: StateSession, manifest: StateManifest, folder: HeldFolder) {
        self.session = session
        self.manifest = manifest
        self.folder = folder
    }

    /// What has become of the folder; nil while it is under its path.
    var displacement: StateLoss? {
        switch folder.place {
        case .same: nil
        case .empty: .gone(path: session.folder)
        case .taken: .replaced(path: session.folder)
        case .unknown(let reason): .unreachable(path: session.folder, reason: reason)
        }
    }

    /// Why nobody can go on from the folder; nil while somebody can, or need not.
    var loss: StateLoss? {
        if isOver.withLock({ $0 }) { return nil }
        return displacement ?? (hasManifest ? nil : .withoutManifest(path: session.folder))
    }

    /// The picture is there: from here on the folder needs no manifest.
    func end() { isOver.withLock { $0 = true } }

    /// Throws the folder's ``displacement``, before or after something is written under its path.
    func check() throws {
        if let displacement { throw displacement }
    }

    /// Writes the manifest again when somebody has removed or damaged it: without one nobody goes on
    /// with what is there. Throws what the disk does; where the folder is not this process's any
    /// more, nothing is done.
    func keepManifest() throws {
        guard displacement == nil, session.supersession == nil, !hasManifest else { return }
        try session.willWrite(StateWrite(kind: .manifest, step: 0))
        try manifest.write(in: session.folder)
    }

    private var hasManifest: Bool {
        let found = try? StateManifest.read(in: session.folder)
        return found?.run == manifest.run
    }
}
