import Foundation
import TestSupport
import Testing

/// A file system of a few kilobytes in memory, mounted while this value lives.
final class TinyDisk: Sendable {
    private let path: String
    private let kilobytes: Int

    /// Whether this user may mount at all.
    static let isPermitted: Bool = {
        guard let folder = try? TemporaryFolder() else { return false }
        return (try? TinyDisk(at: folder.file("probe"), kilobytes: 4)) != nil
    }()

    /// Creates the folder and mounts there.
    init(at path: String, kilobytes: Int) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(kilobytes)k") == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EPERM)
        }
        self.path = path
        self.kilobytes = kilobytes
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }

    func setReadOnly(_ isReadOnly: Bool) throws {
        let flags = MS_REMOUNT | (isReadOnly ? MS_RDONLY : 0)
        guard mount("tmpfs", path, "tmpfs", UInt(flags), "size=\(kilobytes)k") == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EPERM)
        }
    }
}

/// Tells of files that are created in a folder (inotify), at once.
final class FolderWatch: Sendable {
    private let descriptor: Int32
    private let wakeup: (read: Int32, write: Int32)

    init(_ folder: String) throws {
        descriptor = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
        try #require(inotify_add_watch(descriptor, folder, UInt32(IN_CREATE)) >= 0)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        wakeup = (ends[0], ends[1])
    }

    deinit {
        for end in [descriptor, wakeup.read, wakeup.write] { close(end) }
    }

    /// Calls `action` on the watching thread as soon as such a file is there. False when the
    /// watch was stopped before.
    func waitForFile(
        named isIt: @escaping @Sendable (String) -> Bool,
        then action: @escaping @Sendable () -> Void
    ) async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: self.watch(isIt, action))
            }
        }
    }

    /// Ends the wait.
    func stop() { _ = write(wakeup.write, [1] as [UInt8], 1) }

    private func watch(_ isIt: (String) -> Bool, _ action: () -> Void) -> Bool {
        while true {
            var ends = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeup.read, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&ends, 2, -1) > 0 || errno == EINTR else { return false }
            if newNames().contains(where: isIt) {
                action()
                return true
            }
            if ends[1].revents != 0 { return false }
        }
    }

    /// `struct inotify_event`: watch, mask, cookie and length of 4 bytes each, then the name.
    private func newNames() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &buffer, buffer.count)
        var (names, position): ([String], Int) = ([], 0)
        while position + 16 <= count {
            let length = (0..<4).reduce(0) { $0 | Int(buffer[position + 12 + $1]) << (8 * $1) }
            let name = buffer[(position + 16)..<(position + 16 + length)].prefix { $0 != 0 }
            names.append(String(decoding: name, as: UTF8.self))
            position += 16 + length
        }
        return names
    }
}
