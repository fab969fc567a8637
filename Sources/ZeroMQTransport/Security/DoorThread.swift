internal import CZeroMQ
internal import ClusterCore
internal import Synchronization

/// The thread that answers `inproc://zeromq.zap.01`, where libzmq asks about every handshake.
///
/// A thread of its own, because it reads the folder of keys: a slow disk must hold up nobody but
/// newcomers. It starts before the socket binds and ends after it is closed: without anyone at
/// the door libzmq would let everyone in.
// Sendable: the handle is used by the thread alone.
@safe
final class DoorThread: @unchecked Sendable {
    private static let address = "inproc://zeromq.zap.01"
    /// How often the folder of keys is looked at: the time a revocation takes.
    private static let refreshMilliseconds = 250
    /// How soon it is looked at again while many knock.
    private static let soonest: Duration = .milliseconds(100)

    private let handle: UnsafeMutableRawPointer
    private let doorkeeper: Doorkeeper
    private let wakeup: Wakeup
    private let isStopping = Atomic(false)
    private let onChange: @Sendable () -> Void

    /// `onChange` is called on the thread when the list of keys changed.
    init(
        context: UnsafeMutableRawPointer,
        doorkeeper: Doorkeeper,
        endpoint: String,
        onChange: @escaping @Sendable () -> Void
    ) throws(TransportError) {
        wakeup = try Wakeup()
        guard let handle = unsafe zmq_socket(context, ZMQ_REP) else {
            throw ZMQSocket.failure("guard", endpoint)
        }
        unsafe self.handle = unsafe handle
        self.doorkeeper = doorkeeper
        self.onChange = onChange
        guard unsafe zmq_bind(handle, Self.address) == 0 else {
            let error = ZMQSocket.failure("guard", endpoint)
            unsafe zmq_close(handle)
            throw error
        }
        startThread { self.loop() }
    }

    /// Ends the thread soon; the context's end waits for it.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        wakeup.signal()
    }

    private func loop() {
        let clock = ContinuousClock()
        var lastLook = clock.now
        while !isStopping.load(ordering: .acquiring) {
            let isAsked = wait()
            if doorkeeper.hasToRefresh, clock.now - lastLook >= Self.soonest {
                if doorkeeper.refresh() { onChange() }
                lastLook = clock.now
            }
            if isAsked { answerAll() }
        }
        var none: Int32 = 0
        unsafe zmq_setsockopt(handle, ZMQ_LINGER, &none, MemoryLayout<Int32>.size)
        unsafe zmq_close(handle)
    }

    private func wait() -> Bool {
        let input = Int16(ZMQ_POLLIN)
        var items = unsafe [
            zmq_pollitem_t(socket: nil, fd: wakeup.descriptor, events: input, revents: 0),
            zmq_pollitem_t(socket: handle, fd: 0, events: input, revents: 0),
        ]
        let timeout = doorkeeper.hasToRefresh ? Self.refreshMilliseconds : -1
        guard unsafe zmq_poll(&items, Int32(items.count), timeout) > 0 else { return false }
        return unsafe items[1].revents & input != 0
    }

    private func answerAll() {
        while let (frames, _) = unsafe ZMQSocket.receive(from: handle, maximumParts: 16) {
            // libzmq asks nothing else; and REP must answer before it hears more.
            guard let request = ZAPRequest(frames: frames) else {
                _ = unsafe ZMQSocket.send([[]], to: handle)
                continue
            }
            let reply = doorkeeper.answer(request, at: DateText.now)
            _ = unsafe ZMQSocket.send(reply.frames(for: request), to: handle)
        }
    }
}
