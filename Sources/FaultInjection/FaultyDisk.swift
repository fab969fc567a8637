internal import Glibc

/// A write that failed on purpose.
package struct DiskFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// `ENOSPC` or `EIO`.
    package let code: Int32

    package var description: String { unsafe String(cString: strerror(code)) }
}

extension FaultInjector {
    /// To be called by whoever is about to write the checkpoint after so many steps, on the
    /// thread that writes: returns late, throws, or never returns.
    package func beforeCheckpoint(step: Int) throws(DiskFault) {
        for strike in next(.checkpoint, step: step) {
            did(strike, step: step)
            Death.endProcess(by: strike.action)
            switch strike.action {
            case .pause(let time): Self.sleep(time)
            case .noSpace: throw DiskFault(code: ENOSPC)
            case .ioError: throw DiskFault(code: EIO)
            default: break
            }
        }
    }

    private static func sleep(_ time: Duration) {
        let (seconds, attoseconds) = time.components
        var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        var wanted = rest
        while unsafe nanosleep(&wanted, &rest) != 0, errno == EINTR { wanted = rest }
    }
}
