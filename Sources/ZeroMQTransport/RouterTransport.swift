package import ClusterCore
internal import CZeroMQ
internal import Locking

/// The coordinator's end over a ZeroMQ ROUTER socket.
package final class RouterTransport: CoordinatorTransport {
    package let endpoint: String
    package let inbound: Inbox<CoordinatorTransportEvent>
    private let thread: PollThread
    private let delegate: RouterDelegate
    private let wakeup: Wakeup

    /// Binds at once. A free port is named by ``endpoint`` then.
    /// `onNotice` is told, on threads of this transport, what a person should know: refusals at
    /// most once per reason and `Limits.refusalLogPeriod`, and changes of the list of keys.
    ///
    /// Throws ``TransportError``: plaintext for an address off this machine is refused unless
    /// that was asked for.
    package init(
        binding listen: ListenAddress,
        security: ListenSecurity,
        limits: Limits = .standard,
        onNotice: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TransportError) {
        guard security.allowsAnyAddress || listen.staysOnMachine else {
            throw .plaintextRefused("\(listen)")
        }
        let socket = try ZMQSocket(type: ZMQ_ROUTER, endpoint: "\(listen)")
        let wakeup = try Wakeup()
        let doorkeeper = Doorkeeper(keys: security.keys)
        try socket.setRouterOptions(limits)
        try socket.setSecurity(security)
        try socket.openDoor(doorkeeper, onChange: { wakeup.signal() })
        try socket.openMonitor()
        endpoint = "\(listen.endpoint(port: try socket.bind(to: listen.targets)))"
        self.wakeup = wakeup
        for problem in security.keys?.problems ?? [] { onNotice(problem) }
        inbound = Inbox(limit: limits.maximumInbox, onRoom: { wakeup.signal() })
        thread = PollThread(socket: socket, wakeup: wakeup, limits: limits)
        delegate = RouterDelegate(
            inbox: inbound, doorkeeper: doorkeeper, limits: limits, onNotice: onNotice)
    }

    /// Waits while a name is looked up.
    package convenience init(
        binding endpoint: String,
        security: ListenSecurity,
        limits: Limits = .standard,
        onNotice: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TransportError) {
        try self.init(
            binding: ListenAddress(lookingUp: endpoint), security: security, limits: limits,
            onNotice: onNotice)
    }

    /// Plaintext; off this machine only if `insecure`. Waits while a name is looked up.
    package convenience init(
        binding endpoint: String,
        insecure: Bool = false,
        limits: Limits = .standard
    ) throws(TransportError) {
        try self.init(
            binding: endpoint, security: .plaintext(mayLeaveMachine: insecure), limits: limits)
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        delegate.onTick = onTick
        await thread.run(delegate, tickInterval: tickInterval)
        delegate.publish()
        inbound.finish()
    }

    package func send(_ frames: Frames, to peer: PeerID) {
        if !thread.enqueue([peer.bytes] + frames) { inbound.put(.lost(peer)) }
    }

    package func complain(about peer: PeerID) {
        delegate.complain(about: peer)
        wakeup.signal()
    }

    package var counters: TransportCounters { delegate.shared.withLock { $0.counters } }

    package func shutdown() { thread.stop(atOnce: false) }
}

/// What the router's thread does with what it sees.
// Sendable: all but `shared` is set before the poll thread starts or touched by it alone.
private final class RouterDelegate: PollThread.Delegate, @unchecked Sendable {
    /// What other threads may touch.
    struct Shared {
        var counters = TransportCounters()
        var complaints: [PeerID] = []
    }

    let shared = Lock(Shared())
    var onTick: @Sendable () -> Void = {}
    let failure: (any Error)? = nil
    private let inbox: Inbox<CoordinatorTransportEvent>
    private let doorkeeper: Doorkeeper
    private let limits: Limits
    private let onNotice: @Sendable (String) -> Void
    private let clock = ContinuousClock()
    private var ledger: ConnectionLedger
    private var log: RefusalLog
    /// The user ids that may speak, of the list's `revision`; with keys only.
    private var permitted: Set<String> = []
    private var revision = -1
    /// By whose key each address was first used: another key may not use it.
    private var owners: [PeerID: String] = [:]
    /// Peers whose connection ended, in two generations: the monitor is quicker than the last
    /// messages of a connection, which are to be handed on before the loss is.
    private var lost: (young: [PeerID], old: [PeerID]) = ([], [])

    init(
        inbox: Inbox<CoordinatorTransportEvent>,
        doorkeeper: Doorkeeper,
        limits: Limits,
        onNotice: @escaping @Sendable (String) -> Void
    ) {
        self.inbox = inbox
        self.doorkeeper = doorkeeper
        self.limits = limits
        self.onNotice = onNotice
        ledger = ConnectionLedger(limits: limits)
        log = RefusalLog(period: limits.refusalLogPeriod)
    }

    var hasRoom: Bool { inbox.hasRoom }
    var hasPeers: Bool { ledger.connections.values.contains { $0.peer != nil } }

    // MARK: Messages

    func received(_ parts: [[UInt8]], from origin: ZMQSocket.Origin) {
        guard parts.count >= 2 else { return }
        let peer = PeerID(bytes: parts[0])
        guard isAllowed(peer, origin) else { return }
        let isLive = ledger.heard(peer, userID: origin.userID, by: origin.descriptor)
        // It is back before its loss was told: first things first.
        if isLive { settle { $0 == peer } }
        if isLive { owners[peer] = origin.userID }
        if parts.contains(where: { $0.count > limits.maximumFrameBytes }) {
            ledger.refuse(.oversizedFrame)
        }
        if parts.count > limits.maximumTensorFrames + 2 { ledger.refuse(.tooManyFrames) }
        inbox.put(.received(Array(parts.dropFirst()), from: peer))
    }

    /// Whether a message may be handed on. One that may not ends its connection.
    private func isAllowed(_ peer: PeerID, _ origin: ZMQSocket.Origin) -> Bool {
        let reason: RefusalReason
        if doorkeeper.wantsKeys, !isPermitted(origin.userID) {
            reason = .revokedKey
        } else if let owner = owners[peer], owner != origin.userID {
            reason = .forgedAddress
        } else {
            return true
        }
        ledger.refuse(reason)
        end(origin.descriptor)
        return false
    }

    private func isPermitted(_ userID: String) -> Bool {
        if let changed = doorkeeper.permitted(since: &revision) { permitted = changed }
        return permitted.contains(userID)
    }

    func mayGo(_ parts: [[UInt8]]) -> Bool {
        guard doorkeeper.wantsKeys, let owner = owners[PeerID(bytes: parts[0])] else {
            return true
        }
        return isPermitted(owner)
    }

    /// Credits keep a peer's pipe nearly empty: a full one means that the peer takes nothing.
    func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool {
        inbox.put(.lost(PeerID(bytes: parts[0])))
        return true
    }

    // MARK: Connections

    func noticed(_ event: ZMQSocket.MonitorEvent, _ socket: ZMQSocket) {
        switch event {
        case .accepted(let descriptor): accepted(descriptor)
        case .acceptFailed: ledger.refuse(.acceptFailed)
        case .established: ledger.established()
        // Counted at the door, which knows why.
        case .refusedAtDoor: ledger.handshakeFailed(nil)
        case .brokeProtocol(ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH):
            ledger.handshakeFailed(.noKey)
        case .brokeProtocol(ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC):
            ledger.handshakeFailed(.wrongServerKey)
        case .brokeProtocol: ledger.handshakeFailed(.badHandshake)
        case .brokeOff: ledger.handshakeFailed(.abandoned)
        case .connected, .dialFailed: break
        case .disconnected(let descriptor):
            if let peer = ledger.disconnected(descriptor) { lost.young.append(peer) }
        }
    }

    private func accepted(_ descriptor: Int32) {
        ledger.accepted(
            descriptor, cookie: KernelConnection.cookie(descriptor), at: clock.now)
        let limit = Descriptors.limit
        guard Descriptors.isTableFull(descriptor: descriptor, limit: limit) else { return }
        ledger.refuse(.noDescriptors)
        end(descriptor)
    }

    private func end(_ descriptor: Int32) {
        guard let connection = ledger.connections[descriptor] else { return }
        KernelConnection.end(descriptor, cookie: connection.cookie)
    }

    func settled() -> Bool {
        for peer in lost.old { tellLoss(of: peer) }
        lost = ([], lost.young)
        return !lost.old.isEmpty
    }

    /// Tells now of those losses that would be told soon.
    private func settle(_ isDue: (PeerID) -> Bool) {
        for peer in (lost.old + lost.young) where isDue(peer) { inbox.put(.lost(peer)) }
        lost.old.removeAll(where: isDue)
        lost.young.removeAll(where: isDue)
    }

    private func tellLoss(of peer: PeerID) {
        owners[peer] = nil
        inbox.put(.lost(peer))
    }

    // MARK: Time

    func woken(_ socket: ZMQSocket) {
        let complaints = shared.withLock { shared in
            defer { shared.complaints = [] }
            return shared.complaints
        }
        for peer in complaints {
            for descriptor in ledger.complained(about: peer) {
                ledger.refuse(.malformed)
                end(descriptor)
            }
        }
        guard let changed = doorkeeper.permitted(since: &revision) else { return }
        let hasShrunk = !permitted.isSubset(of: changed)
        permitted = changed
        guard hasShrunk else { return }
        for descriptor in ledger.outlawed(permitted: permitted) {
            if ledger.connections[descriptor]?.peer != nil { ledger.refuse(.revokedKey) }
            end(descriptor)
        }
    }

    func complain(about peer: PeerID) { shared.withLock { $0.complaints.append(peer) } }

    func tick(_ socket: ZMQSocket) {
        onTick()
        for (descriptor, reason) in ledger.overdue(
            at: clock.now, bytesReceived: KernelConnection.bytesReceived)
        {
            ledger.refuse(reason)
            end(descriptor)
        }
        publish()
    }

    /// Brings the counters up to date and tells what is new; also once after the thread's end.
    func publish() {
        let news = doorkeeper.takeNews()
        for (reason, count) in news.refused { ledger.refuse(reason, count) }
        let counters = ledger.counters
        shared.withLock { $0.counters = counters }
        for line in news.notices + log.lines(for: counters, at: clock.now) { onNotice(line) }
    }
}
