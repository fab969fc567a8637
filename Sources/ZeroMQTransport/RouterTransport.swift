package import ClusterCore
internal import CZeroMQ
internal import Synchronization

/// The coordinator's end over a ZeroMQ ROUTER socket.
package final class RouterTransport: CoordinatorTransport {
    package let endpoint: String
    package let inbound: Inbox<CoordinatorTransportEvent>
    private let thread: PollThread

    /// Binds at once. `tcp://127.0.0.1:*` takes a free port, which ``endpoint`` then names.
    /// Plaintext: throws ``TransportError/plaintextRefused(_:)`` for an address off this machine
    /// unless `insecure`.
    package init(
        binding endpoint: String,
        insecure: Bool = false,
        limits: Limits = .standard
    ) throws(TransportError) {
        try Endpoint.check(endpoint, insecure: insecure, isBinding: true)
        let socket = try ZMQSocket(type: ZMQ_ROUTER, endpoint: endpoint)
        try socket.setRouterOptions(limits)
        try socket.openMonitor()
        self.endpoint = try socket.bind()
        let wakeup = try Wakeup()
        inbound = Inbox(limit: limits.maximumInbox, onRoom: { wakeup.signal() })
        thread = PollThread(socket: socket, wakeup: wakeup, limits: limits)
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        let delegate = RouterDelegate(inbox: inbound, onTick: onTick)
        await thread.run(delegate, tickInterval: tickInterval)
        inbound.finish()
    }

    package func send(_ frames: Frames, to peer: PeerID) {
        if !thread.enqueue([peer.bytes] + frames) { inbound.put(.lost(peer)) }
    }

    package func shutdown() { thread.stop(atOnce: false) }
}

/// What the router's thread does with what it sees.
// Sendable: the connections' records are touched by the poll thread alone.
private final class RouterDelegate: PollThread.Delegate, @unchecked Sendable {
    private let inbox: Inbox<CoordinatorTransportEvent>
    private let onTick: @Sendable () -> Void
    /// Who wrote last by each open connection's descriptor.
    private var connections: [Int32: PeerID] = [:]
    /// Descriptors of connections that ended and were not accepted anew.
    private var ended: Set<Int32> = []
    /// Peers whose connection ended, in two generations: the monitor is quicker than the last
    /// messages of a connection, which are to be handed on before the loss is.
    private var lost: (young: [PeerID], old: [PeerID]) = ([], [])

    init(inbox: Inbox<CoordinatorTransportEvent>, onTick: @escaping @Sendable () -> Void) {
        self.inbox = inbox
        self.onTick = onTick
    }

    var hasRoom: Bool { inbox.hasRoom }
    var hasPeers: Bool { !connections.isEmpty }

    func received(_ parts: [[UInt8]], descriptor: Int32) {
        guard parts.count >= 2 else { return }
        let peer = PeerID(bytes: parts[0])
        if descriptor >= 0, !ended.contains(descriptor) { connections[descriptor] = peer }
        inbox.put(.received(Array(parts.dropFirst()), from: peer))
    }

    func noticed(_ event: ZMQSocket.MonitorEvent) {
        switch event {
        case .accepted(let descriptor): ended.remove(descriptor)
        case .disconnected(let descriptor):
            ended.insert(descriptor)
            if let peer = connections.removeValue(forKey: descriptor) { lost.young.append(peer) }
        }
    }

    func settled() -> Bool {
        for peer in lost.old { inbox.put(.lost(peer)) }
        lost = ([], lost.young)
        return !lost.old.isEmpty
    }

    /// Credits keep a peer's pipe nearly empty: a full one means that the peer takes nothing.
    func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool {
        inbox.put(.lost(PeerID(bytes: parts[0])))
        return true
    }

    func tick() { onTick() }
}
