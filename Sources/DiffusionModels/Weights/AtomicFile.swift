internal import Glibc

/// A file that appears under its name only when it is complete: it is written beside it under a
/// temporary name, flushed to the disk, then renamed. Abandoned before ``commit()``, it leaves
/// nothing.
struct AtomicFile: ~Copyable {
    let path: String
    private let temporaryPath: String
    private let descriptor: Int32
    private var isCommitted = false

    /// Throws ``WeightsError/unwritable(path:reason:)``.
    init(path: String) throws(WeightsError) {
        self.path = path
        // Two processes that write the same file must not write into the same temporary one.
        temporaryPath = "\(path).\(getpid()).partial"
        descriptor = unsafe open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw .unwritable(path: path, reason: systemReason())
        }
    }

    deinit {
        close(descriptor)
        if !isCommitted { unsafe unlink(temporaryPath) }
    }

    /// Appends all of `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer) throws(WeightsError) {
        var rest = unsafe bytes
        while let address = rest.baseAddress, rest.count > 0 {
            let count = unsafe Glibc.write(descriptor, address, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .unwritable(path: path, reason: systemReason())
            }
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    func write(_ bytes: [UInt8]) throws(WeightsError) {
        // A rethrowing closure would lose the error's type.
        let outcome = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(WeightsError) in try unsafe write(buffer) }
        }
        try outcome.get()
    }

    /// Makes the file appear; what was there under its name before is replaced.
    mutating func commit() throws(WeightsError) {
        guard fsync(descriptor) == 0, unsafe rename(temporaryPath, path) == 0 else {
            throw .unwritable(path: path, reason: systemReason())
        }
        isCommitted = true
        syncFolder(of: path)
    }

    /// Writes a whole small file at once.
    static func write(_ bytes: [UInt8], to path: String) throws(WeightsError) {
        var file = try AtomicFile(path: path)
        try file.write(bytes)
        try file.commit()
    }
}

/// Makes a rename survive a power cut. File systems that cannot do this say so, and lose nothing
/// by it that could be helped.
func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
}
