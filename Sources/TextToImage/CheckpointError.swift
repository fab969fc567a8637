/// Why a state folder cannot be used. Whatever the reason, nothing in the folder was changed.
package enum CheckpointError: Error, Equatable, CustomStringConvertible {
    /// The system refused.
    case unusable(path: String, reason: String)
    /// Another process holds the folder.
    case locked(path: String, holder: String)
    /// The folder was written by a program that knows a newer format.
    case newerFormat(file: String, found: Int, known: Int)
    /// A file that everything else depends on is no longer what was written.
    case damaged(file: String, reason: String)
    /// The folder belongs to another request, plan, model or compute class.
    case otherPicture(path: String, differences: [ManifestDifference])
    /// The folder holds a begun run of this very picture.
    case started(path: String)
    /// Another process has taken the folder over while this one was stopped or cut off.
    case superseded(path: String, epoch: UInt64, by: UInt64)

    package var description: String {
        switch self {
        case .unusable(let path, let reason):
            "the state folder \(path) cannot be used: \(reason); nothing in it was changed"
        case .locked(let path, let holder):
            "another tessera (\(holder)) works in the state folder \(path); wait for it, or name "
                + "another folder with --state-dir"
        case .newerFormat(let file, let found, let known):
            "\(file) is of format \(found), this program reads formats up to \(known); go on "
                + "with the version that wrote it, or name another folder with --state-dir"
        case .damaged(let file, let reason):
            "\(file) is damaged: \(reason); nothing in the folder was changed: restore the file, "
                + "or name another folder with --state-dir"
        case .otherPicture(let path, let differences):
            "the state folder \(path) holds another picture's run: "
                + differences.map(\.description).joined(separator: ", ")
                + "; go on with what it was begun with, or name another folder with --state-dir"
        case .started(let path):
            "the state folder \(path) holds a begun run of this picture; add --resume to go on "
                + "with it, or name another folder with --state-dir"
        case .superseded(let path, let epoch, let by):
            "another process has taken over the state folder \(path) (it is at epoch \(by), this "
                + "one at \(epoch)); this one stops, the other goes on"
        }
    }
}

/// One thing in which a state folder's run and the one asked for differ.
package struct ManifestDifference: Equatable, Sendable, CustomStringConvertible {
    /// Such as `model weights` or `request: seed`.
    package let what: String
    package let held: String
    package let asked: String

    package init(_ what: String, held: String, asked: String) {
        self.what = what
        self.held = held
        self.asked = asked
    }

    package var description: String { "\(what) (\(held) there, \(asked) here)" }
}
