internal import Glibc

/// A file operation that the system refused.
package struct FileFailure: Error, Equatable, CustomStringConvertible {
    package let path: String
    /// The system's `errno`.
    package let code: Int32
    /// For a person: the system's own text, or a better one.
    package let reason: String

    package init(path: String, code: Int32, reason: String? = nil) {
        self.path = path
        self.code = code
        self.reason = reason ?? (unsafe String(cString: strerror(code)))
    }

    /// What the last system call of this thread left in `errno`.
    package static func ofLastCall(path: String) -> FileFailure {
        FileFailure(path: path, code: errno)
    }

    package var description: String { "\(path): \(reason)" }
}
