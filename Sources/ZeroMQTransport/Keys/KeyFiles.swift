package import DurableFiles
internal import Foundation

/// Why a file or folder of keys cannot be used, with what to do about it.
package enum KeyFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Others may read a secret.
    case exposed(path: String, mode: UInt32)
    /// Others may change who is authorised.
    case writableByOthers(path: String)
    /// It is there already and shall not be replaced.
    case exists(path: String)
    /// It holds something else.
    case notAKey(path: String, expected: String)
    case unreadable(path: String, reason: String)
    case unwritable(path: String, reason: String)

    package var description: String {
        switch self {
        case .exposed(let path, let mode):
            "\(path) holds a secret and its mode \(String(mode, radix: 8)) lets others read it; "
                + "run: chmod 600 \(path)"
        case .writableByOthers(let path):
            "others may write to \(path) and so authorise themselves; run: chmod go-w \(path)"
        case .exists(let path):
            "\(path) exists and is not overwritten; move it away or choose another name"
        case .notAKey(let path, let expected): "\(path) holds no \(expected)"
        case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .unwritable(let path, let reason): "\(path) cannot be written: \(reason)"
        }
    }
}

/// Small files with secrets in them, on the way from and to the disk.
package enum KeyFiles {
    /// More is no file of ours.
    private static let maximumBytes = 64 << 10

    /// The text of a small file. A `secret` one must be its owner's alone.
    ///
    /// Throws ``KeyFileError``.
    package static func read(_ path: String, secret: Bool) throws(KeyFileError) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: lastReason()) }
        defer { close(descriptor) }
        // The open file's own mode: nobody can exchange it between the look and the reading.
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .unreadable(path: path, reason: lastReason())
        }
        let isRegular = status.st_mode & S_IFMT == S_IFREG
        guard isRegular || status.st_mode & S_IFMT == S_IFIFO else {
            throw .unreadable(path: path, reason: "it is no file")
        }
        if secret, isRegular, status.st_mode & 0o077 != 0 {
            throw .exposed(path: path, mode: status.st_mode & 0o777)
        }
        // A pipe, such as a shell's <(…), is waited for.
        _ = fcntl(descriptor, F_SETFL, 0)
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
        let bytes: Data
        do {
            bytes = try file.read(upToCount: maximumBytes + 1) ?? Data()
        } catch {
            throw .unreadable(path: path, reason: error.localizedDescription)
        }
        guard bytes.count <= maximumBytes, let text = String(validating: bytes, as: UTF8.self)
        else { throw .notAKey(path: path, expected: "text of a key") }
        return text
    }

    /// Writes a whole file or none, as ``AtomicFile`` does. Unless `replacing`, a file that is
    /// there stays.
    ///
    /// Throws ``KeyFileError``.
    package static func write(
        _ text: String, to path: String, access: FileAccess, replacing: Bool = false
    ) throws(KeyFileError) {
        do {
            try AtomicFile.write(Array(text.utf8), to: path, access: access, replacing: replacing)
        } catch {
            if error.code == EEXIST { throw .exists(path: path) }
            throw .unwritable(path: path, reason: error.reason)
        }
    }

    /// Makes a folder for its owner alone, if it is not there.
    package static func makeFolder(_ path: String) throws(KeyFileError) {
        guard unsafe mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw .unwritable(path: path, reason: lastReason())
    }

    package static func remove(_ path: String) throws(KeyFileError) {
        guard unsafe unlink(path) == 0 else {
            throw .unwritable(path: path, reason: lastReason())
        }
    }

    /// The one door of errno here: to be asked in the expression after the call.
    private static func lastReason() -> String { unsafe String(cString: strerror(errno)) }

    /// A server's or worker's own key. Throws ``KeyFileError``.
    package static func keyPair(at path: String) throws(KeyFileError) -> CurveKeyPair {
        guard let pair = CurveKeyPair(fileText: try read(path, secret: true)) else {
            throw .notAKey(path: path, expected: "secret key; tessera keygen writes one")
        }
        return pair
    }

    /// Somebody's public key, from any key file. Throws ``KeyFileError``.
    package static func publicKey(at path: String) throws(KeyFileError) -> CurvePublicKey {
        let text = try read(path, secret: false)
        if text.contains("secret") { return try keyPair(at: path).publicKey }
        guard let key = CurvePublicKey(fileText: text) else {
            throw .notAKey(path: path, expected: "public key; tessera keygen writes one")
        }
        return key
    }
}
