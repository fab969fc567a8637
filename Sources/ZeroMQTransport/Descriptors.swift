internal import CZeroMQ
internal import ClusterCore
internal import Glibc

/// The descriptors of this process (getrlimit(2)). libzmq ends the whole process where it needs one
/// and finds none, so there have to be some before it is asked for anything.
package enum Descriptors {
    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    /// How many this process may have.
    package static var limit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Lets this process have as many as the system allows it, and `wanted` of them if it is one
    /// that may allow itself more. Each worker takes one, and each stranger who knocks.
    package static func raiseLimit(wanted: Int = 0) {
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(resource, &limit)
        guard limit.rlim_max < rlim_t(wanted) else { return }
        limit = rlimit(rlim_cur: rlim_t(wanted), rlim_max: rlim_t(wanted))
        unsafe setrlimit(resource, &limit)
    }

    /// Whether whoever got this descriptor must do without, so that the running job keeps some for
    /// its files: the kernel hands out the lowest free number, so a high one means that the table
    /// is nearly full.
    static func isTableFull(descriptor: Int32, limit: Int) -> Bool {
        let reserve = min(64, max(8, limit / 4))
        return Int(descriptor) >= limit - reserve
    }

    /// Throws ``TransportError`` when there are too few left for a socket and all that libzmq
    /// opens with it.
    static func checkRoom(for endpoint: String) throws(TransportError) {
        let next = eventfd(0, Int32(EFD_CLOEXEC))
        if next >= 0 { close(next) }
        guard next >= 0, !isTableFull(descriptor: next, limit: limit) else {
            throw .system(
                operation: "open", endpoint: endpoint,
                reason: unsafe "\(String(cString: strerror(EMFILE))) (limit \(limit), ulimit -n)")
        }
    }
}
