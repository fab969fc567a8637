internal import Glibc

/// Ends this process in the way that an action says.
enum Death {
    /// Does nothing for actions that end no process.
    static func endProcess(by action: FaultAction) {
        switch action {
        case .abort:
            // The end is meant: it shall not leave gigabytes behind.
            var none = rlimit(rlim_cur: 0, rlim_max: 0)
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
            abort()
        case .kill:
            kill(getpid(), SIGKILL)
            // The signal may take a moment to arrive; nothing more is to happen meanwhile.
            while true { pause() }
        default: break
        }
    }
}
