internal import Glibc
internal import NetworkAddresses

/// What a proxy has seen.
package struct ProxyCounts: Hashable, Codable, Sendable {
    package var accepted = 0
    package var open = 0
    package var resets = 0
    package var bytesUp = 0
    package var bytesDown = 0
}

/// Forwards TCP connections under ``LinkConditions``: one thread, one poll(2) loop, at most
/// 2 MiB per connection.
///
/// Not Sendable: made and run on one thread.
package final class TCPProxy {
    /// Where it really listens: `127.0.0.1:40123`.
    package let address: String
    private let listener: Int32
    /// Of one machine; the first is dialled until it fails.
    private var targets: [SocketAddress]
    private var conditions: LinkConditions
    private var links: [Link] = []
    private var counts = ProxyCounts()
    private var nextReset: Duration?
    private let start = ContinuousClock.now

    /// Connections at once; more are refused.
    private static let maximumLinks = 4096

    private final class Link {
        let client: Int32
        /// Negative while a cut keeps the connection from coming about.
        var server: Int32
        var isConnecting: Bool
        var up: DelayedBytes
        var down: DelayedBytes
        var upShut = false
        var downShut = false
        /// One side is gone: so is the other.
        var isBroken = false

        init(client: Int32, server: Int32, number: Int) {
            self.client = client
            self.server = server
            isConnecting = server >= 0
            up = DelayedBytes(stream: UInt32(truncatingIfNeeded: 2 * number))
            down = DelayedBytes(stream: UInt32(truncatingIfNeeded: 2 * number + 1))
        }
    }

    /// Listens at once at `host:port`; port 0 is a free one. Waits while names are looked up.
    /// Throws ``ProxyError``.
    package init(
        listening: String, to target: String, conditions: LinkConditions
    ) throws(ProxyError) {
        targets = try ProxyError.places(target, Lookup.machine)
        self.conditions = conditions
        let place = try ProxyError.places(listening, Lookup.here)[0]
        listener = try Sockets.listen(at: place, called: listening)
        address = "\(SocketAddress(localOf: listener) ?? place)"
    }

    deinit {
        for link in links { close(link) }
        Glibc.close(listener)
    }

    private var now: Duration { ContinuousClock.now - start }

    /// Runs until `stop` becomes readable. `instructions` is a descriptor with a line per
    /// instruction, or negative; `answer` gets what to say about each.
    package func run(
        until stop: Int32,
        instructions: Int32 = -1,
        answer: (Result<ProxyInstruction, FaultSpecError>, ProxyCounts) -> Void = { _, _ in }
    ) {
        var lines = LineReader(descriptor: instructions)
        nextReset = conditions.resetEvery
        while true {
            var polled = [
                pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
                pollfd(fd: lines.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(
                    fd: links.count < Self.maximumLinks ? listener : -1, events: Int16(POLLIN),
                    revents: 0),
            ]
            for link in links { polled += interests(of: link) }
            let timeout = millisecondsToWait()
            guard unsafe poll(&polled, nfds_t(polled.count), timeout) >= 0 || errno == EINTR else {
                return
            }
            if polled[0].revents != 0 { return }
            if polled[1].revents != 0 {
                for line in lines.read() { perform(line, answer) }
            }
            // Whether or not poll said so: all descriptors are non-blocking.
            for link in links { move(link) }
            links.removeAll { isOver($0) }
            if polled[2].revents != 0 { accept() }
            resetWhenDue()
        }
    }

    private func perform(
        _ line: String,
        _ answer: (Result<ProxyInstruction, FaultSpecError>, ProxyCounts) -> Void
    ) {
        do throws(FaultSpecError) {
            let instruction = try ProxyInstruction(line)
            instruction.apply(to: &conditions)
            if instruction == .reset { resetAll() }
            if case .resetEvery(let time) = instruction { nextReset = time.map { now + $0 } }
            answer(.success(instruction), currentCounts)
        } catch {
            answer(.failure(error), currentCounts)
        }
    }

    private var currentCounts: ProxyCounts {
        var counts = counts
        counts.open = links.count
        return counts
    }

    // MARK: Links

    private func accept() {
        while links.count < Self.maximumLinks {
            let client = Sockets.accept(from: listener)
            guard client >= 0 else { return }
            counts.accepted += 1
            Sockets.sendAtOnce(client)
            let server = conditions.cut.isEmpty ? dial() : -1
            links.append(Link(client: client, server: server, number: counts.accepted))
        }
    }

    /// A connection to the target that is coming about; negative when none can.
    private func dial() -> Int32 {
        for _ in targets.indices {
            let descriptor = Sockets.dial(targets[0])
            if descriptor >= 0 { return descriptor }
            targets.append(targets.removeFirst())
        }
        return -1
    }

    private func interests(of link: Link) -> [pollfd] {
        let time = now
        func events(
            reading input: DelayedBytes, _ way: LinkDirection, writing output: DelayedBytes,
            _ back: LinkDirection
        ) -> Int16 {
            let reads = input.hasRoom && !input.isEnded ? POLLIN : 0
            let writes = output.ready(at: time) != nil && !conditions.cut.contains(back)
            return Int16(reads | (writes ? POLLOUT : 0))
        }
        let client = pollfd(
            fd: link.client, events: events(reading: link.up, .up, writing: link.down, .down),
            revents: 0)
        let server = pollfd(
            fd: link.server,
            events: link.isConnecting
                ? Int16(POLLOUT) : events(reading: link.down, .down, writing: link.up, .up),
            revents: 0)
        // A connection that ended is reported even when nothing is asked: then it is left out.
        return [client, server].filter { $0.events != 0 }
    }

    private func move(_ link: Link) {
        if link.server < 0, conditions.cut.isEmpty {
            link.server = dial()
            link.isConnecting = link.server >= 0
            link.isBroken = link.server < 0
        }
        if link.isConnecting {
            switch Sockets.connection(of: link.server) {
            case .pending: break
            case .established:
                link.isConnecting = false
                Sockets.sendAtOnce(link.server)
            case .failed:
                link.isBroken = true
                // Whoever dials again is led to the next one.
                targets.append(targets.removeFirst())
            }
        }
        read(from: link.client, into: &link.up, of: link)
        if link.server >= 0, !link.isConnecting, !link.isBroken {
            read(from: link.server, into: &link.down, of: link)
            write(&link.up, to: link.server, .up, shut: &link.upShut, of: link)
            write(&link.down, to: link.client, .down, shut: &link.downShut, of: link)
        }
    }

    private func read(from descriptor: Int32, into bytes: inout DelayedBytes, of link: Link) {
        guard bytes.hasRoom, !bytes.isEnded else { return }
        var buffer = [UInt8](repeating: 0, count: DelayedBytes.chunkSize)
        let count = unsafe Glibc.recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            bytes.append(Array(buffer[..<count]), at: now, conditions)
        } else if count == 0 {
            bytes.isEnded = true
        } else if errno != EAGAIN, errno != EINTR {
            link.isBroken = true
        }
    }

    private func write(
        _ bytes: inout DelayedBytes,
        to descriptor: Int32,
        _ direction: LinkDirection,
        shut: inout Bool,
        of link: Link
    ) {
        guard !conditions.cut.contains(direction) else { return }
        while let ready = bytes.ready(at: now) {
            let written = unsafe ready.withUnsafeBytes {
                unsafe Glibc.send(
                    descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else {
                if errno != EAGAIN, errno != EINTR { link.isBroken = true }
                return
            }
            bytes.remove(written)
            if direction == .up { counts.bytesUp += written } else { counts.bytesDown += written }
        }
        if bytes.isEnded, bytes.isEmpty, !shut {
            shut = true
            Glibc.shutdown(descriptor, Int32(SHUT_WR))
        }
    }

    private func isOver(_ link: Link) -> Bool {
        let isOver = link.isBroken || (link.upShut && link.downShut)
        if isOver { close(link) }
        return isOver
    }

    private func close(_ link: Link) {
        Glibc.close(link.client)
        if link.server >= 0 { Glibc.close(link.server) }
    }

    // MARK: Time

    private func resetAll() {
        for link in links {
            Sockets.resetOnClose(link.client)
            if link.server >= 0 { Sockets.resetOnClose(link.server) }
            close(link)
        }
        counts.resets += links.count
        links.removeAll()
    }

    private func resetWhenDue() {
        guard let due = nextReset, let every = conditions.resetEvery, now >= due else { return }
        resetAll()
        nextReset = now + every
    }

    private func millisecondsToWait() -> Int32 {
        var dues = links.flatMap { link in
            [
                conditions.cut.contains(.up) || link.server < 0 ? nil : link.up.nextDue,
                conditions.cut.contains(.down) ? nil : link.down.nextDue,
            ].compactMap { $0 }
        }
        if let nextReset { dues.append(nextReset) }
        guard let first = dues.min() else { return -1 }
        let wait = (first - now) / .milliseconds(1)
        return Int32(min(max(wait.rounded(.up), 0), 60_000))
    }
}
