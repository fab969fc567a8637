internal import Glibc

/// Asks whoever listens at an endpoint how it wants to speak.
///
/// A ZMTP/3 greeting names the sender's mechanism, but a socket that sees the wrong one closes at
/// once, mostly before its own greeting is out, so that libzmq cannot tell a worker that lacks
/// keys from one whose coordinator is restarting. This sends half a greeting and waits for all of
/// the other's.
enum MechanismProbe {
    private static let greetingBytes = 64

    /// `CURVE`, `NULL` or another mechanism's name; nil when nobody answers within some seconds,
    /// or it is no ZMTP/3. Waits; TCP only.
    static func ask(_ endpoint: String) -> String? {
        guard let descriptor = connect(to: endpoint) else { return nil }
        defer { close(descriptor) }
        // RFC 23: the signature and the version, upon which the other end sends the rest.
        let half: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1]
        guard unsafe send(descriptor, half, half.count, Int32(MSG_NOSIGNAL)) == half.count
        else { return nil }
        var greeting: [UInt8] = []
        while greeting.count < greetingBytes {
            var buffer = [UInt8](repeating: 0, count: greetingBytes - greeting.count)
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            greeting += buffer.prefix(count)
        }
        return mechanism(in: greeting)
    }

    /// The mechanism that a whole greeting names.
    static func mechanism(in greeting: [UInt8]) -> String? {
        guard greeting.count == greetingBytes, greeting[0] == 0xFF, greeting[9] == 0x7F,
            greeting[10] >= 3
        else { return nil }
        return String(validating: greeting[12..<32].prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func connect(to endpoint: String) -> Int32? {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else {
            return nil
        }
        let host = endpoint[..<colon].dropFirst(6).filter { $0 != "[" && $0 != "]" }
        let port = String(endpoint[endpoint.index(after: colon)...])
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, port, &hints, &list) == 0 else { return nil }
        defer { unsafe freeaddrinfo(list) }
        var next = unsafe list
        while let address = unsafe next?.pointee {
            unsafe next = address.ai_next
            let descriptor = unsafe socket(
                address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { continue }
            // Both also bound connect(2) and recv(2).
            var patience = timeval(tv_sec: 2, tv_usec: 0)
            let size = socklen_t(MemoryLayout<timeval>.size)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
            if unsafe Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 {
                return descriptor
            }
            close(descriptor)
        }
        return nil
    }
}
