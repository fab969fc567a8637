internal import Foundation

/// A file that appears under its name only when it is complete: it grows beside it under a
/// temporary name, is brought to disk, then renamed. Abandoned before ``commit()``, it leaves
/// nothing and what was there before stays.
///
/// Temporary files are locked (flock) while they are written. A killed process leaves its own
/// behind without a lock; the next file written under the same name removes it.
package struct AtomicFile: ~Copyable {
    package let path: String
    /// The temporary file, for libraries that write by themselves; closed with this value.
    package let descriptor: Int32
    private let temporaryPath: String
    private var isCommitted = false

    private static let suffix = ".partial"

    /// Opens the temporary file, which tells whether `path` can be written. Throws
    /// ``FileFailure`` when `path` names a folder or nothing, or the system refuses.
    package init(path: String) throws(FileFailure) {
        try Self.checkName(path)
        Self.removeAbandoned(for: path)
        let temporary = try Self.openTemporary(for: path)
        self.path = path
        temporaryPath = temporary.path
        descriptor = temporary.descriptor
    }

    deinit {
        // Unlinked while the lock is held: nobody else then takes it for an abandoned one.
        if !isCommitted { unsafe unlink(temporaryPath) }
        close(descriptor)
    }

    /// Takes the room for `byteCount` bytes, so that a full disk shows before anything is
    /// written. File systems that cannot do this find out while writing.
    package func preallocate(_ byteCount: Int) throws(FileFailure) {
        guard byteCount > 0 else { return }
        var code = EINTR
        while code == EINTR { code = posix_fallocate(descriptor, 0, byteCount) }
        guard code == 0 || code == EOPNOTSUPP || code == EINVAL || code == ENOSYS else {
            throw FileFailure(path: path, code: code)
        }
    }

    /// Appends all of `bytes`.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) {
        var rest = unsafe bytes
        while let address = rest.baseAddress, rest.count > 0 {
            let count = unsafe Foundation.write(descriptor, address, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .ofLastCall(path: path)
            }
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    package func write(_ bytes: [UInt8]) throws(FileFailure) {
        // A rethrowing closure would lose the error's type.
        let outcome = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(FileFailure) in try unsafe write(buffer) }
        }
        try outcome.get()
    }

    /// Brings the file to disk and makes it appear; what was there under its name is replaced.
    package mutating func commit() throws(FileFailure) {
        guard fsync(descriptor) == 0, unsafe rename(temporaryPath, path) == 0 else {
            throw .ofLastCall(path: path)
        }
        isCommitted = true
        syncFolder(of: path)
    }

    /// Writes a whole small file at once.
    package static func write(_ bytes: [UInt8], to path: String) throws(FileFailure) {
        var file = try AtomicFile(path: path)
        try file.preallocate(bytes.count)
        try file.write(bytes)
        try file.commit()
    }

    /// Checks, before anything is computed, that a file can be put at `path`; leaves nothing.
    package static func checkWritable(_ path: String) throws(FileFailure) {
        _ = try AtomicFile(path: path)
    }

    // MARK: - Temporary files

    private static func checkName(_ path: String) throws(FileFailure) {
        guard !path.isEmpty, !path.hasSuffix("/") else {
            throw FileFailure(path: path, code: EINVAL, reason: "a file name is missing")
        }
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw FileFailure(path: path, code: EISDIR, reason: "it is a folder")
        }
    }

    private static func openTemporary(
        for path: String
    ) throws(FileFailure) -> (path: String, descriptor: Int32) {
        while true {
            // Two processes that write the same file must not write into the same temporary one.
            let name = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max))\(suffix)"
            let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
            if descriptor < 0, errno == EEXIST { continue }
            guard descriptor >= 0 else { throw .ofLastCall(path: path) }
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
        let (folder, name) = folderAndName(of: path)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for candidate in names where target(ofTemporary: candidate) == name {
            let file = folder + "/" + candidate
            let descriptor = unsafe open(file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unsafe unlink(file) }
            close(descriptor)
        }
    }

    /// The name of the file that a temporary one is to become: `name` of
    /// `name.<process>.<number>.partial`; nil for other files.
    package static func target(ofTemporary name: String) -> String? {
        guard name.hasSuffix(suffix) else { return nil }
        let parts = name.dropLast(suffix.count).split(
            separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts.suffix(2).allSatisfy({ UInt32($0) != nil }) else {
            return nil
        }
        return parts.dropLast(2).joined(separator: ".")
    }
}

/// The folder that holds `path`, and the name in it.
package func folderAndName(of path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = slash == path.startIndex ? "/" : String(path[..<slash])
    return (folder, String(path[path.index(after: slash)...]))
}
