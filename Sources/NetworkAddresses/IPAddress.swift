internal import Glibc

/// An IPv4 or IPv6 address. One of IPv4 that is written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 one.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Family: Hashable, Sendable {
        case v4, v6
    }

    /// In network order: 4 or 16.
    let bytes: [UInt8]
    /// The index of the interface that a link-local address belongs to; 0 for others.
    let scope: UInt32

    /// Every address of a family, where something listens.
    package static func any(_ family: Family) -> IPAddress {
        IPAddress(bytes: [UInt8](repeating: 0, count: family == .v4 ? 4 : 16), scope: 0)
    }

    /// 127.0.0.1.
    package static let loopback = IPAddress(bytes: [127, 0, 0, 1], scope: 0)

    init(bytes: [UInt8], scope: UInt32) {
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 }
            && bytes[10] == 0xFF && bytes[11] == 0xFF
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
        self.scope = isMapped ? 0 : scope
    }

    /// `10.0.0.1`, `fd00::1`, `fe80::1%eth0` or `fe80::1%2`; nil for anything else, and for an
    /// interface that this machine does not have.
    package init?(_ text: String) {
        var four = in_addr()
        if unsafe inet_pton(AF_INET, text, &four) == 1 {
            self.init(bytes: unsafe withUnsafeBytes(of: four) { unsafe Array($0) }, scope: 0)
            return
        }
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var six = in6_addr()
        guard let first = parts.first, unsafe inet_pton(AF_INET6, String(first), &six) == 1 else {
            return nil
        }
        var scope: UInt32 = 0
        if parts.count == 2 {
            let name = String(parts[1])
            let known = unsafe if_nametoindex(name)
            scope = UInt32(name) ?? known
            guard scope > 0 else { return nil }
        }
        self.init(bytes: unsafe withUnsafeBytes(of: six) { unsafe Array($0) }, scope: scope)
    }

    package var family: Family { bytes.count == 4 ? .v4 : .v6 }

    /// Whether what is sent there stays on this machine: 127.0.0.0/8, ::1.
    package var isLoopback: Bool {
        family == .v4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1]
    }

    /// Whether it names every address of its family instead of one.
    package var isAny: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether it is of many machines at once: 224.0.0.0/4, ff00::/8.
    var isMulticast: Bool { family == .v4 ? bytes[0] & 0xF0 == 224 : bytes[0] == 0xFF }

    /// Whether it is of all machines of a network: 255.255.255.255, or an interface's own.
    func isBroadcast(among all: [NetworkInterface]) -> Bool {
        bytes == [255, 255, 255, 255]
            || family == .v4 && all.contains { $0.broadcast == self && $0.address != self }
    }

    /// Whether it means something only on one link: 169.254.0.0/16, fe80::/10.
    package var isLinkLocal: Bool {
        family == .v4
            ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    }

    /// Whether it cannot be used without an interface, and names none.
    package var lacksInterface: Bool { family == .v6 && isLinkLocal && scope == 0 }

    /// As it is read again, without brackets; an interface by its number.
    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = family == .v4 ? AF_INET : AF_INET6
        unsafe inet_ntop(family, bytes, &text, socklen_t(text.count))
        let plain = String(
            decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return scope == 0 ? plain : "\(plain)%\(scope)"
    }
}
