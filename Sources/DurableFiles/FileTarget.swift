internal import Foundation

/// Where a file is to be put: an open folder and a name in it, symbolic links followed. What is
/// done there later is done in this very folder, whatever it is called by then, and the name alone
/// counts against the system's limits.
final class FileTarget: Sendable {
    /// As it was given, for people.
    let path: String
    /// The folder's path, for looking at its disk.
    let folderPath: String
    let name: String
    /// Of the folder, good for looking and changing and not for reading (`O_PATH`).
    let folder: Int32

    /// Throws ``FileFailure`` when `path` names nothing, leads to an open file instead of a name,
    /// or its folder cannot be used.
    init(_ path: String) throws(FileFailure) {
        guard !path.isEmpty, path.utf8.last != UInt8(ascii: "/") else {
            throw FileFailure(path: path, code: EINVAL, reason: "a file name is missing")
        }
        let end = try LinkEnd(of: path)
        guard !end.isOpenFile else {
            throw FileFailure(
                path: path, code: EINVAL,
                reason: "it stands for a file that is open; name the file itself")
        }
        self.path = path
        (folderPath, name) = folderAndName(of: end.path)
        folder = unsafe open(SystemPath.cString(folderPath), pathOnly | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw Self.noFolder(folderPath, for: path, end) }
    }

    deinit { if folder >= 0 { close(folder) } }

    private static func noFolder(
        _ folder: String, for path: String, _ end: LinkEnd
    ) -> FileFailure {
        let failure = FileFailure.ofLastCall(path: path)
        let link = end.path == path ? "" : "it is a link to \(end.path), and "
        return FileFailure(
            path: path, code: failure.code, reason: "\(link)the folder \(folder): \(failure.reason)"
        )
    }

    /// Why the system's last call made no file in the folder; says which folder when it is that one
    /// that does not let anybody.
    func folderFailure() -> FileFailure {
        let failure = FileFailure.ofLastCall(path: path)
        guard [EACCES, EROFS, EPERM, ENOENT].contains(failure.code) else { return failure }
        return FileFailure(
            path: path, code: failure.code, reason: "the folder \(folderPath): \(failure.reason)")
    }

    // MARK: - Looking

    /// The file that is there and would be replaced; nil when nothing is. Throws ``FileFailure``
    /// when it is anything but a regular file, or the file system does not take the name.
    func existing() throws(FileFailure) -> stat? {
        var status = stat()
        guard unsafe fstatat(folder, SystemPath.cString(name), &status, AT_SYMLINK_NOFOLLOW) == 0
        else {
            if errno == ENOENT { return nil }
            throw .ofLastCall(path: path)
        }
        let kind = FileKind(status)
        guard kind == .file else {
            throw FileFailure(
                path: path, code: kind == .folder ? EISDIR : EINVAL,
                reason: "it is \(kind.rawValue)\(kind == .folder ? "" : ", not a file")")
        }
        return status
    }

    /// Refuses a folder whose files cannot be renamed or removed: one that is append-only lets them
    /// be made, and they would stay.
    func checkFolder() throws(FileFailure) {
        guard let attribute = FileAttribute(of: ".", in: folder) else { return }
        throw FileFailure(
            path: path, code: EPERM,
            reason: "the folder \(folderPath) is \(attribute.rawValue), so that no file can be put "
                + "there")
    }

    /// Refuses a file that this process may not write, or that the system will not let be renamed
    /// over: what a rename alone would find out too late, or not at all.
    func checkReplaceable(_ status: stat) throws(FileFailure) {
        if let attribute = FileAttribute(of: name, in: folder) {
            throw FileFailure(
                path: path, code: EPERM,
                reason: "it is \(attribute.rawValue) and cannot be replaced")
        }
        guard unsafe faccessat(folder, SystemPath.cString(name), W_OK, AT_EACCESS) == 0 else {
            let failure = FileFailure.ofLastCall(path: path)
            guard failure.code == EACCES else { throw failure }
            throw FileFailure(path: path, code: EACCES, reason: "it is write-protected")
        }
        var own = stat()
        if geteuid() != 0, status.st_uid != geteuid(), unsafe fstat(folder, &own) == 0,
            own.st_mode & S_ISVTX != 0, own.st_uid != geteuid()
        {
            throw FileFailure(
                path: path, code: EPERM,
                reason: "it belongs to another user, and \(folderPath) lets only owners replace")
        }
        if isMountPoint(name, in: folder) {
            throw FileFailure(
                path: path, code: EBUSY,
                reason: "it is mounted there by itself and cannot be replaced")
        }
    }

    /// The names in the folder; none when they may not be read.
    var names: [String] {
        let readable = unsafe openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard readable >= 0 else { return [] }
        guard let listing = unsafe fdopendir(readable) else {
            close(readable)
            return []
        }
        defer { unsafe closedir(listing) }
        var names: [String] = []
        while let entry = unsafe readdir(listing) {
            names.append(
                unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                    unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) {
                        unsafe SystemPath.text(ofCString: $0)
                    }
                })
        }
        return names
    }

    // MARK: - Changing

    /// Gives the file `temporary` of this folder the name, in the place of what is there, or
    /// beside `temporary` and only if nothing is.
    func put(_ temporary: String, replacing: Bool) throws(FileFailure) {
        // A hard link fails where a rename would replace.
        let outcome =
            unsafe replacing
            ? renameat(
                folder, SystemPath.cString(temporary), folder, SystemPath.cString(name))
            : linkat(
                folder, SystemPath.cString(temporary), folder, SystemPath.cString(name), 0)
        guard outcome == 0 else { throw .ofLastCall(path: path) }
        let readable = unsafe openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard readable >= 0 else { return }
        // So that it survives a power cut; file systems that cannot do this lose nothing by it.
        fsync(readable)
        close(readable)
    }
}

/// What symbolic links lead to.
struct LinkEnd {
    /// No link, whether anything is there or not, unless ``isOpenFile``.
    let path: String
    /// It is a link of /proc, as /dev/stdout leads to: such ones stand for an open file, and their
    /// text is no path.
    let isOpenFile: Bool

    /// As many as the system follows (path_resolution(7)).
    private static let maximum = 40

    /// Follows links from `path`, relative ones from where they lie. Throws ``FileFailure`` when
    /// they lead in a circle, or one is not to be trusted.
    init(of path: String) throws(FileFailure) {
        var end = path
        for _ in 0..<Self.maximum {
            let link = unsafe open(SystemPath.cString(end), pathOnly | O_NOFOLLOW | O_CLOEXEC)
            defer { if link >= 0 { close(link) } }
            var status = stat()
            // What else is wrong with the place is said by whoever uses it.
            guard link >= 0, unsafe fstat(link, &status) == 0, FileKind(status) == .link else {
                (self.path, isOpenFile) = (end, false)
                return
            }
            if status.st_dev == Self.processFiles?.st_dev {
                (self.path, isOpenFile) = (end, true)
                return
            }
            let folder = folderAndName(of: end).folder
            guard Self.isTrusted(status, in: folder) else {
                throw FileFailure(
                    path: path, code: EACCES,
                    reason: "\(end) is another user's link in a folder where everybody may put one")
            }
            let text = try Self.text(of: link, for: path)
            end = text.utf8.first == UInt8(ascii: "/") ? text : folder + "/" + text
        }
        throw FileFailure(path: path, code: ELOOP, reason: "its links lead in a circle")
    }

    /// The descriptor of this process that an open file is; nil for another process's.
    var descriptor: Int32? {
        guard isOpenFile, let own = Self.processFiles else { return nil }
        let (folder, name) = folderAndName(of: path)
        var status = stat()
        guard unsafe stat(SystemPath.cString(folder), &status) == 0, status.st_ino == own.st_ino
        else { return nil }
        return Int32(name)
    }

    private static var processFiles: stat? {
        var status = stat()
        return unsafe stat("/proc/self/fd", &status) == 0 ? status : nil
    }

    /// As the system's `protected_symlinks` has it (proc_sys_fs(5)), which does not see links that
    /// a program reads by itself.
    private static func isTrusted(_ link: stat, in folder: String) -> Bool {
        var status = stat()
        guard link.st_uid != geteuid(), unsafe stat(SystemPath.cString(folder), &status) == 0 else {
            return true
        }
        let isOpenToAll = status.st_mode & S_ISVTX != 0 && status.st_mode & S_IWOTH != 0
        return !isOpenToAll || status.st_uid == link.st_uid
    }

    private static func text(of link: Int32, for path: String) throws(FileFailure) -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe buffer.withUnsafeMutableBytes { buffer in
            unsafe readlinkat(
                link, "", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard count > 0 else { throw .ofLastCall(path: path) }
        return SystemPath.text(of: buffer[..<count])
    }
}

/// What a name in a folder stands for, as a person calls it.
enum FileKind: String {
    case file = "a file"
    case folder = "a folder"
    case link = "a symbolic link"
    case pipe = "a pipe"
    case characterDevice = "a character device"
    case blockDevice = "a block device"
    case socket = "a socket"
    case unknown = "something unknown"

    init(_ status: stat) {
        self =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            case S_IFIFO: .pipe
            case S_IFCHR: .characterDevice
            case S_IFBLK: .blockDevice
            case S_IFSOCK: .socket
            default: .unknown
            }
    }
}

/// What chattr(1) sets and keeps even root from replacing a file.
private enum FileAttribute: String {
    case immutable = "immutable (chattr +i)"
    case appendOnly = "append-only (chattr +a)"

    /// `FS_IOC_GETFLAGS`, `FS_IMMUTABLE_FL` and `FS_APPEND_FL` of ioctl_iflags(2), which Swift's
    /// Glibc does not show.
    private static let (request, immutableFlag, appendFlag): (UInt, CInt, CInt) = (
        0x8008_6601, 0x10, 0x20
    )

    /// Nil without one, and where the file system does not say.
    init?(of name: String, in folder: Int32) {
        let descriptor = unsafe openat(
            folder, SystemPath.cString(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // The system writes an int, whatever the request's own size says.
        var flags: (CInt, CInt) = (0, 0)
        guard unsafe ioctl(descriptor, Self.request, &flags) == 0 else { return nil }
        if flags.0 & Self.immutableFlag != 0 {
            self = .immutable
        } else if flags.0 & Self.appendFlag != 0 {
            self = .appendOnly
        } else {
            return nil
        }
    }
}

/// `O_PATH` of open(2), which Swift's Glibc does not show: a place in the tree, without the right
/// to read it.
let pathOnly: Int32 = 0o10_000_000

/// What symbolic links from `path` lead to, whether anything is there or not; `path` itself when it
/// is none. Throws ``FileFailure`` when they lead in a circle.
package func followingLinks(_ path: String) throws(FileFailure) -> String {
    try LinkEnd(of: path).path
}

/// Whether something is mounted at `path` and keeps it from being renamed over.
package func isMountPoint(_ path: String) -> Bool {
    let (folder, name) = folderAndName(of: path)
    let descriptor = unsafe open(SystemPath.cString(folder), pathOnly | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return isMountPoint(name, in: descriptor)
}

private func isMountPoint(_ name: String, in folder: Int32) -> Bool {
    let inner = unsafe openat(folder, SystemPath.cString(name), pathOnly | O_NOFOLLOW | O_CLOEXEC)
    guard inner >= 0 else { return false }
    defer { close(inner) }
    return mountID(of: inner) != mountID(of: folder)
}

/// Which mount an open file lies on; nil when the system does not say.
private func mountID(of descriptor: Int32) -> String? {
    guard let bytes = try? readSmallFile("/proc/self/fdinfo/\(descriptor)", limit: 1 << 16) else {
        return nil
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        .first { $0.hasPrefix("mnt_id:") }
}
