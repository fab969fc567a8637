import Foundation
import UnixSignals

/// What signals and closed descriptors mean to every command; decided once, before anything else.
enum Signals {
    /// Those that ask the program to stop. A terminal that is closed (SIGHUP) does as SIGTERM
    /// does: there is no configuration to be read again, and nobody is left to watch. Under nohup
    /// and the like, which ignore it before the program starts, the run goes on.
    static let ending: [UnixSignal] =
        isHangupIgnored ? [.sigint, .sigterm] : [.sigint, .sigterm, .sighup]

    private static let isHangupIgnored: Bool = {
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }()

    /// To be called first thing.
    static func prepare() {
        // Otherwise the picture might get a descriptor that progress is written to. For reading: a
        // picture for a standard output that is closed (`--output -`) is refused, not thrown away.
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
        where fcntl(descriptor, F_GETFD) == -1 { _ = open("/dev/null", O_RDONLY) }
        _ = ending
        // A peer or a pipe that goes away is an error of the call that notices, not a death.
        signal(SIGPIPE, SIG_IGN)
        // Nor is a file that grows to the user's limit: it is a full disk like any other.
        signal(SIGXFSZ, SIG_IGN)
        // Swift's runtime would say where every thread stands, wait for whoever reads, and go on.
        signal(SIGQUIT, SIG_DFL)
    }

    /// The program was asked to stop and does: whoever asks again need not wait. A terminal that
    /// goes away says so several times, and so does systemd after SIGTERM; that is no impatience.
    static func endAtNext() {
        signal(SIGINT, SIG_DFL)
        signal(SIGTERM, SIG_DFL)
        signal(SIGHUP, SIG_IGN)
    }

    /// The work is done and `status` is known: whoever asks now ends no more than the wait for
    /// those who read what was said.
    static func end(with status: Int32) {
        finalStatus = status
        var set = sigset_t()
        sigemptyset(&set)
        for number in ending.map(\.rawValue) {
            signal(number) { _ in _exit(finalStatus) }
            sigaddset(&set, number)
        }
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }
}

// Written once, before the handler that reads it is there.
nonisolated(unsafe) private var finalStatus: Int32 = 0
