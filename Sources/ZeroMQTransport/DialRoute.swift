internal import ClusterCore
internal import NetworkAddresses

/// Which address to dial next, as a value. A name's addresses are dialled in turn, and it is looked
/// up anew after each round; what is not a name has one, which libzmq redials by itself.
struct DialRoute: Sendable {
    private enum State: Equatable {
        /// To be looked up then.
        case waiting(until: ContinuousClock.Instant)
        case lookingUp
        case dialling
        case connected
    }

    /// How soon a name is looked up again when nobody answered at any of its addresses; doubled
    /// each time up to the longest, as libzmq does for one address.
    private static let (shortestWait, longestWait): (Duration, Duration) = (
        .milliseconds(100), .seconds(5)
    )

    private let endpoint: Endpoint
    private let mayLeaveMachine: Bool
    private var state = State.dialling
    /// What is left of the round.
    private var round: [SocketAddress] = []
    private var rounds = 0
    /// What is dialled; nil before a name was looked up.
    private(set) var current: Target?

    /// Throws ``TransportError/plaintextRefused(_:)``; of a name only ``found(_:at:)`` can.
    init(
        to endpoint: Endpoint, mayLeaveMachine: Bool, at now: ContinuousClock.Instant
    ) throws(TransportError) {
        self.endpoint = endpoint
        self.mayLeaveMachine = mayLeaveMachine
        switch endpoint {
        case .ipc(let path): current = .path(path)
        case .tcp(let place):
            guard case .address(let address) = place.host else {
                state = .waiting(until: now)
                return
            }
            try Self.judge([address], of: endpoint, mayLeaveMachine: mayLeaveMachine)
            current = .address(SocketAddress(address, port: place.port))
        }
    }

    /// Throws ``TransportError/plaintextRefused(_:)`` unless all of the addresses are this
    /// machine's own, or need not be.
    static func judge(
        _ addresses: [IPAddress], of endpoint: Endpoint, mayLeaveMachine: Bool
    ) throws(TransportError) {
        guard mayLeaveMachine || addresses.allSatisfy(\.isLoopback) else {
            throw .plaintextRefused("\(endpoint)")
        }
    }

    private var place: HostPort? {
        guard case .tcp(let place) = endpoint, case .name = place.host else { return nil }
        return place
    }

    /// The name that is to be looked up now; asked again, it is nil until there is an answer.
    mutating func nameDue(at now: ContinuousClock.Instant) -> String? {
        guard case .waiting(let due) = state, now >= due, case .name(let name)? = place?.host else {
            return nil
        }
        state = .lookingUp
        return name
    }

    /// A name's addresses, or none. The address to dial, if any. Throws
    /// ``TransportError/plaintextRefused(_:)``.
    mutating func found(
        _ addresses: [IPAddress], at now: ContinuousClock.Instant
    ) throws(TransportError) -> Target? {
        // Else libzmq has reached the old one meanwhile.
        guard state == .lookingUp, let place else { return nil }
        try Self.judge(addresses, of: endpoint, mayLeaveMachine: mayLeaveMachine)
        round = addresses.map { SocketAddress($0, port: place.port) }
        return next(at: now)
    }

    /// Nobody was reached, or nobody fitting. The address to dial instead, if any.
    mutating func failed(at now: ContinuousClock.Instant) -> Target? {
        guard place != nil, state == .dialling else { return nil }
        return next(at: now)
    }

    private mutating func next(at now: ContinuousClock.Instant) -> Target? {
        guard !round.isEmpty else {
            let wait = min(Self.shortestWait * (1 << min(rounds, 10)), Self.longestWait)
            rounds += 1
            state = .waiting(until: now + wait)
            return nil
        }
        state = .dialling
        current = .address(round.removeFirst())
        return current
    }

    mutating func connected() {
        state = .connected
        rounds = 0
    }

    /// libzmq dials the same address again.
    mutating func disconnected() {
        if state == .connected {
            state = .dialling
            round = []
        }
    }
}
