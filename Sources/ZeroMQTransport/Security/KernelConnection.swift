internal import Glibc

/// What the kernel knows about a connection that libzmq holds, by its descriptor.
enum KernelConnection {
    /// The connection's number in the life of the kernel (socket(7), SO_COOKIE), which tells it
    /// from a later one with the same descriptor; 0 where there is none.
    static func cookie(_ descriptor: Int32) -> UInt64 {
        // SO_COOKIE of the kernel's headers; Glibc's Swift module has no such constant.
        let option: Int32 = 57
        var cookie: UInt64 = 0
        var size = socklen_t(MemoryLayout<UInt64>.size)
        let result = unsafe getsockopt(descriptor, SOL_SOCKET, option, &cookie, &size)
        return result == 0 ? cookie : 0
    }

    /// Bytes that have come by a TCP connection; nil for others.
    static func bytesReceived(_ descriptor: Int32) -> UInt64? {
        // tcpi_bytes_received of the kernel's struct tcp_info, which only grows at its end; glibc's
        // own version of the struct ends before it.
        let offset = 128
        var info = [UInt8](repeating: 0, count: offset + 8)
        var size = socklen_t(info.count)
        guard unsafe getsockopt(descriptor, tcpProtocol, TCP_INFO, &info, &size) == 0,
            Int(size) == info.count
        else { return nil }
        return info[offset...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    /// Ends the connection if it is still that one: libzmq reads its end, and the peer sees it.
    static func end(_ descriptor: Int32, cookie: UInt64) {
        guard Self.cookie(descriptor) == cookie else { return }
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
    }

    private static let tcpProtocol = Int32(IPPROTO_TCP)
}
