internal import Dispatch
internal import Foundation
internal import Synchronization

/// Where a result goes, judged before anything is computed.
///
/// | the path is, or leads to | what becomes of it |
/// |---|---|
/// | nothing, or a regular file | made or replaced when the result is whole: ``AtomicFile`` |
/// | `-`, /dev/stdout, /dev/fd/N: a descriptor of this process | written to from where it is |
/// | a pipe that somebody reads, a character device | written to |
/// | a terminal, a folder, a block device, a socket, a pipe without a reader | refused |
package enum OutputPlace: Sendable {
    /// Opened only when there is something to write: hours may pass until then, in which a folder
    /// may be moved or made anew.
    case file(String)
    /// Open from the start to the end: a reader would take anything else for the end.
    case stream(OpenStream)

    /// Throws ``FileFailure``: whatever would keep a result from being put there, with the code
    /// `ENXIO` when nobody reads the pipe yet. Leaves nothing behind.
    package init(_ path: String) throws(FileFailure) {
        if path == "-" {
            self = .stream(try OpenStream(descriptor: STDOUT_FILENO, path: "standard output"))
            return
        }
        let end = try LinkEnd(of: path)
        if let descriptor = end.descriptor {
            self = .stream(try OpenStream(descriptor: descriptor, path: path))
            return
        }
        var status = stat()
        let kind =
            unsafe stat(SystemPath.cString(end.path), &status) == 0 ? FileKind(status) : .unknown
        if kind == .pipe || kind == .characterDevice {
            self = .stream(try OpenStream(opening: end.path, kind, path: path))
        } else {
            try AtomicFile.checkWritable(path)
            self = .file(path)
        }
    }

    /// The folder whose disk a result takes room on; nil when it takes none.
    package var folder: String? {
        guard case .file(let path) = self else { return nil }
        return (try? FileTarget(path))?.folderPath ?? folderAndName(of: path).folder
    }

    /// Whether it is this process's standard output, which is for nothing else then.
    package var isStandardOutput: Bool { standardDescriptor == STDOUT_FILENO }

    /// Whether it is this process's standard error, where progress goes.
    package var isStandardError: Bool { standardDescriptor == STDERR_FILENO }

    private var standardDescriptor: Int32? {
        guard case .stream(let stream) = self else { return nil }
        return stream.givenDescriptor
    }

    /// Runs `body`, which writes here, on a thread that nothing else waits for: a disk or a reader
    /// may be slow. A cancelled task gives a reader up.
    package func writing<Success: Sendable, Failure>(
        _ body: @escaping @Sendable () throws(Failure) -> Success
    ) async throws(Failure) -> Success {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                DispatchQueue.global().async {
                    continuation.resume(
                        returning: Result { () throws(Failure) in try body() })
                }
            }
        } onCancel: {
            if case .stream(let stream) = self { stream.giveUp() }
        }
        return try outcome.get()
    }
}

/// A pipe, a character device, or whatever a descriptor of this process is open for.
package final class OpenStream: Sendable {
    /// As it was given, for people.
    package let path: String
    /// The descriptor of this process that it was made from; nil of what was opened by its path.
    let givenDescriptor: Int32?
    private let descriptor: Int32
    private let isGivenUp = Atomic(false)

    private var isDevice: Bool {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 && FileKind(status) == .characterDevice
    }

    /// What a pipe that has any room takes without blocking (`PIPE_BUF` of pipe(7)).
    private static let piece = 4096
    /// Between two looks whether it is given up, in milliseconds.
    private static let patience: Int32 = 100

    /// Opens what is at `place`. A pipe without a reader is an error at once instead of a wait.
    fileprivate init(opening place: String, _ kind: FileKind, path: String) throws(FileFailure) {
        self.path = path
        givenDescriptor = nil
        descriptor = unsafe open(
            SystemPath.cString(place), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let failure = FileFailure.ofLastCall(path: path)
            guard failure.code == ENXIO, kind == .pipe else { throw failure }
            throw FileFailure(
                path: path, code: ENXIO, reason: "nobody reads that pipe; start its reader first")
        }
        try check()
    }

    /// Takes a descriptor of this process, which stays open.
    fileprivate init(descriptor: Int32, path: String) throws(FileFailure) {
        self.path = path
        givenDescriptor = descriptor
        self.descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard self.descriptor >= 0 else {
            throw FileFailure(path: path, code: EBADF, reason: "it is closed")
        }
        guard fcntl(descriptor, F_GETFL) & O_ACCMODE != O_RDONLY else {
            throw FileFailure(
                path: path, code: EBADF, reason: "it is closed, or open for reading only")
        }
        try check()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Refuses what no file can be written to.
    private func check() throws(FileFailure) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .ofLastCall(path: path) }
        let kind = FileKind(status)
        // One that was closed may be something of this program's own by now.
        guard ![.blockDevice, .folder, .unknown].contains(kind) else {
            throw FileFailure(path: path, code: EINVAL, reason: "it is \(kind.rawValue)")
        }
        guard isatty(descriptor) == 0 else {
            throw FileFailure(
                path: path, code: EINVAL,
                reason: "it is a terminal, and this is no text; send it to a file or a program")
        }
    }

    /// Lets a write that waits for a reader, and all later ones, fail.
    func giveUp() { isGivenUp.store(true, ordering: .relaxed) }

    /// Writes all of `bytes`, however long the reader takes.
    func write(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) {
        var rest = unsafe bytes
        while rest.count > 0 {
            guard !isGivenUp.load(ordering: .relaxed) else {
                throw FileFailure(path: path, code: ECANCELED)
            }
            var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let isReady = unsafe poll(&room, 1, Self.patience) != 0
            // Some devices, such as /dev/random, take all there is and never say that they would.
            guard isReady || isDevice else { continue }
            let piece = unsafe UnsafeRawBufferPointer(rebasing: rest.prefix(Self.piece))
            let count = try unsafe writePiece(piece)
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    private func writePiece(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) -> Int {
        do { return try unsafe writeOnce(bytes, to: descriptor, for: path) } catch {
            guard error.code == EPIPE else { throw error }
            throw FileFailure(path: path, code: EPIPE, reason: "its reader went away")
        }
    }
}
