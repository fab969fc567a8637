internal import DurableFiles
internal import Foundation

/// The lock of a state folder. The lock itself is flock(2), which ends with the process however
/// it ends; the file's text says to people who holds it.
final class StateLock: Sendable {
    static let name = "lock"

    private let descriptor: Int32

    /// Throws ``CheckpointError/locked(path:holder:)`` or ``CheckpointError/unusable(path:reason:)``.
    init(folder: String) throws(CheckpointError) {
        let path = folder + "/" + Self.name
        while true {
            let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw .unusable(path: folder, reason: "\(FileFailure.ofLastCall(path: path))")
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let failure = FileFailure.ofLastCall(path: path)
                close(descriptor)
                guard failure.code == EWOULDBLOCK else {
                    throw .unusable(path: folder, reason: "\(failure)")
                }
                throw .locked(path: folder, holder: Self.holder(path))
            }
            if Self.isStill(descriptor, at: path) {
                self.descriptor = descriptor
                break
            }
            // Somebody replaced the file meanwhile: the lock is on a file that nobody sees.
            close(descriptor)
        }
        sign()
    }

    /// Unlocked by name: a child process that is being started at this moment has the descriptor,
    /// and with it the lock, until it begins its own program.
    deinit {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// A full disk does not matter here: the text is for people.
    private func sign() {
        let text = Array("pid \(getpid())\nboot \(Self.bootID)\n".utf8)
        guard ftruncate(descriptor, 0) == 0 else { return }
        _ = unsafe text.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    private static func isStill(_ descriptor: Int32, at path: String) -> Bool {
        var (held, seen) = (stat(), stat())
        return unsafe fstat(descriptor, &held) == 0 && stat(path, &seen) == 0
            && held.st_ino == seen.st_ino && held.st_dev == seen.st_dev
    }

    /// `process 12`, as the file says.
    private static func holder(_ path: String) -> String {
        let bytes = (try? readSmallFile(path)) ?? nil
        let lines = String(decoding: bytes ?? [], as: UTF8.self).split(separator: "\n")
        func field(_ name: String) -> Substring? {
            lines.first { $0.hasPrefix(name + " ") }?.dropFirst(name.count + 1)
        }
        guard let process = field("pid") else { return "of an unknown process" }
        return field("boot").map(String.init) == bootID
            ? "process \(process)" : "process \(process) of another machine"
    }

    /// Random per start of the machine: a pid means something only together with it.
    private static var bootID: String {
        let bytes = (try? readSmallFile("/proc/sys/kernel/random/boot_id")) ?? nil
        let text = String(decoding: bytes ?? [], as: UTF8.self)
        return text.split(separator: "\n").first.map(String.init) ?? "unknown"
    }
}
