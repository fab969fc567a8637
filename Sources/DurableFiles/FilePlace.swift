internal import Foundation

/// Where a file lies, whichever way it is written: links followed, folders by their real paths.
package struct FilePlace: Hashable, Sendable {
    /// Bytes: two texts may be equal and two names for all that, such as with composed and
    /// decomposed marks.
    private let path: [UInt8]

    /// Nil when there is no such folder, or something other than a regular file is there: such a
    /// place is for several at a time.
    package init?(file path: String) {
        guard let end = try? LinkEnd(of: path), !end.isOpenFile else { return nil }
        var status = stat()
        if unsafe stat(SystemPath.cString(end.path), &status) == 0, FileKind(status) != .file {
            return nil
        }
        self.init(unresolved: end.path)
    }

    /// A folder that is there or can be made there.
    package init?(folder path: String) {
        guard let real = Self.realPath(path) else {
            self.init(unresolved: path)
            return
        }
        self.init(real: real)
    }

    private init(real path: String) { self.path = SystemPath.bytes(of: path) }

    /// Of something that need not be there, in a folder that is.
    private init?(unresolved path: String) {
        let (folder, name) = folderAndName(of: path)
        guard let folder = Self.realPath(folder) else { return nil }
        self.init(real: (folder == "/" ? "" : folder) + "/" + name)
    }

    /// Whether it is this folder, or anywhere in it.
    package func lies(in folder: FilePlace) -> Bool {
        path == folder.path || path.starts(with: folder.path + [UInt8(ascii: "/")])
    }

    /// realpath(3); nil when something on the way is missing.
    private static func realPath(_ path: String) -> String? {
        guard let real = unsafe realpath(SystemPath.cString(path), nil) else { return nil }
        defer { unsafe free(real) }
        return unsafe SystemPath.text(ofCString: real)
    }
}
