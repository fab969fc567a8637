internal import CZeroMQ
internal import ClusterCore
internal import Glibc

/// An eventfd(2) that any thread may write to get another out of its poll.
final class Wakeup: Sendable {
    let descriptor: Int32

    init() throws(TransportError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard descriptor >= 0 else {
            throw .system(
                operation: "make", endpoint: "an eventfd",
                reason: unsafe String(cString: strerror(errno)))
        }
    }

    deinit { close(descriptor) }

    /// Never fails in a way that matters: a full counter means that a wake-up is pending.
    func signal() {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Takes all pending wake-ups.
    func drain() {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, MemoryLayout<UInt64>.size)
    }
}
