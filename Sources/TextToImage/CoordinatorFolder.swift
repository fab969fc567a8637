internal import DurableFiles
internal import Foundation

/// The state folder of a coordinator that stays up: a lock and a line of lives, as a picture's
/// ``CheckpointFolder`` has them, around whatever else is kept there.
package final class CoordinatorFolder: Sendable {
    /// Absolute.
    package let path: String
    private let lock: StateLock
    private let session: StateSession

    /// Creates the folder when it is not there, and holds it for this process. Throws
    /// ``CheckpointError``: another process holds it, or it belongs to a single picture.
    package init(path: String) throws(CheckpointError) {
        do { try makeFolder(path) } catch {
            throw .unusable(path: path, reason: error.reason)
        }
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        if FileManager.default.fileExists(atPath: absolute + "/" + StateManifest.name) {
            throw .unusable(
                path: path, reason: "it holds the run of a single picture; name another folder")
        }
        self.path = absolute
        lock = try Self.lock(absolute)
        session = StateSession(
            folder: absolute, run: "coordinator", beforeWrite: nil, announce: { _ in })
    }

    /// Who looks whether somebody is here holds the lock for a moment (``isHeld(_:)``): tries for a
    /// while.
    private static func lock(_ folder: String) throws(CheckpointError) -> StateLock {
        for _ in 0..<10 {
            if let lock = try? StateLock(folder: folder) { return lock }
            usleep(20_000)
        }
        return try StateLock(folder: folder)
    }

    /// Raises the epoch, durably: to be called once, before anything of this process can be
    /// heard by workers. Throws ``CheckpointError``; then nothing was changed.
    package func beginLife() throws(CheckpointError) -> StateLife { try session.beginLife() }

    /// Whether a process holds the folder at this moment.
    package static func isHeld(_ path: String) -> Bool {
        let descriptor = unsafe open(path + "/" + StateLock.name, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }
}
