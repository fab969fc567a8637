/// Why a text names no place, in words that follow "is no address:".
package struct AddressProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// `10.0.0.1:5570`, `[fd00::1]:5570`, `lake.example:5570`, `eth0:5570` or `*:5570`: what a person
/// writes, which is not looked up yet.
package struct HostPort: Hashable, Sendable, CustomStringConvertible {
    package enum Host: Hashable, Sendable {
        /// Every address of this machine.
        case any
        case address(IPAddress)
        /// Of a machine, or of an interface of this one.
        case name(String)
    }

    package let host: Host
    /// As it was written, brackets included.
    private let hostText: String
    /// 0 is a free one, where something listens; it may be written `*`.
    package let port: UInt16
    /// As it was written.
    private let portText: String

    package init(_ text: some StringProtocol) throws(AddressProblem) {
        let text = String(text)
        (hostText, portText) = try Self.split(text)
        port = try Self.port(portText)
        host = try Self.host(hostText)
    }

    private init(host: Host, hostText: String, port: UInt16) {
        self.host = host
        self.hostText = hostText
        self.port = port
        portText = "\(port)"
    }

    package init(_ place: SocketAddress) {
        self.init(
            host: .address(place.address),
            hostText: place.address.family == .v4 ? "\(place.address)" : "[\(place.address)]",
            port: place.port)
    }

    /// The same host with another port.
    package func with(port: UInt16) -> HostPort {
        HostPort(host: host, hostText: hostText, port: port)
    }

    package var description: String { "\(hostText):\(portText)" }

    private static func split(
        _ text: String
    ) throws(AddressProblem) -> (host: String, port: String) {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else {
                throw AddressProblem("its bracket is not closed")
            }
            let rest = text[text.index(after: end)...]
            guard rest.first == ":" else { throw AddressProblem("it has no port") }
            return (String(text[...end]), String(rest.dropFirst()))
        }
        guard let colon = text.lastIndex(of: ":") else {
            throw AddressProblem("it has no port")
        }
        let host = text[..<colon]
        guard !host.contains(":") else {
            throw AddressProblem(
                "an IPv6 address is to be in brackets, with the port after them, such as "
                    + "[::1]:5570")
        }
        return (String(host), String(text[text.index(after: colon)...]))
    }

    private static func port(_ text: String) throws(AddressProblem) -> UInt16 {
        if text == "*" { return 0 }
        if text.isEmpty { throw AddressProblem("it has no port") }
        guard text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
            let port = UInt16(text)
        else { throw AddressProblem("'\(text)' is no port, which is a number up to 65535") }
        return port
    }

    /// Refuses an address of several machines, at which no connection can begin or end.
    private static func single(_ address: IPAddress) throws(AddressProblem) -> IPAddress {
        if address.isMulticast {
            throw AddressProblem("\(address) is a multicast address, not one machine's")
        }
        if address.isBroadcast(among: .all) {
            throw AddressProblem("\(address) is a broadcast address, not one machine's")
        }
        return address
    }

    private static func host(_ text: String) throws(AddressProblem) -> Host {
        if text.isEmpty { throw AddressProblem("it has no host") }
        if text == "*" { return .any }
        if text.hasPrefix("[") {
            let inner = String(text.dropFirst().dropLast())
            guard inner.contains(":"), let address = IPAddress(inner) else {
                throw AddressProblem(
                    inner.contains("%")
                        ? "'\(inner)' is no IPv6 address with an interface of this machine"
                        : "'\(inner)' is no IPv6 address")
            }
            return .address(try single(address))
        }
        if let address = IPAddress(text) { return .address(try single(address)) }
        // The system would take 10.1 for 10.0.0.1.
        guard !text.allSatisfy({ $0.isNumber || $0 == "." }) else {
            throw AddressProblem("'\(text)' is no IPv4 address")
        }
        let forbidden: Set<Character> = ["/", "\\", "[", "]", "@", "?", "#", "%", "*"]
        guard text.utf8.count <= 253, !text.contains(where: { $0.isWhitespace }),
            !text.contains(where: forbidden.contains)
        else { throw AddressProblem("'\(text)' is no name of a host") }
        return .name(text)
    }
}
