package import ClusterCore
internal import CZeroMQ
internal import Locking
internal import NetworkAddresses

/// A worker's end over a ZeroMQ DEALER socket: dials out, and redials with back-off until it is
/// refused for good.
package final class DealerTransport: WorkerTransport {
    package let endpoint: String
    package let inbound: Inbox<Frames>
    private let thread: PollThread
    private let delegate: DealerDelegate

    /// Returns at once, connected or not; a name is looked up meanwhile, and its addresses are
    /// dialled in turn. Each transport has a random address of its own, so a
    /// restarted worker is never taken for its former self. `onNotice` is told, on the
    /// transport's thread, what a person should know.
    ///
    /// Throws ``TransportError``: plaintext for an address off this machine is refused unless
    /// that was asked for; for a name that means one, by ``run(tickInterval:onTick:)``.
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
        let place = try Endpoint(dialling: endpoint)
        let route = try DialRoute(
            to: place, mayLeaveMachine: security.allowsAnyAddress, at: ContinuousClock.now)
        let socket = try ZMQSocket(type: ZMQ_DEALER, endpoint: endpoint)
        try socket.setDealerOptions(limits, routingID: routingID)
        try socket.setSecurity(security)
        try socket.openMonitor()
        if let target = route.current { try socket.connect(to: target) }
        self.endpoint = endpoint
        let wakeup = try Wakeup()
        inbound = Inbox(limit: limits.maximumInbox, onRoom: { wakeup.signal() })
        thread = PollThread(socket: socket, wakeup: wakeup, limits: limits)
        let encrypts = if case .curve = security { true } else { false }
        delegate = DealerDelegate(
            endpoint: endpoint,
            inbox: inbound,
            wakeup: wakeup,
            route: route,
            record: DialRecord(
                endpoint: endpoint, encrypts: encrypts, silenceLimit: limits.lostAfter),
            onNotice: onNotice)
    }

    /// Throws ``TransportError`` when the endpoint is none, or when plaintext for it would be
    /// refused, as far as its name can be looked up now. For whoever has much to do before
    /// dialling.
    package static func check(
        _ endpoint: String, security: DialSecurity
    ) async throws(TransportError) {
        let place = try Endpoint(dialling: endpoint)
        _ = try DialRoute(
            to: place, mayLeaveMachine: security.allowsAnyAddress, at: ContinuousClock.now)
        guard !security.allowsAnyAddress, case .tcp(let address) = place,
            case .name(let name) = address.host
        else { return }
        let found = await onThread { (try? Lookup.machine(name)) ?? [] }
        try DialRoute.judge(found, of: place, mayLeaveMachine: false)
    }

    package var trouble: String? { delegate.trouble.withLock { $0 } }

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

// Sendable: set before the poll thread starts or touched by it alone, `trouble` apart; read after
// it ended.
private final class DealerDelegate: PollThread.Delegate, @unchecked Sendable {
    var onTick: @Sendable () -> Void = {}
    private(set) var failure: (any Error)?
    /// Why nobody is reached; nil while somebody is. To be read by any thread.
    let trouble = Lock<String?>(nil)
    private let inbox: Inbox<Frames>
    private let wakeup: Wakeup
    private let onNotice: @Sendable (String) -> Void
    private let clock = ContinuousClock()
    private let endpoint: String
    /// What other threads came back with.
    private let answers = Lock<[Answer]>([])
    private var route: DialRoute
    private var record: DialRecord
    /// When what is under way was dialled.
    private var dialledAt: ContinuousClock.Instant
    private var failures = 0
    private var hasTold = false
    /// Whether somebody listens at what is dialled and has not shaken hands yet.
    private var isAnswered = false

    private static let strangeAnswer = "what listens there does not answer as a coordinator does"

    private enum Answer: Sendable {
        case mechanism(String?)
        case addresses(Result<[IPAddress], LookupFailure>)
    }

    /// One that fails is common where both ends start together.
    private static let failuresTold = 2
    /// Whoever says no says it at once; a machine that is not there is given up after 3 s by the
    /// kernel, one that is silent after `ZMQ_CONNECT_TIMEOUT`.
    private static let silence: Duration = .seconds(2)

    init(
        endpoint: String, inbox: Inbox<Frames>, wakeup: Wakeup, route: DialRoute,
        record: DialRecord, onNotice: @escaping @Sendable (String) -> Void
    ) {
        self.endpoint = endpoint
        self.inbox = inbox
        self.wakeup = wakeup
        self.route = route
        self.record = record
        self.onNotice = onNotice
        dialledAt = clock.now
    }

    var hasRoom: Bool { inbox.hasRoom }
    var hasPeers: Bool { false }

    func received(_ parts: [[UInt8]], from origin: ZMQSocket.Origin) {
        record.heard(at: clock.now)
        inbox.put(parts)
    }

    func noticed(_ event: ZMQSocket.MonitorEvent, _ socket: ZMQSocket) {
        let handshake: DialRecord.Handshake
        switch event {
        case .established: handshake = .succeeded
        case .refusedAtDoor(400): handshake = .keyRefused
        case .refusedAtDoor: handshake = .garbled
        case .brokeOff: handshake = .failed
        case .brokeProtocol(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): handshake = .mismatched
        case .brokeProtocol: handshake = .garbled
        case .connected:
            // Forgotten as soon as a handshake succeeds.
            isAnswered = true
            return trouble.withLock { $0 = Self.strangeAnswer }
        case .disconnected:
            isAnswered = false
            route.disconnected()
            return record.disconnected(at: clock.now)
        case .dialFailed(let wait): return dialFailed(nextIn: wait, socket)
        case .accepted, .acceptFailed: return
        }
        if handshake == .succeeded {
            route.connected()
            (failures, hasTold, isAnswered) = (0, false, false)
            trouble.withLock { $0 = nil }
        }
        carryOut(record.handshake(handshake, at: clock.now))
        // Where libzmq gives up, the record says when to dial again.
        if handshake == .failed, let next = route.failed(at: clock.now) { dial(next, socket) }
    }

    private func carryOut(_ verdict: DialRecord.Verdict?) {
        switch verdict {
        case .fail(let error): failure = failure ?? error
        case .tell(let notice): onNotice(notice)
        case .askMechanism:
            guard case .address(let place)? = route.current else { return }
            ask { .mechanism(MechanismProbe.ask(place)) }
        case nil: break
        }
    }

    /// Asks what takes its time, which this thread does not have.
    private func ask(_ question: @escaping @Sendable () -> Answer) {
        startThread { [answers, wakeup] in
            let answer = question()
            answers.withLock { $0.append(answer) }
            wakeup.signal()
        }
    }

    // MARK: Dialling

    private func dial(_ target: Target, _ socket: ZMQSocket) {
        isAnswered = false
        socket.redial(to: target)
        dialledAt = clock.now
    }

    private func dialFailed(nextIn wait: Duration, _ socket: ZMQSocket) {
        failures += 1
        missed(
            isAnswered ? Self.strangeAnswer : reasonOfFailure,
            isTold: failures >= Self.failuresTold)
        isAnswered = false
        dialledAt = clock.now + wait
        if let next = route.failed(at: clock.now) { dial(next, socket) }
    }

    private func missed(_ reason: String, isTold: Bool) {
        trouble.withLock { $0 = reason }
        guard isTold, !hasTold else { return }
        hasTold = true
        onNotice("nobody is reached at \(endpoint): \(reason); still trying")
    }

    /// libzmq does not say why. To dial once more and see would be to knock at the door of a
    /// coordinator that has just come back.
    private var reasonOfFailure: String {
        guard case .address(let place)? = route.current else { return "nobody listens there" }
        let reason =
            if let obstacle = Lookup.obstacle(to: place) {
                obstacle
            } else if !place.address.isLoopback, clock.now - dialledAt >= Self.silence {
                "no answer"
            } else {
                "connection refused"
            }
        return endpoint == "tcp://\(place)" ? reason : "\(reason) (\(place))"
    }

    private func found(_ result: Result<[IPAddress], LookupFailure>, _ socket: ZMQSocket) {
        do throws(TransportError) {
            switch result {
            case .success(let addresses):
                if let next = try route.found(addresses, at: clock.now) { dial(next, socket) }
            case .failure(let error):
                // Told at once: it may be a slip of the pen.
                missed("\(error)", isTold: true)
                _ = try route.found([], at: clock.now)
            }
        } catch {
            failure = failure ?? error
        }
    }

    // MARK: The thread's other calls

    func settled() -> Bool { false }

    func woken(_ socket: ZMQSocket) {
        let answers = answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
        for answer in answers {
            switch answer {
            case .mechanism(let mechanism): carryOut(record.learned(mechanism))
            case .addresses(let result): found(result, socket)
            }
        }
    }

    func mayGo(_ parts: [[UInt8]]) -> Bool { true }

    /// Without a connection a message waits for one.
    func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool {
        outcome != .again
    }

    func tick(_ socket: ZMQSocket) {
        onTick()
        if let name = route.nameDue(at: clock.now) {
            ask {
                do throws(LookupFailure) {
                    return .addresses(.success(try Lookup.machine(name)))
                } catch { return .addresses(.failure(error)) }
            }
        }
        switch record.redial(at: clock.now) {
        case nil: return
        case .givenUp: break
        case .unheard:
            onNotice("connected, but nothing was heard; dialling again under another address")
            // It was set once without an error; a second time cannot fail otherwise.
            try? socket.set(ZMQ_ROUTING_ID, DealerTransport.freshRoutingID())
        }
        if let target = route.failed(at: clock.now) ?? route.current { dial(target, socket) }
    }
}
