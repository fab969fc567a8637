internal import Foundation

/// Makes a rename or a removal in the folder of `path` survive a power cut. File systems that
/// cannot do this say so, and lose nothing by it that could be helped.
package func syncFolder(of path: String) {
    let descriptor = unsafe open(
        SystemPath.cString(folderAndName(of: path).folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
}

/// Creates a folder and those above it; fine when it is there. Throws ``FileFailure``.
package func makeFolder(_ path: String) throws(FileFailure) {
    if unsafe mkdir(SystemPath.cString(path), 0o755) == 0 { return }
    let code = errno
    var status = stat()
    if unsafe stat(SystemPath.cString(path), &status) == 0 {
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw FileFailure(path: path, code: ENOTDIR, reason: "it is a file, not a folder")
        }
        return
    }
    let parent = folderAndName(of: path).folder
    guard code == ENOENT, !path.isEmpty, parent != path, parent != "." else {
        throw FileFailure(path: path, code: code)
    }
    try makeFolder(parent)
    guard unsafe mkdir(SystemPath.cString(path), 0o755) == 0 || errno == EEXIST else {
        throw .ofLastCall(path: path)
    }
}

/// The bytes of a small file; nil when it is not there. Throws ``FileFailure`` when the system
/// refuses, it is no regular file, or it has more than `limit` bytes.
package func readSmallFile(
    _ path: String, limit: Int = 1 << 20
) throws(FileFailure) -> [UInt8]? {
    // A pipe would be waited for until somebody writes to it.
    let descriptor = unsafe open(
        SystemPath.cString(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else {
        if errno == ENOENT { return nil }
        throw .ofLastCall(path: path)
    }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .ofLastCall(path: path) }
    let kind = FileKind(status)
    guard kind == .file else {
        throw FileFailure(
            path: path, code: kind == .folder ? EISDIR : EINVAL,
            reason: "it is \(kind.rawValue), not a file")
    }
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    var length = 0
    while length < bytes.count {
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe read(descriptor, buffer.baseAddress! + length, buffer.count - length)
        }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw .ofLastCall(path: path) }
        if count == 0 { break }
        length += count
    }
    guard length <= limit else {
        throw FileFailure(path: path, code: EFBIG, reason: "it has more than \(limit) bytes")
    }
    return Array(bytes[..<length])
}

/// What a file system has left.
package struct DiskSpace: Equatable, Sendable {
    /// Tells file systems apart.
    package let fileSystem: UInt64
    /// Bytes that this user may still write.
    package let free: UInt64

    package init(fileSystem: UInt64, free: UInt64) {
        self.fileSystem = fileSystem
        self.free = free
    }

    /// Of the file system that holds `folder`; nil when it does not say.
    package init?(of folder: String) {
        var space = statvfs()
        var status = stat()
        guard unsafe statvfs(SystemPath.cString(folder), &space) == 0,
            unsafe stat(SystemPath.cString(folder), &status) == 0
        else {
            return nil
        }
        // Some network file systems claim more than a number holds.
        let (free, overflows) = UInt64(space.f_bavail)
            .multipliedReportingOverflow(by: UInt64(space.f_frsize))
        self.init(fileSystem: UInt64(status.st_dev), free: overflows ? .max : free)
    }
}
