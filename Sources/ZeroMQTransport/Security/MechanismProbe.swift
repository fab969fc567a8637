internal import Glibc
internal import NetworkAddresses

/// Asks whoever listens at an endpoint how it wants to speak.
///
/// A ZMTP/3 greeting names the sender's mechanism, but a socket that sees the wrong one closes at
/// once, mostly before its own greeting is out, so that libzmq cannot tell a worker that lacks
/// keys from one whose coordinator is restarting. This sends half a greeting and waits for all of
/// the other's.
enum MechanismProbe {
    private static let greetingBytes = 64

    /// `CURVE`, `NULL` or another mechanism's name; nil when nobody answers within some seconds,
    /// or it is no ZMTP/3. Waits.
    static func ask(_ place: SocketAddress) -> String? {
        guard let descriptor = connect(to: place) else { return nil }
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

    private static func connect(to place: SocketAddress) -> Int32? {
        let descriptor = socket(
            place.domain, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        // Both also bound connect(2) and recv(2).
        var patience = timeval(tv_sec: 2, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        let result = unsafe place.withSystemAddress { unsafe Glibc.connect(descriptor, $0, $1) }
        if result == 0 { return descriptor }
        close(descriptor)
        return nil
    }
}
