internal import Glibc

/// A folder that is held, so that another one under its path is told from it: while it is held
/// nothing else gets its number, even when it is removed.
package final class HeldFolder: Sendable {
    /// What there is now under the path that the folder had.
    package enum Place: Equatable, Sendable {
        /// The folder itself.
        case same
        /// Nothing.
        case empty
        /// Another folder, or no folder at all.
        case taken
        /// The system does not say, for this reason.
        case unknown(reason: String)
    }

    private let path: String
    private let descriptor: Int32

    /// Throws ``FileFailure`` when there is no folder that can be held.
    package init(_ path: String) throws(FileFailure) {
        self.path = path
        descriptor = unsafe open(
            SystemPath.cString(path), pathOnly | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .ofLastCall(path: path) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Looks, links followed.
    package var place: Place {
        var (held, seen) = (stat(), stat())
        guard unsafe fstat(descriptor, &held) == 0,
            unsafe stat(SystemPath.cString(path), &seen) == 0
        else {
            let failure = FileFailure.ofLastCall(path: path)
            return failure.code == ENOENT ? .empty : .unknown(reason: failure.reason)
        }
        return held.st_ino == seen.st_ino && held.st_dev == seen.st_dev ? .same : .taken
    }
}
