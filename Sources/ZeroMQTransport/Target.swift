internal import CZeroMQ
internal import ClusterCore
internal import Glibc
internal import NetworkAddresses

/// What libzmq is given: numbers, so that it looks nothing up, and what was judged is what is used.
enum Target: Hashable, Sendable {
    case address(SocketAddress)
    case path(String)

    var text: String {
        switch self {
        case .address(let place): "tcp://\(place)"
        case .path(let path): "ipc://\(path)"
        }
    }

    /// 0 is a free one, or none.
    var port: UInt16 { if case .address(let place) = self { place.port } else { 0 } }

    var isIPv6: Bool {
        if case .address(let place) = self { place.domain == AF_INET6 } else { false }
    }

    /// Every address of this machine.
    var isAny: Bool { if case .address(let place) = self { place.address.isAny } else { false } }

    func with(port: UInt16) -> Target {
        guard case .address(let place) = self else { return self }
        return .address(SocketAddress(place.address, port: port))
    }
}

extension ListenAddress {
    var targets: [Target] {
        if case .ipc(let path) = endpoint { [.path(path)] } else { addresses.map(Target.address) }
    }
}

extension ZMQSocket {
    /// A free port of one address may be taken at the next: how often another one is tried.
    private static let freePortAttempts = 16

    /// Binds to all of these, with one port for all of them, which it returns; 0 for a path. An
    /// address that just went, or is not there yet, is left out if there is another.
    func bind(to targets: [Target]) throws(TransportError) -> UInt16 {
        for attempt in 1... {
            var bound: [Target] = []
            var failure: (target: Target, number: Int32)?
            for target in targets {
                let wanted = bound.first.map { target.with(port: $0.port) } ?? target
                switch bind(to: wanted) {
                case .success(let port): bound.append(wanted.with(port: port))
                case .failure(let error):
                    if error.number != EADDRNOTAVAIL || targets.count == 1 {
                        failure = failure ?? (wanted, error.number)
                    }
                }
            }
            if failure == nil, let first = bound.first { return first.port }
            let (target, number) = failure ?? (targets[0], EADDRNOTAVAIL)
            let isUnlucky = number == EADDRINUSE && targets[0].port == 0 && !bound.isEmpty
            guard isUnlucky, attempt < Self.freePortAttempts else {
                throw listenFailure(number, target)
            }
            for target in bound { unbind(target) }
        }
        preconditionFailure("the loop has no end")
    }

    private func listenFailure(_ number: Int32, _ target: Target) -> TransportError {
        let reason =
            switch number {
            case _ where target.isIPv6 && !Lookup.hasIPv6: "this machine has no IPv6"
            case EADDRNOTAVAIL: "this machine has no such address"
            default: unsafe String(cString: zmq_strerror(number))
            }
        // [::] stands for addresses of both families, and says nothing to who wrote *.
        let isSaid = target.text == endpoint || target.port == 0 || target.isAny
        let place = isSaid ? "" : " (\(target.text))"
        return .system(operation: "listen on", endpoint: endpoint, reason: reason + place)
    }
}
