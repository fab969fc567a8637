internal import Foundation

/// The folder of authorised keys: one small text file per key.
package struct AuthorizedFolder: Sendable {
    package let path: String

    /// One file of it.
    package struct Entry: Sendable {
        package let file: String
        package let content: Result<AuthorizedKey, KeyFileProblem>
    }

    /// What tells a changed folder from an unchanged one without reading the files.
    struct Signature: Hashable, Sendable {
        fileprivate struct File: Hashable, Sendable {
            let name: String
            let inode: UInt
            let size: Int
            let seconds: Int
            let nanoseconds: Int
            let mode: UInt32
        }
        fileprivate var files: [File] = []
    }

    /// Files beyond this are not looked at; a cluster has hundreds of workers.
    private static let maximumFiles = 10_000

    package init(path: String) { self.path = path }

    /// Throws ``KeyFileError`` when the folder is not there, is unreadable, or others may write
    /// to it.
    func signature() throws(KeyFileError) -> Signature {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw unreadable() }
        guard status.st_mode & 0o022 == 0 else { throw .writableByOthers(path: path) }
        var signature = Signature()
        for name in try names() {
            var status = stat()
            guard unsafe stat(path + "/" + name, &status) == 0 else { continue }
            signature.files.append(
                .init(
                    name: name, inode: status.st_ino, size: status.st_size,
                    seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
                    mode: status.st_mode))
        }
        return signature
    }

    /// All files by name. Throws ``KeyFileError`` when the folder cannot be read.
    package func entries() throws(KeyFileError) -> [Entry] {
        var entries: [Entry] = []
        for name in try names() {
            entries.append(Entry(file: name, content: content(of: name)))
        }
        return entries
    }

    private func content(of name: String) -> Result<AuthorizedKey, KeyFileProblem> {
        do throws(KeyFileProblem) {
            var status = stat()
            guard unsafe stat(path + "/" + name, &status) == 0 else {
                throw KeyFileProblem("is gone")
            }
            guard status.st_mode & 0o022 == 0 else {
                throw KeyFileProblem("may be changed by others; run chmod go-w on it")
            }
            let text: String
            do {
                text = try KeyFiles.read(path + "/" + name, secret: false)
            } catch {
                throw KeyFileProblem("is unusable: \(error)")
            }
            let stem = name.hasSuffix(".pub") ? String(name.dropLast(4)) : name
            return .success(try AuthorizedKey(fileText: text, name: stem))
        } catch {
            return .failure(error)
        }
    }

    /// Hidden files and editors' leftovers are nobody's key.
    private func names() throws(KeyFileError) -> [String] {
        do {
            let all = try FileManager.default.contentsOfDirectory(atPath: path)
            return all.filter { !$0.hasPrefix(".") && !$0.hasSuffix("~") && !$0.hasSuffix(".tmp") }
                .sorted().prefix(Self.maximumFiles).map { $0 }
        } catch {
            throw .unreadable(path: path, reason: error.localizedDescription)
        }
    }

    private func unreadable() -> KeyFileError {
        .unreadable(path: path, reason: unsafe String(cString: strerror(errno)))
    }
}
