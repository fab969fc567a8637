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

    /// The peer sent something that makes no sense. A transport with an outside world ends a
    /// connection that does so again and again.
    func complain(about peer: PeerID)

    /// What came to the door so far; to be asked from any thread.
    var counters: TransportCounters { get }

    /// No more sends; `run` returns soon.
    func shutdown()
}

extension CoordinatorTransport {
    package func complain(about peer: PeerID) {}
    package var counters: TransportCounters { TransportCounters() }
}

/// A worker's end: one coordinator, redialled for ever.
package protocol WorkerTransport: Sendable {
    associatedtype Inbound: AsyncSequence<Frames, Never> & Sendable

    /// Where the coordinator is.
    var endpoint: String { get }

    /// Order is kept. Ends when the transport is over. To be iterated once.
    var inbound: Inbound { get }

    /// Why no coordinator is reached, in a few words; nil while one is, or nobody knows.
    var trouble: String? { get }

    /// Calls `onTick` every `tickInterval` from a thread that nothing else can hold up.
    func run(tickInterval: Duration, onTick: @escaping @Sendable () -> Void) async throws

    /// Hands a message over; never waits. An expendable one is dropped when others still wait
    /// for a connection.
    func send(_ frames: Frames, expendable: Bool)

    /// No more sends; `run` returns soon.
    func shutdown()
}

extension WorkerTransport {
    package var trouble: String? { nil }
}

/// Why a transport cannot work.
package enum TransportError: Error, Equatable, CustomStringConvertible {
    /// The endpoint is not of the form that the transport understands.
    case invalidEndpoint(String, reason: String)
    /// The address leaves this machine and nobody said that plaintext may.
    case plaintextRefused(String)
    /// The coordinator does not authorise this worker's key.
    case keyRefused(endpoint: String)
    /// One end encrypts and the other does not.
    case securityMismatch(endpoint: String, weEncrypt: Bool)
    /// Whoever listens there ends every handshake: it has another server key, or is somebody else.
    case handshakeRefused(endpoint: String, times: Int)
    /// The operating system or the library said no.
    case system(operation: String, endpoint: String, reason: String)

    package var description: String {
        switch self {
        case .invalidEndpoint(let endpoint, let reason):
            "'\(endpoint)' is no endpoint: \(reason); expected something like "
                + "tcp://127.0.0.1:5570"
        case .plaintextRefused(let endpoint):
            "\(endpoint) leaves this machine and the connection is not encrypted; give keys "
                + "(--join, or --key), use a loopback address, or say --insecure on a network "
                + "you trust"
        case .keyRefused(let endpoint):
            "the coordinator at \(endpoint) refused this worker's key: it is not authorised, "
                + "was revoked, or has expired; ask for a new token (tessera token create)"
        case .securityMismatch(let endpoint, let weEncrypt):
            weEncrypt
                ? "the coordinator at \(endpoint) speaks plaintext and this worker has keys; "
                    + "start the coordinator with keys, or this worker with --connect alone"
                : "the coordinator at \(endpoint) wants an encrypted connection and this worker "
                    + "has no key; use --join with its token or join file, or --key and "
                    + "--server-key"
        case .handshakeRefused(let endpoint, let times):
            "whoever listens at \(endpoint) ended \(times) handshakes: it has another key than "
                + "the one in --server-key or the token, has no room, or is no coordinator"
        case .system(let operation, let endpoint, let reason):
            "cannot \(operation) \(endpoint): \(reason)"
        }
    }
}
