internal import Glibc

/// One address of an interface of this machine.
package struct NetworkInterface: Hashable, Sendable {
    /// Such as `eth0`.
    let name: String
    let address: IPAddress
    /// Whether it is up and has a link.
    let isRunning: Bool
    /// What reaches all machines of its network at once; nil where there is no such thing.
    let broadcast: IPAddress?

    package init(
        _ name: String, _ address: IPAddress, isRunning: Bool = true, broadcast: IPAddress? = nil
    ) {
        self.broadcast = broadcast
        self.name = name
        self.address = address
        self.isRunning = isRunning
    }

    /// The addresses of one interface; link-local ones only when it has no others.
    static func addresses(of name: String, among all: [NetworkInterface]) -> [IPAddress] {
        let own = all.filter { $0.name == name }.map(\.address)
        let lasting = own.filter { !$0.isLinkLocal }
        return lasting.isEmpty ? own : lasting
    }

    /// Whether this machine has an interface of this name, with an address.
    package static func exists(_ name: String, among all: [NetworkInterface] = .all) -> Bool {
        all.contains { $0.name == name }
    }

    /// Whether this machine has an interface of this name, with an address or without.
    static func isKnown(_ name: String) -> Bool { unsafe if_nametoindex(name) != 0 }

    /// Those addresses that something can listen at: the interfaces', and 127.0.0.0/8 as a whole.
    static func owned(_ addresses: [IPAddress], among all: [NetworkInterface]) -> [IPAddress] {
        addresses.filter { address in
            (address.family == .v4 && address.isLoopback)
                || all.contains { $0.address.bytes == address.bytes }
        }
    }

    /// Whether something can listen at the address on this machine.
    package static func isOwn(_ address: IPAddress) -> Bool {
        !owned([address], among: .all).isEmpty
    }

    /// The address by which other machines most likely reach this one: the first of a running
    /// interface that leads off it, of the first of these families that has one.
    package static func outward(
        _ families: [IPAddress.Family], among all: [NetworkInterface] = .all
    ) -> IPAddress? {
        let candidates = all.filter {
            $0.isRunning && !$0.address.isLoopback && !$0.address.isLinkLocal
        }.map(\.address)
        return families.lazy.compactMap { family in
            candidates.first { $0.family == family }
        }.first
    }
}

extension [NetworkInterface] {
    /// All addresses of this machine, in the system's order; empty when it does not say.
    package static var all: [NetworkInterface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var all: [NetworkInterface] = []
        var next = unsafe list
        while let entry = unsafe next?.pointee {
            unsafe next = entry.ifa_next
            guard let pointer = unsafe entry.ifa_addr,
                let address = unsafe SocketAddress(pointer)?.address
            else { continue }
            let flags = UInt32(unsafe entry.ifa_flags)
            let running = UInt32(IFF_UP | IFF_RUNNING)
            unsafe all.append(
                NetworkInterface(
                    String(cString: entry.ifa_name), address,
                    isRunning: flags & running == running, broadcast: broadcast(of: entry)))
        }
        return all
    }

    private static func broadcast(of entry: ifaddrs) -> IPAddress? {
        guard unsafe UInt32(entry.ifa_flags) & UInt32(IFF_BROADCAST) != 0,
            let pointer = unsafe entry.ifa_ifu.ifu_broadaddr
        else { return nil }
        return unsafe SocketAddress(pointer)?.address
    }
}
