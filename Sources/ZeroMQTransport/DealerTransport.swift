package import ClusterCore
internal import CZeroMQ

/// A worker's end over a ZeroMQ DEALER socket: dials out, and redials with back-off for ever.
package final class DealerTransport: WorkerTransport {
    package let endpoint: String
    package let inbound: Inbox<Frames>
    private let thread: PollThread

    /// Returns at once, connected or not. Each transport has a random address of its own, so a
    /// restarted worker is never taken for its former self. Plaintext: throws
    /// ``TransportError/plaintextRefused(_:)`` for an address off this machine unless `insecure`.
    package init(
        connecting endpoint: String,
        insecure: Bool = false,
        limits: Limits = .standard
    ) throws(TransportError) {
        try Endpoint.check(endpoint, insecure: insecure, isBinding: false)
        let socket = try ZMQSocket(type: ZMQ_DEALER, endpoint: endpoint)
        // Addresses that begin with a zero byte are libzmq's own.
        var random = SystemRandomNumberGenerator()
        let routingID = (0..<16).map { _ in UInt8.random(in: 1...255, using: &random) }
        try socket.setDealerOptions(limits, routingID: routingID)
        try socket.connect()
        self.endpoint = endpoint
        let wakeup = try Wakeup()
        inbound = Inbox(limit: limits.maximumInbox, onRoom: { wakeup.signal() })
        thread = PollThread(socket: socket, wakeup: wakeup, limits: limits)
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        let delegate = DealerDelegate(inbox: inbound, onTick: onTick)
        await thread.run(delegate, tickInterval: tickInterval)
        inbound.finish()
    }

    package func send(_ frames: Frames, expendable: Bool) {
        // A full outbox means minutes without a connection; leases cover what is dropped then.
        _ = thread.enqueue(frames, expendable: expendable)
    }

    package func shutdown() { thread.stop(atOnce: false) }
}

private final class DealerDelegate: PollThread.Delegate {
    private let inbox: Inbox<Frames>
    private let onTick: @Sendable () -> Void

    init(inbox: Inbox<Frames>, onTick: @escaping @Sendable () -> Void) {
        self.inbox = inbox
        self.onTick = onTick
    }

    var hasRoom: Bool { inbox.hasRoom }
    var hasPeers: Bool { false }
    func received(_ parts: [[UInt8]], descriptor: Int32) { inbox.put(parts) }
    func noticed(_ event: ZMQSocket.MonitorEvent) {}
    func settled() -> Bool { false }

    /// Without a connection a message waits for one.
    func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool {
        outcome != .again
    }

    func tick() { onTick() }
}
