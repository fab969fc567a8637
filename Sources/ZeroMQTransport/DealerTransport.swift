package import ClusterCore
internal import CZeroMQ
internal import Locking

/// A worker's end over a ZeroMQ DEALER socket: dials out, and redials with back-off until it is
/// refused for good.
package final class DealerTransport: WorkerTransport {
    package let endpoint: String
    package let inbound: Inbox<Frames>
    private let thread: PollThread
    private let delegate: DealerDelegate

    /// Returns at once, connected or not. Each transport has a random address of its own, so a
    /// restarted worker is never taken for its former self. `onNotice` is told, on the
    /// transport's thread, what a person should know.
    ///
    /// Throws ``TransportError``: plaintext for an address off this machine is refused unless
    /// that was asked for.
    package convenience init(
        connecting endpoint: String,
        security: DialSecurity,
        limits: Limits = .standard,
        onNotice: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TransportError) {
        try self.init(
            connecting: endpoint, security: security, routingID: Self.freshRoutingID(),
            limits: limits, onNotice: onNotice)
    }

    /// Plaintext; off this machine only if `insecure`.
    package convenience init(
        connecting endpoint: String,
        insecure: Bool = false,
        limits: Limits = .standard
    ) throws(TransportError) {
        try self.init(
            connecting: endpoint, security: .plaintext(mayLeaveMachine: insecure), limits: limits)
    }

    /// With a given address: for proving what happens when two are alike.
    package init(
        connecting endpoint: String,
        security: DialSecurity,
        routingID: [UInt8],
        limits: Limits = .standard,
        onNotice: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TransportError) {
        try Endpoint.check(
            endpoint, mayLeaveMachine: security.allowsAnyAddress, isBinding: false)
        let socket = try ZMQSocket(type: ZMQ_DEALER, endpoint: endpoint)
        try socket.setDealerOptions(limits, routingID: routingID)
        try socket.setSecurity(security)
        try socket.openMonitor()
        try socket.connect()
        self.endpoint = endpoint
        let wakeup = try Wakeup()
        inbound = Inbox(limit: limits.maximumInbox, onRoom: { wakeup.signal() })
        thread = PollThread(socket: socket, wakeup: wakeup, limits: limits)
        let encrypts = if case .curve = security { true } else { false }
        delegate = DealerDelegate(
            endpoint: endpoint,
            inbox: inbound,
            record: DialRecord(
                endpoint: endpoint, encrypts: encrypts, silenceLimit: limits.lostAfter),
            onNotice: onNotice)
    }

    /// Addresses that begin with a zero byte are libzmq's own.
    fileprivate static func freshRoutingID() -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return (0..<16).map { _ in UInt8.random(in: 1...255, using: &random) }
    }

    /// Throws ``TransportError`` when the coordinator refuses this worker for good.
    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        delegate.onTick = onTick
        await thread.run(delegate, tickInterval: tickInterval)
        inbound.finish()
        if let failure = delegate.failure { throw failure }
    }

    package func send(_ frames: Frames, expendable: Bool) {
        // A full outbox means minutes without a connection; leases cover what is dropped then.
        _ = thread.enqueue(frames, expendable: expendable)
    }

    package func shutdown() { thread.stop(atOnce: false) }
}

// Sendable: set before the poll thread starts or touched by it alone; read after it ended.
private final class DealerDelegate: PollThread.Delegate, @unchecked Sendable {
    var onTick: @Sendable () -> Void = {}
    private(set) var failure: (any Error)?
    private let inbox: Inbox<Frames>
    private let onNotice: @Sendable (String) -> Void
    private let clock = ContinuousClock()
    private let endpoint: String
    /// What a ``MechanismProbe`` came back with.
    private let answers = Answers([])
    private var record: DialRecord

    private typealias Answers = Lock<[String?]>

    init(
        endpoint: String, inbox: Inbox<Frames>, record: DialRecord,
        onNotice: @escaping @Sendable (String) -> Void
    ) {
        self.endpoint = endpoint
        self.inbox = inbox
        self.record = record
        self.onNotice = onNotice
    }

    var hasRoom: Bool { inbox.hasRoom }
    var hasPeers: Bool { false }

    func received(_ parts: [[UInt8]], from origin: ZMQSocket.Origin) {
        record.heard(at: clock.now)
        inbox.put(parts)
    }

    func noticed(_ event: ZMQSocket.MonitorEvent) {
        let handshake: DialRecord.Handshake
        switch event {
        case .established: handshake = .succeeded
        case .refusedAtDoor(400): handshake = .keyRefused
        case .refusedAtDoor: handshake = .garbled
        case .brokeOff: handshake = .failed
        case .brokeProtocol(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): handshake = .mismatched
        case .brokeProtocol: handshake = .garbled
        case .disconnected: return record.disconnected(at: clock.now)
        case .accepted, .acceptFailed: return
        }
        carryOut(record.handshake(handshake, at: clock.now))
    }

    private func carryOut(_ verdict: DialRecord.Verdict?) {
        switch verdict {
        case .fail(let error): failure = failure ?? error
        case .tell(let notice): onNotice(notice)
        case .askMechanism:
            // It waits, and this thread must not.
            startThread { [endpoint, answers] in
                let mechanism = MechanismProbe.ask(endpoint)
                answers.withLock { $0.append(mechanism) }
            }
        case nil: break
        }
    }

    func settled() -> Bool { false }
    func woken() {}
    func mayGo(_ parts: [[UInt8]]) -> Bool { true }

    /// Without a connection a message waits for one.
    func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool {
        outcome != .again
    }

    func tick(_ socket: ZMQSocket) {
        onTick()
        let learned = answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
        for mechanism in learned { carryOut(record.learned(mechanism)) }
        switch record.redial(at: clock.now) {
        case nil: return
        case .givenUp: break
        case .unheard:
            onNotice("connected, but nothing was heard; dialling again under another address")
            // It was set once without an error; a second time cannot fail otherwise.
            try? socket.set(ZMQ_ROUTING_ID, DealerTransport.freshRoutingID())
        }
        socket.redial()
    }
}
