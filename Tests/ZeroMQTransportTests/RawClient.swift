import Glibc

/// A TCP client that knows nothing of ZeroMQ.
final class RawClient: Sendable {
    let descriptor: Int32

    /// Connects to a `tcp://127.0.0.1:port` endpoint; nil when the system does not let it.
    init?(_ endpoint: String, sending bytes: [UInt8] = []) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0,
            let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) })
        else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { return nil }
        // A closed connection with a full window is told by nobody for a while.
        var patience = timeval(tv_sec: 3, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        if !bytes.isEmpty { send(bytes) }
    }

    deinit { close(descriptor) }

    /// Ends the connection as a process does that dies with unread bytes: at once, by RST.
    func reset() {
        // connect(2) to no family dissolves an association.
        var nowhere = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: sockaddr().sa_data)
        connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// False when the other end is gone.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Waits until the other end has sent `text`; false when it closed before.
    func hasHeard(_ text: String) -> Bool {
        var heard: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: heard, as: UTF8.self).contains(text) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return false }
            heard += buffer.prefix(count)
        }
        return true
    }

    /// Waits until the other end closes; false after `seconds`.
    func isClosed(within seconds: Int) -> Bool {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var buffer = [UInt8](repeating: 0, count: 4096)
        while poll(&item, 1, Int32(seconds * 1000)) > 0 {
            if recv(descriptor, &buffer, buffer.count, 0) <= 0 { return true }
        }
        return false
    }
}

/// First bytes of strangers.
enum Strangers {
    static let httpRequest = Array("GET / HTTP/1.1\r\nHost: example\r\n\r\n".utf8)
    /// A TLS 1.2 record with the beginning of a client hello.
    static let tlsHello: [UInt8] =
        [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03]
        + (0..<64).map { UInt8($0) }
    static let sshBanner = Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)
    static let random: [UInt8] = (0..<512).map { _ in UInt8.random(in: 0...254) }
    /// ZMTP 3.1's greeting, by which a client names its mechanism.
    static func greeting(_ mechanism: String) -> [UInt8] {
        let name = Array(mechanism.utf8)
        return [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1]
            + name + Array(repeating: 0, count: 20 - name.count) + Array(repeating: 0, count: 32)
    }

    /// A handshake without encryption, up to the first message.
    static var plainHandshake: [UInt8] {
        let name = Array("Socket-Type".utf8)
        let value = Array("DEALER".utf8)
        let ready =
            [5] + Array("READY".utf8) + [UInt8(name.count)] + name
            + [0, 0, 0, UInt8(value.count)] + value
        return greeting("NULL") + [4, UInt8(ready.count)] + ready
    }

    /// A frame of a message that goes on.
    static func unfinishedFrame(_ count: UInt8) -> [UInt8] {
        [1, count] + Array(repeating: 7, count: Int(count))
    }
}
