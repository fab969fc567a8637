internal import Glibc
internal import NetworkAddresses

/// Why a proxy cannot work.
package enum ProxyError: Error, Hashable, CustomStringConvertible {
    /// Not of the form `host:port`, or no such host.
    case address(String, reason: String)
    case system(operation: String, address: String, reason: String)

    package var description: String {
        switch self {
        case .address(let text, let reason):
            "'\(text)' is no address: \(reason); expected host:port, such as 127.0.0.1:5570"
        case .system(let operation, let address, let reason):
            "cannot \(operation) \(address): \(reason)"
        }
    }
}

extension ProxyError {
    /// All addresses that a text means, one at least: `127.0.0.1:5570`, also with `tcp://` before
    /// it. Waits while a name is looked up. Throws ``ProxyError``.
    static func places(
        _ text: String, _ lookUp: (String) throws(LookupFailure) -> [IPAddress]
    ) throws(ProxyError) -> [SocketAddress] {
        let plain = text.hasPrefix("tcp://") ? String(text.dropFirst(6)) : text
        do {
            let place = try HostPort(plain)
            let addresses =
                switch place.host {
                case .any: [IPAddress.any(Lookup.hasIPv6 ? .v6 : .v4)]
                case .address(let address): [address]
                case .name(let name): try lookUp(name)
                }
            return addresses.map { SocketAddress($0, port: place.port) }
        } catch {
            throw .address(text, reason: "\(error)")
        }
    }
}

/// The calls that a proxy makes.
enum Sockets {
    private static let flags = Int32(
        SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)

    /// `name` is what a person calls the address, where that is something else.
    static func listen(
        at address: SocketAddress, called name: String? = nil
    ) throws(ProxyError) -> Int32 {
        let descriptor = socket(address.domain, flags, 0)
        let size = socklen_t(MemoryLayout<Int32>.size)
        var (on, off): (Int32, Int32) = (1, 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
        // Of IPv6 only: every address is one of both families.
        unsafe setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, size)
        let isBound = unsafe address.withSystemAddress { unsafe bind(descriptor, $0, $1) } == 0
        guard descriptor >= 0, isBound, Glibc.listen(descriptor, 128) == 0 else {
            let reason = unsafe String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            throw .system(operation: "listen at", address: name ?? "\(address)", reason: reason)
        }
        return descriptor
    }

    /// A connection that waits to be accepted; negative when there is none.
    static func accept(from listener: Int32) -> Int32 {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else { return descriptor }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }

    /// A connection that is coming about; negative when it cannot.
    static func dial(_ address: SocketAddress) -> Int32 {
        let descriptor = socket(address.domain, flags, 0)
        guard descriptor >= 0 else { return -1 }
        let result = unsafe address.withSystemAddress { unsafe connect(descriptor, $0, $1) }
        if result == 0 || errno == EINPROGRESS { return descriptor }
        close(descriptor)
        return -1
    }

    enum Connection {
        case pending
        case established
        case failed
    }

    static func connection(of descriptor: Int32) -> Connection {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&entry, 1, 0) > 0 else { return .pending }
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length)
        return error == 0 ? .established : .failed
    }

    /// Small messages shall not wait for more: the proxy is to add no delay of its own.
    static func sendAtOnce(_ descriptor: Int32) {
        var on: Int32 = 1
        unsafe setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Closing sends RST instead of FIN.
    static func resetOnClose(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}

/// Lines from a descriptor, without waiting for more than has come.
struct LineReader {
    /// Negative once it has ended.
    private(set) var descriptor: Int32
    private var rest: [UInt8] = []
    private static let longestLine = 4096

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// To be called when the descriptor is readable.
    mutating func read() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else {
            if count == 0 || (errno != EAGAIN && errno != EINTR) { descriptor = -1 }
            return []
        }
        rest += buffer[..<count]
        var parts = rest.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        rest = Array(parts.removeLast())
        if rest.count > Self.longestLine { rest = [] }
        return parts.map { String(decoding: $0, as: UTF8.self) }
    }
}
