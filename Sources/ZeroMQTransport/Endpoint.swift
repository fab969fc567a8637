package import ClusterCore
package import NetworkAddresses

/// `tcp://host:port` or `ipc://path`, as it was written; names are not looked up.
package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    case tcp(HostPort)
    case ipc(String)

    /// Port `*` or 0 is a free one. Throws ``TransportError/invalidEndpoint(_:reason:)``.
    package init(_ text: String) throws(TransportError) {
        if text.hasPrefix("ipc://"), text.utf8.count > 6 {
            self = .ipc(String(text.dropFirst(6)))
            return
        }
        guard text.hasPrefix("tcp://") || text == "ipc://" else {
            throw .invalidEndpoint(text, reason: "it does not begin with tcp:// or ipc://")
        }
        guard text != "tcp://", text != "ipc://" else {
            throw .invalidEndpoint(
                text, reason: text == "ipc://" ? "it has no path" : "it has no host and no port")
        }
        guard !text.hasSuffix("/") else {
            throw .invalidEndpoint(text, reason: "it ends in a slash")
        }
        let place: HostPort
        do { place = try HostPort(text.dropFirst(6)) } catch {
            throw .invalidEndpoint(text, reason: "\(error)")
        }
        if case .address(let address) = place.host, address.lacksInterface {
            throw .invalidEndpoint(
                text,
                reason: "an address of a single link needs its interface, as in "
                    + "[\(address)%eth0]:\(place.port)")
        }
        self = .tcp(place)
    }

    /// One that can be dialled: it names a machine and a port.
    package init(dialling text: String) throws(TransportError) {
        try self.init(text)
        guard case .tcp(let place) = self else { return }
        guard place.host != .any else {
            throw .invalidEndpoint(text, reason: "* names no machine to dial")
        }
        guard place.port > 0 else {
            throw .invalidEndpoint(text, reason: "it has no port to dial")
        }
    }

    /// 0 is a free one; nil for a path.
    package var port: UInt16? { if case .tcp(let place) = self { place.port } else { nil } }

    /// Whether it names, in numbers, what this machine alone can reach.
    package var isLoopback: Bool {
        switch self {
        case .ipc: true
        case .tcp(let place):
            if case .address(let address) = place.host { address.isLoopback } else { false }
        }
    }

    package var description: String {
        switch self {
        case .tcp(let place): "tcp://\(place)"
        case .ipc(let path): "ipc://\(path)"
        }
    }
}

/// Where to listen, names looked up: what was judged is what will be bound.
package struct ListenAddress: Sendable, CustomStringConvertible {
    package let endpoint: Endpoint
    /// All that are to be bound; one at least, unless it is a path.
    package let addresses: [SocketAddress]

    /// Looks the endpoint's host up on a thread of its own. Throws ``TransportError``.
    package static func find(_ text: String) async throws(TransportError) -> ListenAddress {
        let endpoint = try Endpoint(text)
        guard case .tcp(let place) = endpoint, case .name = place.host else {
            return try ListenAddress(lookingUp: text)
        }
        let result = await onThread { () -> Result<ListenAddress, TransportError> in
            do throws(TransportError) {
                return .success(try ListenAddress(lookingUp: text))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The same, and the caller waits while a name is looked up. Throws ``TransportError``.
    package init(lookingUp text: String) throws(TransportError) {
        endpoint = try Endpoint(text)
        guard case .tcp(let place) = endpoint else {
            addresses = []
            return
        }
        let found: [IPAddress]
        switch place.host {
        // A socket of IPv6 takes both families in, where there is IPv6.
        case .any: found = [.any(Lookup.hasIPv6 ? .v6 : .v4)]
        case .address(let address): found = [address]
        case .name(let name):
            do { found = try Lookup.here(name) } catch {
                throw .system(operation: "listen on", endpoint: text, reason: "\(error)")
            }
        }
        addresses = found.map { SocketAddress($0, port: place.port) }
    }

    package var description: String { "\(endpoint)" }

    /// Whether only this machine can reach it.
    package var staysOnMachine: Bool { addresses.allSatisfy { $0.address.isLoopback } }

    /// What a name means here that other machines will look up in vain: one for them too, it
    /// seems, and only loopback here.
    package var surprise: String? {
        guard case .tcp(let place) = endpoint, case .name(let name) = place.host,
            staysOnMachine, name != "localhost", !NetworkInterface.exists(name)
        else { return nil }
        return "here \(name) is \(addresses[0].address), which no other machine can reach"
    }

    /// Where it is, with the port that it got: as it was written.
    package func endpoint(port: UInt16) -> Endpoint {
        guard case .tcp(let place) = endpoint else { return endpoint }
        return .tcp(place.with(port: port))
    }

    /// Where processes of this machine find it.
    package func local(port: UInt16) -> Endpoint {
        guard let first = addresses.first?.address else { return endpoint }
        return Self.numeric(first.isAny ? .loopback : first, port)
    }

    /// Where other machines find it. What is bound to every address is told under the first that
    /// leads off this machine, or under this machine's name if there is none; an interface, under
    /// its address; a name stays a name, for it may move.
    package func advertised(
        port: UInt16, interfaces: [NetworkInterface] = .all, hostName: @autoclosure () -> String
    ) -> Endpoint {
        guard case .tcp(let place) = endpoint, let first = addresses.first?.address else {
            return endpoint
        }
        if first.isAny {
            let families: [IPAddress.Family] =
                switch place.host {
                case .address: first.family == .v6 ? [.v6, .v4] : [.v4]
                case .any, .name: [.v4, .v6]
                }
            if let address = NetworkInterface.outward(families, among: interfaces) {
                return Self.numeric(address, port)
            }
            return (try? Endpoint("tcp://\(hostName()):\(port)")) ?? endpoint(port: port)
        }
        if case .name(let name) = place.host, NetworkInterface.exists(name, among: interfaces) {
            return Self.numeric(first, port)
        }
        return endpoint(port: port)
    }

    private static func numeric(_ address: IPAddress, _ port: UInt16) -> Endpoint {
        .tcp(HostPort(SocketAddress(address, port: port)))
    }
}
