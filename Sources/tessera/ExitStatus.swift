import ArgumentParser

/// The exit codes that scripts rely on; after sysexits(3) where it has a fitting one.
enum ExitStatus: Int32 {
    /// The command line cannot work, whatever the machine does (EX_USAGE).
    case usage = 64
    /// A file or a peer is not what it should be (EX_DATAERR).
    case badData = 65
    /// No workers, or no coordinator (EX_UNAVAILABLE).
    case unavailable = 69
    /// A defect of this program (EX_SOFTWARE).
    case bug = 70
    /// Interrupted, and `--resume` goes on from there (EX_TEMPFAIL).
    case resumable = 75
    /// Interrupted by the user: 128 + SIGINT.
    case interrupted = 130

    var code: ExitCode { ExitCode(rawValue) }
}

/// A failure with its one sentence for a person and its exit code.
struct CommandFailure: Error, CustomStringConvertible {
    let status: ExitStatus
    let description: String

    init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}
