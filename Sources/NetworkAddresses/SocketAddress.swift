package import Glibc

/// An address and a port.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    package let address: IPAddress
    /// 0 is a free one, where something listens.
    package let port: UInt16

    package init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// Nil for what is neither IPv4 nor IPv6.
    package init?(_ pointer: UnsafePointer<sockaddr>) {
        switch Int32(unsafe pointer.pointee.sa_family) {
        case AF_INET:
            let value = unsafe UnsafeRawPointer(pointer).loadUnaligned(as: sockaddr_in.self)
            let bytes = unsafe withUnsafeBytes(of: value.sin_addr) { unsafe Array($0) }
            self.init(IPAddress(bytes: bytes, scope: 0), port: UInt16(bigEndian: value.sin_port))
        case AF_INET6:
            let value = unsafe UnsafeRawPointer(pointer).loadUnaligned(as: sockaddr_in6.self)
            let bytes = unsafe withUnsafeBytes(of: value.sin6_addr) { unsafe Array($0) }
            self.init(
                IPAddress(bytes: bytes, scope: value.sin6_scope_id),
                port: UInt16(bigEndian: value.sin6_port))
        default: return nil
        }
    }

    /// Where a socket is bound; nil when it is not.
    package init?(localOf descriptor: Int32) {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let found = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe getsockname(descriptor, pointer, &size) == 0
                    ? unsafe SocketAddress(pointer) : nil
            }
        }
        guard let found else { return nil }
        self = found
    }

    /// `PF_INET` or `PF_INET6`.
    package var domain: Int32 { address.family == .v4 ? AF_INET : AF_INET6 }

    /// Calls `body` with the form that the system takes.
    package func withSystemAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        switch address.family {
        case .v4:
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &value.sin_addr) {
                unsafe $0.copyBytes(from: address.bytes)
            }
            return try unsafe Self.rebound(&value, body)
        case .v6:
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = port.bigEndian
            value.sin6_scope_id = address.scope
            unsafe withUnsafeMutableBytes(of: &value.sin6_addr) {
                unsafe $0.copyBytes(from: address.bytes)
            }
            return try unsafe Self.rebound(&value, body)
        }
    }

    private static func rebound<Value, Result>(
        _ value: inout Value, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        try unsafe withUnsafePointer(to: &value) { pointer in
            try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try unsafe body($0, socklen_t(MemoryLayout<Value>.size))
            }
        }
    }

    /// `10.0.0.1:5570`, `[fd00::1]:5570`
    package var description: String {
        address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}
