internal import Foundation

/// A file that appears under its name only when it is complete: it grows beside it under a
/// temporary name, is brought to disk, then renamed. Abandoned before ``commit()``, it leaves
/// nothing and what was there before stays.
///
/// Where the name is a symbolic link, the file that it leads to is replaced or made. A file that is
/// replaced hands on its mode and its owner, and its group as far as this process may give it; other
/// names of it (hard links) keep what it was. Nothing but a regular file is ever replaced, nor
/// another user's that would change its owner.
///
/// Temporary files are locked (flock) while they are written. A killed process leaves its own
/// behind without a lock; the next file written under the same name removes it.
package struct AtomicFile: ~Copyable {
    package let path: String
    private let way: Way
    private var isOver = false

    private enum Way {
        case file(Draft)
        case stream(OpenStream)
    }

    /// What grows under a temporary name.
    private struct Draft {
        let target: FileTarget
        let name: String
        let descriptor: Int32
        let access: FileAccess
        let replaces: Bool
    }

    /// Opens the temporary file, which tells whether `path` can be written. Throws
    /// ``FileFailure`` when `path` names nothing or anything but a file, a file that may not be
    /// written or, unless `replacing`, any file (`EEXIST`), or the system refuses.
    package init(
        path: String, access: FileAccess = .everyone, replacing: Bool = true
    ) throws(FileFailure) {
        let target = try FileTarget(path)
        try target.checkFolder()
        let existing = try target.existing()
        if let existing {
            guard replacing else { throw FileFailure(path: path, code: EEXIST) }
            guard access != .secret || existing.st_uid == geteuid() else {
                throw FileFailure(
                    path: path, code: EPERM,
                    reason: "it belongs to another user, who is not to read what would be in it")
            }
            try target.checkReplaceable(existing)
        }
        Self.removeAbandoned(for: target)
        // One that replaces another is nobody's to see before it has that one's mode.
        let mode = existing == nil ? access.limit & 0o666 : 0o600
        let (name, descriptor) = try Self.openTemporary(for: target, mode: mode)
        if let existing, access.keepsOwner, !Self.canOwn(descriptor, as: existing) {
            unsafe unlinkat(target.folder, SystemPath.cString(name), 0)
            close(descriptor)
            throw FileFailure(
                path: path, code: EPERM,
                reason: "it belongs to another user and would be yours when replaced; remove it "
                    + "first if it is not wanted any more")
        }
        self.path = path
        way = .file(
            Draft(
                target: target, name: name, descriptor: descriptor, access: access,
                replaces: replacing))
    }

    /// The same at a place that may be a stream: then there is no temporary file, and bytes go out
    /// as they are written.
    package init(_ place: OutputPlace) throws(FileFailure) {
        switch place {
        case .file(let path): try self.init(path: path)
        case .stream(let stream): self.init(stream)
        }
    }

    private init(_ stream: OpenStream) {
        path = stream.path
        way = .stream(stream)
    }

    deinit {
        guard case .file(let draft) = way else { return }
        // Unlinked while the lock is held: nobody else then takes it for an abandoned one.
        if !isOver { unsafe unlinkat(draft.target.folder, SystemPath.cString(draft.name), 0) }
        close(draft.descriptor)
    }

    /// Removes the temporary file unless it was committed. To be called where the process may end
    /// before the last owner of this value is gone, as after work on another thread.
    package mutating func abandon() {
        guard !isOver, case .file(let draft) = way else { return }
        unsafe unlinkat(draft.target.folder, SystemPath.cString(draft.name), 0)
        // What it took of the disk is free now, not when the descriptor is closed.
        ftruncate(draft.descriptor, 0)
        isOver = true
    }

    /// Takes the room for `byteCount` bytes, so that a full disk shows before anything is
    /// written. File systems that cannot do this find out while writing.
    package func preallocate(_ byteCount: Int) throws(FileFailure) {
        guard byteCount > 0, case .file(let draft) = way else { return }
        var code = EINTR
        while code == EINTR { code = posix_fallocate(draft.descriptor, 0, byteCount) }
        guard code == 0 || code == EOPNOTSUPP || code == EINVAL || code == ENOSYS else {
            throw FileFailure(path: path, code: code)
        }
    }

    /// Appends all of `bytes`. A stream whose reader is slow is waited for.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) {
        switch way {
        case .stream(let stream): try unsafe stream.write(bytes)
        case .file(let draft):
            var rest = unsafe bytes
            while rest.count > 0 {
                let count = try unsafe writeOnce(rest, to: draft.descriptor, for: path)
                unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    package func write(_ bytes: [UInt8]) throws(FileFailure) {
        // A rethrowing closure would lose the error's type.
        let outcome = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(FileFailure) in try unsafe write(buffer) }
        }
        try outcome.get()
    }

    /// Brings the file to disk and makes it appear, in the place of what was there under its name.
    package mutating func commit() throws(FileFailure) {
        guard case .file(let draft) = way else { return }
        let target = draft.target
        if let existing = try target.existing() {
            draft.access.adopt(existing, by: draft.descriptor)
        }
        guard fsync(draft.descriptor) == 0 else { throw .ofLastCall(path: path) }
        // Once more, as late as can be: a pipe or a link may have come meanwhile.
        _ = try target.existing()
        try target.put(draft.name, replacing: draft.replaces)
        // One that was not to replace has both names until this value goes.
        isOver = draft.replaces
    }

    /// Writes a whole small file at once.
    package static func write(
        _ bytes: [UInt8], to path: String, access: FileAccess = .everyone, replacing: Bool = true
    ) throws(FileFailure) {
        var file = try AtomicFile(path: path, access: access, replacing: replacing)
        try file.preallocate(bytes.count)
        try file.write(bytes)
        try file.commit()
    }

    /// Checks, before anything is computed, that a file can be put at `path`; leaves nothing.
    package static func checkWritable(
        _ path: String, access: FileAccess = .everyone
    ) throws(FileFailure) {
        _ = try AtomicFile(path: path, access: access)
    }
}

// MARK: - Temporary files

extension AtomicFile {
    private static let suffix = ".partial"

    /// Bytes of a file's name that are kept in that of its temporary one: what is added to them is
    /// at most 31 bytes, and some encrypting file systems take 143 in all.
    private static let maximumStem = 100

    /// A name for what becomes `name`, another one at each call: hidden, of a length that every
    /// file system takes, and with the characters of `name`, of which some take not all.
    package static func temporaryName(for name: String) -> String {
        // Two processes that write the same file must not write into the same temporary one.
        ".\(stem(of: name)).\(getpid()).\(UInt32.random(in: 0 ... .max))\(suffix)"
    }

    /// `name`, or if it is long its beginning and a hash of it (FNV-1a).
    private static func stem(of name: String) -> String {
        let bytes = SystemPath.bytes(of: name)
        guard bytes.count > maximumStem else { return name }
        // By characters: some file systems take no half of one.
        var head = name.prefix(maximumStem)
        while SystemPath.bytes(of: String(head)).count > maximumStem - 17 { head.removeLast() }
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        return head + "~" + String(hash, radix: 16)
    }

    /// The name of the file that a temporary one is to become: `name` of
    /// `.name.<process>.<number>.partial`, as far as it is in there; nil for other files.
    package static func target(ofTemporary name: String) -> String? {
        let scalars = name.unicodeScalars
        guard scalars.first == ".", name.hasSuffix(suffix) else { return nil }
        let parts = scalars.dropFirst().dropLast(suffix.count).split(
            separator: ".", omittingEmptySubsequences: false
        ).map(String.init)
        guard parts.count >= 3, parts.suffix(2).allSatisfy({ UInt32($0) != nil }) else {
            return nil
        }
        return parts.dropLast(2).joined(separator: ".")
    }

    /// Whether an open file of this process can be given the owner of another. On some file systems
    /// all files have one owner, and it has it already.
    private static func canOwn(_ descriptor: Int32, as other: stat) -> Bool {
        var own = stat()
        return unsafe fstat(descriptor, &own) == 0 && own.st_uid == other.st_uid
            || fchown(descriptor, other.st_uid, .max) == 0
    }

    private static func openTemporary(
        for target: FileTarget, mode: mode_t
    ) throws(FileFailure) -> (name: String, descriptor: Int32) {
        while true {
            let name = temporaryName(for: target.name)
            let descriptor = unsafe openat(
                target.folder, SystemPath.cString(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                mode)
            if descriptor < 0, errno == EEXIST { continue }
            guard descriptor >= 0 else { throw target.folderFailure() }
            // Where locks are not to be had, nobody removes the file either.
            flock(descriptor, LOCK_EX | LOCK_NB)
            var status = stat()
            if unsafe fstat(descriptor, &status) == 0, status.st_nlink > 0 {
                return (name, descriptor)
            }
            // Another process took it for an abandoned one before the lock was held.
            close(descriptor)
        }
    }

    /// Removes what killed writers of `path` left beside it: temporary files that nobody holds.
    package static func removeAbandoned(for path: String) {
        if let target = try? FileTarget(path) { removeAbandoned(for: target) }
    }

    private static func removeAbandoned(for target: FileTarget) {
        let stem = Array(stem(of: target.name).utf8)
        for candidate in target.names
        where Self.target(ofTemporary: candidate).map({ Array($0.utf8) }) == stem {
            let flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
            let descriptor = unsafe openat(target.folder, SystemPath.cString(candidate), flags)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                unsafe unlinkat(target.folder, SystemPath.cString(candidate), 0)
            }
            close(descriptor)
        }
    }
}

/// Whom a file is for besides its owner.
package enum FileAccess: Sendable {
    /// Whoever the umask, or the file that is replaced, lets.
    case everyone
    /// The same, and it is no matter whose it was: a file of the program's own, with which any user
    /// who may write it goes on.
    case anyUser
    /// As ``everyone``, but nobody else may write it: it says who is trusted.
    case readers
    /// Nobody, whatever was there before.
    case secret

    /// Whether the owner of a file that is replaced stays its owner.
    fileprivate var keepsOwner: Bool { self == .everyone || self == .readers }

    /// The most that its mode may be.
    fileprivate var limit: mode_t {
        switch self {
        case .everyone, .anyUser: 0o777
        case .readers: 0o755
        case .secret: 0o600
        }
    }

    /// Gives the open file the mode, group and owner of another, as far as this process may.
    fileprivate func adopt(_ other: stat, by descriptor: Int32) {
        guard self != .secret else {
            // The owner is this user already.
            fchmod(descriptor, limit)
            return
        }
        var mode = other.st_mode & limit
        if fchown(descriptor, .max, other.st_gid) != 0 {
            // What only that group might do shall not become this user's group's.
            mode = mode & 0o707 | (mode & 0o007) << 3
        }
        fchmod(descriptor, mode)
        _ = fchown(descriptor, other.st_uid, .max)
    }
}

/// Writes what the system takes at once; the count is 0 when it takes nothing for now.
func writeOnce(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, for path: String
) throws(FileFailure) -> Int {
    let count = unsafe write(descriptor, bytes.baseAddress, bytes.count)
    if count >= 0 { return count }
    if errno == EINTR || errno == EAGAIN { return 0 }
    throw .ofLastCall(path: path)
}

/// The folder that holds `path`, and the name in it.
package func folderAndName(of path: String) -> (folder: String, name: String) {
    // A mark may follow the slash and would make one character with it.
    let scalars = path.unicodeScalars
    guard let slash = scalars.lastIndex(of: "/") else { return (".", path) }
    let folder = slash == scalars.startIndex ? "/" : String(scalars[..<slash])
    return (folder, String(scalars[scalars.index(after: slash)...]))
}
