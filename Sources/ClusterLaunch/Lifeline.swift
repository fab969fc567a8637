internal import Glibc

/// Ties a worker's life to the process that launched it, even when that process is killed and can
/// tell nobody.
///
/// The worker's standard input is a pipe that only its launcher can write to; the kernel closes
/// it when the launcher is gone, whatever it died of. Not `PR_SET_PDEATHSIG`: prctl(2) ties that
/// to the *thread* that started the child, and which thread that is, and how long it lives, is
/// the business of the library that spawns.
package enum Lifeline {
    /// Set by the launcher for its children: a worker started by hand or by systemd has another
    /// kind of standard input and must not watch it.
    static let variable = "TESSERA_LIFELINE"
    static let value = "stdin"

    /// EX_UNAVAILABLE: the coordinator is gone.
    private static let exitCode: Int32 = 69

    /// Whether a launcher started this process, and reads what it says.
    package static var isHeld: Bool {
        guard let text = unsafe getenv(variable) else { return false }
        return unsafe String(cString: text) == value
    }

    /// To be called first thing in a worker process. Returns at once and does nothing unless a
    /// launcher started this process; otherwise the process ends as soon as its launcher has,
    /// in the middle of whatever it does: a worker has nothing to lose.
    package static func endWithLauncher() {
        guard isHeld else { return }
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { unsafe pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, &attributes,
            { _ in
                var byte: UInt8 = 0
                while true {
                    let count = unsafe read(STDIN_FILENO, &byte, 1)
                    if count == 0 || (count < 0 && errno != EINTR) { _exit(Lifeline.exitCode) }
                }
            }, nil)
        precondition(result == 0, "the system has no thread left to watch the launcher")
    }
}
