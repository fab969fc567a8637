internal import CZeroMQ
internal import ClusterCore
internal import Glibc

/// One libzmq socket and its context. errno is read at one door, `failure(_:)`, in the
/// expression after the call.
///
/// A socket belongs to one thread at a time; handing it to a thread that is created after it is
/// the full fence that zmq_socket(3) asks for. `PollThread` is that one thread.
// Sendable: made by one thread, then used only by the poll thread it is handed to.
@safe
final class ZMQSocket: @unchecked Sendable {
    /// What happened to a message.
    enum SendOutcome: Equatable {
        case sent
        /// No room, or no connection yet.
        case again
        /// A router does not know the peer.
        case unreachable
    }

    private let context: UnsafeMutableRawPointer
    private let handle: UnsafeMutableRawPointer
    private var monitor: UnsafeMutableRawPointer?
    private var door: DoorThread?
    /// As a person wrote it, for what goes wrong.
    let endpoint: String
    /// What is dialled.
    private var dialled: Target?
    private var isClosed = false

    /// `type` is a ZMQ_ constant such as ZMQ_ROUTER.
    init(type: Int32, endpoint: String) throws(TransportError) {
        try Descriptors.checkRoom(for: endpoint)
        guard let context = unsafe zmq_ctx_new() else { throw Self.failure("open", endpoint) }
        guard let handle = unsafe zmq_socket(context, type) else {
            let error = Self.failure("open", endpoint)
            unsafe zmq_ctx_term(context)
            throw error
        }
        unsafe self.context = unsafe context
        unsafe self.handle = unsafe handle
        self.endpoint = endpoint
    }

    deinit { close(linger: .zero) }

    /// The one door of errno.
    static func failure(_ operation: String, _ endpoint: String) -> TransportError {
        let number = zmq_errno()
        return .system(
            operation: operation,
            endpoint: endpoint,
            reason: unsafe String(cString: zmq_strerror(number))
        )
    }

    // MARK: Opening

    /// Puts somebody at the door; to be called before ``bind()``.
    func openDoor(
        _ doorkeeper: Doorkeeper, onChange: @escaping @Sendable () -> Void
    ) throws(TransportError) {
        door = try unsafe DoorThread(
            context: context, doorkeeper: doorkeeper, endpoint: endpoint, onChange: onChange)
    }

    func set(_ option: Int32, _ value: Int32) throws(TransportError) {
        var value = value
        let size = MemoryLayout<Int32>.size
        guard unsafe zmq_setsockopt(handle, option, &value, size) == 0 else {
            throw Self.failure("configure (option \(option))", endpoint)
        }
    }

    func setLong(_ option: Int32, _ value: Int64) throws(TransportError) {
        var value = value
        let size = MemoryLayout<Int64>.size
        guard unsafe zmq_setsockopt(handle, option, &value, size) == 0 else {
            throw Self.failure("configure (option \(option))", endpoint)
        }
    }

    func set(_ option: Int32, _ bytes: [UInt8]) throws(TransportError) {
        guard unsafe zmq_setsockopt(handle, option, bytes, bytes.count) == 0 else {
            throw Self.failure("configure (option \(option))", endpoint)
        }
    }

    /// What zmq_errno() said.
    struct Refusal: Error {
        let number: Int32
    }

    /// The real port; 0 for a path.
    func bind(to target: Target) -> Result<UInt16, Refusal> {
        setFamily(of: target)
        if case .path(let path) = target, let obstacle = SocketPath.obstacle(at: path) {
            return .failure(Refusal(number: obstacle))
        }
        guard unsafe zmq_bind(handle, target.text) == 0 else {
            return .failure(Refusal(number: zmq_errno()))
        }
        guard case .address = target else { return .success(0) }
        var size = 256
        let text = unsafe [CChar](unsafeUninitializedCapacity: size) { buffer, count in
            let result = unsafe zmq_getsockopt(
                handle, ZMQ_LAST_ENDPOINT, buffer.baseAddress, &size)
            count = result == 0 ? size : 0
        }
        let bound = String(decoding: text.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard let port = bound.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            return .failure(Refusal(number: zmq_errno()))
        }
        return .success(port)
    }

    func unbind(_ target: Target) { unsafe zmq_unbind(handle, target.text) }

    /// Returns at once; libzmq dials, and redials for ever.
    func connect(to target: Target) throws(TransportError) {
        setFamily(of: target)
        guard unsafe zmq_connect(handle, target.text) == 0 else {
            throw Self.failure("connect to", endpoint)
        }
        dialled = target
    }

    /// Ends the connection and dials anew, under the options that are set by now. What waits to
    /// be sent is lost.
    func redial(to target: Target) {
        if let dialled { unsafe zmq_disconnect(handle, dialled.text) }
        dialled = nil
        try? connect(to: target)
    }

    /// IPv4 addresses get sockets of IPv4, so that all goes on where there is no IPv6.
    private func setFamily(of target: Target) {
        var isIPv6: Int32 = target.isIPv6 ? 1 : 0
        unsafe zmq_setsockopt(handle, ZMQ_IPV6, &isIPv6, MemoryLayout<Int32>.size)
    }

    /// Starts to watch connections come and go.
    func openMonitor() throws(TransportError) {
        let address = "inproc://monitor"
        let events =
            ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED
            | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED
            | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        guard unsafe zmq_socket_monitor(handle, address, events) == 0,
            let monitor = unsafe zmq_socket(context, ZMQ_PAIR)
        else { throw Self.failure("watch", endpoint) }
        unsafe self.monitor = unsafe monitor
        // Unbounded: a full queue would hold up the I/O thread, and with it all connections.
        var unbounded: Int32 = 0
        let size = MemoryLayout<Int32>.size
        guard unsafe zmq_setsockopt(monitor, ZMQ_RCVHWM, &unbounded, size) == 0,
            unsafe zmq_connect(monitor, address) == 0
        else { throw Self.failure("watch", endpoint) }
    }

    /// Ends the socket; what was sent may take `linger` to go out. Waits that long.
    func close(linger: Duration) {
        guard !isClosed else { return }
        isClosed = true
        if let monitor = unsafe monitor {
            unsafe zmq_socket_monitor(handle, nil, 0)
            var none: Int32 = 0
            unsafe zmq_setsockopt(monitor, ZMQ_LINGER, &none, MemoryLayout<Int32>.size)
            unsafe zmq_close(monitor)
        }
        let (seconds, attoseconds) = linger.components
        var milliseconds = Int32(
            clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000)
        unsafe zmq_setsockopt(handle, ZMQ_LINGER, &milliseconds, MemoryLayout<Int32>.size)
        unsafe zmq_close(handle)
        // After the socket: there is always somebody at the door while there is one.
        door?.stop()
        while unsafe zmq_ctx_term(context) != 0, zmq_errno() == EINTR {}
    }

    // MARK: Waiting

    /// What a wait ended with.
    struct Readiness {
        var canReceive = false
        var canSend = false
        var isWoken = false
        var hasMonitorEvent = false
    }

    /// Waits for the asked things, at most `timeout`.
    func poll(
        receive: Bool,
        send: Bool,
        wakeup: Int32,
        timeout: Duration
    ) -> Readiness {
        var wanted: Int16 = 0
        if receive { wanted |= Int16(ZMQ_POLLIN) }
        if send { wanted |= Int16(ZMQ_POLLOUT) }
        let input = Int16(ZMQ_POLLIN)
        var items = unsafe [
            zmq_pollitem_t(socket: nil, fd: wakeup, events: input, revents: 0),
            zmq_pollitem_t(socket: handle, fd: 0, events: wanted, revents: 0),
        ]
        if let monitor = unsafe monitor {
            unsafe items.append(
                zmq_pollitem_t(socket: monitor, fd: 0, events: input, revents: 0))
        }
        let (seconds, attoseconds) = max(timeout, .zero).components
        let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000) + 1
        // A failure here is an interrupting signal: the caller's loop comes round again.
        guard unsafe zmq_poll(&items, Int32(items.count), milliseconds) > 0 else {
            return Readiness()
        }
        let happened = unsafe items.map { unsafe $0.revents }
        return Readiness(
            canReceive: happened[1] & input != 0,
            canSend: happened[1] & Int16(ZMQ_POLLOUT) != 0,
            isWoken: happened[0] & input != 0,
            hasMonitorEvent: happened.count > 2 && happened[2] & input != 0
        )
    }

    // MARK: Messages

    /// Hands a whole message over or nothing of it. Never waits.
    func send(_ parts: [[UInt8]]) -> SendOutcome { unsafe Self.send(parts, to: handle) }

    static func send(
        _ parts: [[UInt8]], to handle: UnsafeMutableRawPointer
    ) -> SendOutcome {
        precondition(!parts.isEmpty, "a message has at least one frame")
        for (index, part) in parts.enumerated() {
            let more = index + 1 < parts.count ? ZMQ_SNDMORE : 0
            var result: Int32
            repeat {
                result = unsafe part.withUnsafeBytes {
                    unsafe zmq_send(handle, $0.baseAddress, $0.count, more | ZMQ_DONTWAIT)
                }
            } while result < 0 && zmq_errno() == EINTR
            if result < 0 {
                // Only a first frame can be refused; libzmq takes or drops the others with it.
                return zmq_errno() == EAGAIN ? .again : .unreachable
            }
        }
        return .sent
    }

    /// What libzmq knows about where a message came from.
    struct Origin {
        /// The connection's descriptor.
        var descriptor: Int32 = -1
        /// What whoever is at the door said about the client; empty without keys.
        var userID = ""
    }

    /// One waiting message and where it came from, or nil when none waits. Of a message of more
    /// than `maximumParts` the rest is dropped.
    func receive(maximumParts: Int) -> (parts: [[UInt8]], origin: Origin)? {
        unsafe Self.receive(from: handle, maximumParts: maximumParts)
    }

    static func receive(
        from handle: UnsafeMutableRawPointer, maximumParts: Int
    ) -> (parts: [[UInt8]], origin: Origin)? {
        var parts: [[UInt8]] = []
        var origin = Origin()
        while true {
            var message = zmq_msg_t()
            unsafe zmq_msg_init(&message)
            defer { unsafe zmq_msg_close(&message) }
            guard unsafe zmq_msg_recv(&message, handle, ZMQ_DONTWAIT) >= 0 else {
                if zmq_errno() == EINTR { continue }
                return nil
            }
            if parts.count < maximumParts {
                let bytes = unsafe UnsafeRawBufferPointer(
                    start: zmq_msg_data(&message), count: zmq_msg_size(&message))
                parts.append(unsafe Array(bytes))
            }
            // 4.3.4 can lose the properties of a router's first frame, so the second is asked.
            if parts.count == 2, origin.descriptor < 0 { origin = unsafe Self.origin(of: &message) }
            if unsafe zmq_msg_more(&message) == 0 { return (parts, origin) }
        }
    }

    private static func origin(of message: UnsafeMutablePointer<zmq_msg_t>) -> Origin {
        let user = unsafe zmq_msg_gets(message, "User-Id")
        return unsafe Origin(
            descriptor: zmq_msg_get(message, ZMQ_SRCFD),
            userID: user.map { unsafe String(cString: $0) } ?? "")
    }

    /// What the monitor saw of a connection. libzmq names the descriptor for few of them.
    enum MonitorEvent: Equatable {
        case accepted(Int32)
        case acceptFailed
        case disconnected(Int32)
        /// Somebody listens at the dialled address; what they speak is to be seen.
        case connected
        /// A dialled address was not reached; libzmq dials it again so soon.
        case dialFailed(nextIn: Duration)
        case established
        /// The status code of whoever is at the coordinator's door: 300, 400 or 500.
        case refusedAtDoor(Int32)
        /// A ZMQ_PROTOCOL_ERROR_ number.
        case brokeProtocol(Int32)
        /// It ended, or its time ran out, in the middle of the handshake.
        case brokeOff
    }

    /// The next thing the monitor saw, or nil.
    func nextMonitorEvent() -> MonitorEvent? {
        guard let monitor = unsafe monitor else { return nil }
        while true {
            // Frame one: event u16, value u32, in host order; frame two: the endpoint.
            var bytes = [UInt8](repeating: 0, count: 6)
            let count = unsafe zmq_recv(monitor, &bytes, bytes.count, ZMQ_DONTWAIT)
            if count < 0 {
                if zmq_errno() == EINTR { continue }
                return nil
            }
            var rest = [UInt8](repeating: 0, count: 256)
            unsafe zmq_recv(monitor, &rest, rest.count, 0)
            let event = Int32(bytes[0]) | Int32(bytes[1]) << 8
            let value = Int32(
                bitPattern: bytes[2...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
            switch event {
            case ZMQ_EVENT_ACCEPTED: return .accepted(value)
            case ZMQ_EVENT_ACCEPT_FAILED: return .acceptFailed
            case ZMQ_EVENT_DISCONNECTED: return .disconnected(value)
            case ZMQ_EVENT_CONNECTED: return .connected
            case ZMQ_EVENT_CONNECT_RETRIED: return .dialFailed(nextIn: .milliseconds(Int(value)))
            case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return .established
            case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return .refusedAtDoor(value)
            case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return .brokeProtocol(value)
            case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: return .brokeOff
            default: continue
            }
        }
    }
}
