internal import ClusterCore

/// What a router knows of its connections, as a value: who speaks by which descriptor, whose
/// message does not end, and what was turned away. Decides; does nothing.
struct ConnectionLedger: Sendable {
    /// One open connection.
    struct Connection: Hashable, Sendable {
        /// The kernel's own number of the connection: descriptors are used again, these are not.
        let cookie: UInt64
        let acceptedAt: ContinuousClock.Instant
        /// Who last wrote by it.
        var peer: PeerID?
        /// The key that it was let in with, as messages bear it.
        var userID = ""
        /// Rises by ``complaintWeight`` with each complaint, falls by one with each message: some
        /// damage on the way is no enemy.
        var annoyance = 0
        /// Bytes that had come when its last whole message did, and when that was.
        var bytesAtMessage: UInt64 = 0
        var messageAt: ContinuousClock.Instant
        var hasNewMessage = false
    }

    private static let complaintWeight = 8

    private(set) var connections: [Int32: Connection] = [:]
    private(set) var counters = TransportCounters()
    /// Failed handshakes whose connection has not been seen to end, and established connections
    /// that have not spoken. libzmq's events do not say which connection they are about; with one
    /// I/O thread their numbers are right.
    private var (failed, silent) = (0, 0)
    private let limits: Limits

    init(limits: Limits) { self.limits = limits }

    // MARK: What happened

    mutating func accepted(_ descriptor: Int32, cookie: UInt64, at now: ContinuousClock.Instant) {
        counters.accepted += 1
        connections[descriptor] = Connection(cookie: cookie, acceptedAt: now, messageAt: now)
    }

    mutating func established() {
        counters.established += 1
        silent += 1
    }

    /// `reason` is nil when somebody else counts it.
    mutating func handshakeFailed(_ reason: RefusalReason?) {
        if let reason { counters.refuse(reason) }
        failed += 1
    }

    mutating func refuse(_ reason: RefusalReason, _ count: Int = 1) {
        counters.refuse(reason, count)
    }

    /// The peer that spoke by the connection, now lost.
    mutating func disconnected(_ descriptor: Int32) -> PeerID? {
        counters.ended += 1
        guard let connection = connections.removeValue(forKey: descriptor) else { return nil }
        if let peer = connection.peer { return peer }
        if failed > 0 {
            failed -= 1
        } else if silent > 0 {
            silent -= 1
            counters.endedUnheard += 1
        } else {
            // Neither an error nor a success: libzmq dropped it at the greeting.
            counters.refuse(.notZMTP)
        }
        return nil
    }

    /// A whole message came by `descriptor`; false when that connection has ended.
    mutating func heard(_ peer: PeerID, userID: String, by descriptor: Int32) -> Bool {
        counters.messages += 1
        guard var connection = connections[descriptor] else { return false }
        if connection.peer == nil { silent = max(0, silent - 1) }
        connection.peer = peer
        connection.userID = userID
        connection.hasNewMessage = true
        connection.annoyance = max(0, connection.annoyance - 1)
        connections[descriptor] = connection
        return true
    }

    /// The descriptors of a peer that has sent little but nonsense.
    mutating func complained(about peer: PeerID) -> [Int32] {
        let limit = limits.maximumMalformed * (Self.complaintWeight - 1)
        var overdue: [Int32] = []
        for (descriptor, connection) in connections where connection.peer == peer {
            let annoyance = connection.annoyance + Self.complaintWeight
            connections[descriptor]?.annoyance = annoyance
            if annoyance >= limit, connection.annoyance < limit { overdue.append(descriptor) }
        }
        return overdue
    }

    // MARK: What is to be done

    /// Connections of keys that may no longer speak, and, of unknown key, those that have not
    /// spoken yet: theirs may be the revoked one, and the others dial again.
    func outlawed(permitted: Set<String>) -> [Int32] {
        connections.filter { $0.value.peer == nil || !permitted.contains($0.value.userID) }
            .map(\.key)
    }

    /// Connections that have had time enough: to say a first word, or to end a message.
    /// `bytesReceived` asks the kernel; nil is a connection that it does not count for.
    mutating func overdue(
        at now: ContinuousClock.Instant,
        bytesReceived: (Int32) -> UInt64?
    ) -> [(descriptor: Int32, reason: RefusalReason)] {
        var overdue: [(Int32, RefusalReason)] = []
        let longest = UInt64((limits.maximumTensorFrames + 2) * limits.maximumFrameBytes)
        for (descriptor, connection) in connections {
            if connection.peer == nil, now - connection.acceptedAt > limits.lostAfter {
                overdue.append((descriptor, .silent))
                continue
            }
            guard let bytes = bytesReceived(descriptor) else { continue }
            if connection.hasNewMessage {
                connections[descriptor]?.hasNewMessage = false
                connections[descriptor]?.bytesAtMessage = bytes
                connections[descriptor]?.messageAt = now
                continue
            }
            let unfinished = bytes - min(bytes, connection.bytesAtMessage)
            let isSlow =
                unfinished > UInt64(limits.maximumFrameBytes)
                && now - connection.messageAt > limits.lostAfter
            if unfinished > longest || isSlow { overdue.append((descriptor, .endlessMessage)) }
        }
        return overdue
    }
}
