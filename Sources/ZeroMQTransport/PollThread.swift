internal import ClusterCore
internal import DequeModule
internal import Locking

/// The only thread that touches a socket: it sends what others put into the outbox, hands on what
/// comes in, and keeps the time, whatever the rest of the process does.
final class PollThread: Sendable {
    /// What a transport does on this thread. Called on it and nowhere else.
    protocol Delegate: AnyObject, Sendable {
        /// Whether a message could be handed on.
        var hasRoom: Bool { get }
        /// Whether somebody is connected who was told something and should close first: closing
        /// over unread bytes resets a connection and destroys what the peer has not read yet.
        var hasPeers: Bool { get }
        func received(_ parts: [[UInt8]], from origin: ZMQSocket.Origin)
        func noticed(_ event: ZMQSocket.MonitorEvent, _ socket: ZMQSocket)
        /// Something outside wants to be looked at.
        func woken(_ socket: ZMQSocket)
        /// Whether a message may still go out.
        func mayGo(_ parts: [[UInt8]]) -> Bool
        /// Why there is no point in going on.
        var failure: (any Error)? { get }
        /// A round in which nothing more could be received. True: another one is wanted soon.
        func settled() -> Bool
        /// A message that could not be sent. False: keep it and try again when there is room.
        func undelivered(_ parts: [[UInt8]], _ outcome: ZMQSocket.SendOutcome) -> Bool
        func tick(_ socket: ZMQSocket)
    }

    /// Things seen in one go: a flood of connections must not keep this thread from its work.
    private static let eventsPerPass = 4096

    private enum Stop: Comparable {
        case no, whenSent, atOnce
    }

    private struct Shared {
        var outbox: Deque<[[UInt8]]> = []
        var stop = Stop.no
        var hasStarted = false
    }

    /// Messages handed on in one round, so that sending and ticking get their turn.
    private static let messagesPerRound = 64

    /// How soon the next round comes when the delegate waits for one.
    private static let soon: Duration = .milliseconds(5)

    private let socket: ZMQSocket
    private let wakeup: Wakeup
    private let limits: Limits
    private let shared = Lock(Shared())

    init(socket: ZMQSocket, wakeup: Wakeup, limits: Limits) {
        self.socket = socket
        self.wakeup = wakeup
        self.limits = limits
    }

    // MARK: From any thread

    /// False when the outbox is full or the thread is to stop. An expendable message is also
    /// dropped when others wait.
    func enqueue(_ parts: [[UInt8]], expendable: Bool = false) -> Bool {
        let isTaken = shared.withLock { shared in
            guard shared.stop == .no, shared.outbox.count < limits.maximumOutbox,
                !expendable || shared.outbox.isEmpty
            else { return false }
            shared.outbox.append(parts)
            return true
        }
        if isTaken { wakeup.signal() }
        return isTaken
    }

    /// Ends the thread when the outbox is empty and the peers have closed, `Limits.linger` later
    /// at most; or at once.
    func stop(atOnce: Bool) {
        shared.withLock { $0.stop = max($0.stop, atOnce ? .atOnce : .whenSent) }
        wakeup.signal()
    }

    /// Runs the thread until it was stopped. Once in a thread's life.
    func run(_ delegate: any Delegate, tickInterval: Duration) async {
        let isFirst = shared.withLock { shared in
            defer { shared.hasStarted = true }
            return !shared.hasStarted
        }
        precondition(isFirst, "a transport runs once")
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                startThread {
                    self.loop(delegate, tickInterval: tickInterval)
                    continuation.resume()
                }
            }
        } onCancel: {
            stop(atOnce: true)
        }
    }

    // MARK: On the thread

    private func loop(_ delegate: any Delegate, tickInterval: Duration) {
        let clock = ContinuousClock()
        var nextTick = clock.now
        var stopDeadline: ContinuousClock.Instant?
        var isBlocked = false
        var isUnsettled = false
        while true {
            var next = min(nextTick, stopDeadline ?? nextTick)
            if isUnsettled { next = min(next, clock.now + Self.soon) }
            let ready = socket.poll(
                receive: delegate.hasRoom, send: isBlocked, wakeup: wakeup.descriptor,
                timeout: next - clock.now)
            if ready.isWoken { wakeup.drain() }
            passMonitorEvents(to: delegate)
            if ready.isWoken { delegate.woken(socket) }
            if ready.canReceive {
                receive(for: delegate)
            } else if delegate.hasRoom {
                isUnsettled = delegate.settled()
            }
            isBlocked = !flush(delegate)
            if clock.now >= nextTick {
                delegate.tick(socket)
                nextTick = clock.now + tickInterval
            }
            if delegate.failure != nil { return socket.close(linger: .zero) }
            let (stop, isEmpty) = shared.withLock { ($0.stop, $0.outbox.isEmpty) }
            guard stop != .no else { continue }
            let deadline = stopDeadline ?? clock.now + limits.linger
            stopDeadline = deadline
            let isDone = isEmpty && !delegate.hasPeers
            if stop == .atOnce || isDone || clock.now >= deadline {
                return socket.close(linger: stop == .atOnce ? .zero : limits.linger)
            }
        }
    }

    private func passMonitorEvents(to delegate: any Delegate) {
        for _ in 0..<Self.eventsPerPass {
            guard let event = socket.nextMonitorEvent() else { return }
            delegate.noticed(event, socket)
        }
    }

    private func receive(for delegate: any Delegate) {
        // A routing id and the header before the tensors.
        let maximumParts = limits.maximumTensorFrames + 2
        for _ in 0..<Self.messagesPerRound where delegate.hasRoom {
            guard let (parts, origin) = socket.receive(maximumParts: maximumParts + 1) else {
                return
            }
            // Descriptors are used again: what happened to the old connection comes first.
            passMonitorEvents(to: delegate)
            delegate.received(parts, from: origin)
        }
    }

    /// Sends what waits; false when the socket takes nothing now.
    private func flush(_ delegate: any Delegate) -> Bool {
        while let parts = shared.withLock({ $0.outbox.popFirst() }) {
            let outcome = delegate.mayGo(parts) ? socket.send(parts) : .unreachable
            guard outcome != .sent, !delegate.undelivered(parts, outcome) else { continue }
            shared.withLock { $0.outbox.prepend(parts) }
            return false
        }
        return true
    }
}
