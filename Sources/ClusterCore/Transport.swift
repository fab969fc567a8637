/// One message as it travels: a header frame and the tensor frames after it.
package typealias Frames = [[UInt8]]

/// What a coordinator's transport has to tell.
package enum CoordinatorTransportEvent: Sendable {
    case received(Frames, from: PeerID)
    /// The peer's connection ended, or a message could not be handed to it.
    case lost(PeerID)
}

/// The coordinator's end: many peers, each known by the address it wrote from.
///
/// Life: `run(tickInterval:onTick:)` returns when the transport is over. `shutdown()` ends it in
/// order, after what was sent has gone out; cancelling the task that runs it ends it at once.
package protocol CoordinatorTransport: Sendable {
    associatedtype Inbound: AsyncSequence<CoordinatorTransportEvent, Never> & Sendable

    /// Where workers connect to, with the real port.
    var endpoint: String { get }

    /// Order is kept per peer. Ends when the transport is over. To be iterated once.
    var inbound: Inbound { get }

    /// Calls `onTick` every `tickInterval` from a thread that nothing else can hold up.
    func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws

    /// Hands a message over; never waits. One that cannot be delivered ends in
    /// ``CoordinatorTransportEvent/lost(_:)``, so nothing is queued without the caller knowing.
    func send(_ frames: Frames, to peer: PeerID)

    /// No more sends; `run` returns soon.
    func shutdown()
}

/// A worker's end: one coordinator, redialled for ever.
package protocol WorkerTransport: Sendable {
    associatedtype Inbound: AsyncSequence<Frames, Never> & Sendable

    /// Where the coordinator is.
    var endpoint: String { get }

    /// Order is kept. Ends when the transport is over. To be iterated once.
    var inbound: Inbound { get }

    /// Calls `onTick` every `tickInterval` from a thread that nothing else can hold up.
    func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws

    /// Hands a message over; never waits. An expendable one is dropped when others still wait
    /// for a connection.
    func send(_ frames: Frames, expendable: Bool)

    /// No more sends; `run` returns soon.
    func shutdown()
}

/// Why a transport cannot work.
package enum TransportError: Error, Equatable, CustomStringConvertible {
    /// The endpoint is not of the form that the transport understands.
    case invalidEndpoint(String, reason: String)
    /// The address leaves this machine and nobody said that plaintext may.
    case plaintextRefused(String)
    /// The operating system or the library said no.
    case system(operation: String, endpoint: String, reason: String)

    package var description: String {
        switch self {
        case .invalidEndpoint(let endpoint, let reason):
            "'\(endpoint)' is no endpoint: \(reason); expected something like "
                + "tcp://127.0.0.1:5570"
        case .plaintextRefused(let endpoint):
            "\(endpoint) leaves this machine and the connection is not encrypted; use a loopback "
                + "address, or --insecure on a network you trust"
        case .system(let operation, let endpoint, let reason):
            "cannot \(operation) \(endpoint): \(reason)"
        }
    }
}
