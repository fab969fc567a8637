internal import Glibc

/// Why a name leads nowhere.
package enum LookupFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The system knows no address by that name.
    case unknown(String, reason: String)
    /// It is an interface of this machine, and has none.
    case bareInterface(String)

    package var description: String {
        switch self {
        case .unknown(let name, let reason): "'\(name)' cannot be looked up: \(reason)"
        case .bareInterface(let name): "the interface '\(name)' has no address"
        }
    }
}

/// What the system knows about names.
package enum Lookup {
    /// The addresses of a machine that is to be dialled, best first (RFC 6724), each once; of the
    /// interface of this name when there is no such machine. Never empty. Waits as long as the
    /// system's resolver does: not for threads that others wait for.
    package static func machine(_ name: String) throws(LookupFailure) -> [IPAddress] {
        do throws(LookupFailure) { return try resolve(name) } catch {
            let own = NetworkInterface.addresses(of: name, among: .all)
            guard own.isEmpty else { return own }
            throw NetworkInterface.isKnown(name) ? .bareInterface(name) : error
        }
    }

    /// The addresses of this machine that a name means, where something is to listen: those of
    /// the interface of this name, or else of the machine. Never empty. Waits like
    /// ``machine(_:)``.
    package static func here(_ name: String) throws(LookupFailure) -> [IPAddress] {
        let interfaces: [NetworkInterface] = .all
        let own = NetworkInterface.addresses(of: name, among: interfaces)
        if !own.isEmpty { return own }
        let found: [IPAddress]
        do throws(LookupFailure) { found = try resolve(name) } catch {
            throw NetworkInterface.isKnown(name) ? .bareInterface(name) : error
        }
        let here = NetworkInterface.owned(found, among: interfaces)
        guard !here.isEmpty else {
            throw .unknown(
                name,
                reason: "it means \(found.map(\.description).joined(separator: ", ")), no address "
                    + "of this machine")
        }
        return here
    }

    private static func resolve(_ name: String) throws(LookupFailure) -> [IPAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = unsafe getaddrinfo(name, nil, &hints, &list)
        guard status == 0 else {
            let number = errno
            throw .unknown(
                name,
                reason: status == EAI_SYSTEM
                    ? systemText(number) : unsafe String(cString: gai_strerror(status)))
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [IPAddress] = []
        var next = unsafe list
        while let entry = unsafe next?.pointee {
            unsafe next = entry.ai_next
            guard let pointer = unsafe entry.ai_addr,
                let address = unsafe SocketAddress(pointer)?.address,
                !addresses.contains(address)
            else { continue }
            addresses.append(address)
        }
        guard !addresses.isEmpty else {
            throw .unknown(name, reason: "it has no address")
        }
        return addresses
    }

    /// Whether this system knows IPv6 at all (`ipv6.disable=1` takes it away).
    package static var hasIPv6: Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno != EAFNOSUPPORT }
        close(descriptor)
        return true
    }

    /// Why nothing can be sent there, as far as this machine knows; nil when there is a way.
    /// Sends nothing.
    package static func obstacle(to place: SocketAddress) -> String? {
        let descriptor = socket(
            place.domain, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return systemText(errno) }
        defer { close(descriptor) }
        // Of a datagram socket this only asks for the route.
        let result = unsafe place.withSystemAddress { unsafe connect(descriptor, $0, $1) }
        return result == 0 ? nil : systemText(errno)
    }

    private static func systemText(_ number: Int32) -> String {
        unsafe String(cString: strerror(number))
    }
}
