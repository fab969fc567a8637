import Foundation
import Glibc
import TestSupport
import NetworkAddresses
import Testing

@testable import FaultInjection

@Suite("Bytes on a bad link", .watched)
struct DelayedBytesTests {
    private func conditions(
        delay: Duration = .zero, jitter: Duration = .zero, rate: Int? = nil
    ) -> LinkConditions {
        var conditions = LinkConditions()
        conditions.delay = delay
        conditions.jitter = jitter
        conditions.bytesPerSecond = rate
        return conditions
    }

    @Test("bytes arrive after the delay, in order, and partly when not all are taken")
    func delay() {
        var bytes = DelayedBytes(stream: 0)
        bytes.append([1, 2, 3], at: .seconds(1), conditions(delay: .milliseconds(200)))
        bytes.append([4], at: .seconds(1), conditions(delay: .zero))
        #expect(bytes.ready(at: .milliseconds(1199)) == nil)
        #expect(bytes.nextDue == .milliseconds(1200))
        #expect(bytes.ready(at: .milliseconds(1200)) == [1, 2, 3])
        bytes.remove(2)
        #expect(bytes.ready(at: .milliseconds(1200)) == [3])
        bytes.remove(1)
        // What was sent after something late does not overtake it.
        #expect(bytes.ready(at: .milliseconds(1199)) == nil)
        #expect(bytes.ready(at: .milliseconds(1200)) == [4])
        bytes.remove(1)
        #expect(bytes.isEmpty && bytes.count == 0)
    }

    @Test("jitter stays within its bounds")
    func jitter() {
        for stream: UInt32 in 0..<200 {
            var bytes = DelayedBytes(stream: stream)
            bytes.append(
                [1], at: .zero, conditions(delay: .milliseconds(200), jitter: .milliseconds(100)))
            let due = bytes.nextDue ?? .zero
            #expect((.milliseconds(100) ... .milliseconds(300)).contains(due))
        }
    }

    @Test("a rate spreads bytes out")
    func rate() {
        var bytes = DelayedBytes(stream: 0)
        for _ in 0..<4 {
            bytes.append([UInt8](repeating: 0, count: 1000), at: .zero, conditions(rate: 10_000))
        }
        var time: [Duration] = []
        while let due = bytes.nextDue {
            time.append(due)
            bytes.remove(1000)
        }
        #expect(time == [1, 2, 3, 4].map { .milliseconds($0 * 100) })
    }

    @Test("a full link makes the sender wait")
    func capacity() {
        var bytes = DelayedBytes(stream: 0)
        while bytes.hasRoom {
            bytes.append(
                [UInt8](repeating: 0, count: DelayedBytes.chunkSize), at: .zero, conditions())
        }
        #expect(bytes.count <= DelayedBytes.capacity)
        bytes.remove(DelayedBytes.chunkSize)
        #expect(bytes.hasRoom)
    }
}

@Suite("Instructions of a proxy", .watched)
struct ProxyInstructionTests {
    @Test(
        "every documented instruction is understood",
        arguments: [
            ("cut up", ProxyInstruction.cut([.up])), ("cut down", .cut([.down])),
            ("cut both", .cut([.up, .down])), ("cut", .cut([.up, .down])), ("heal", .heal),
            ("reset", .reset), ("delay 200ms", .delay(.milliseconds(200))),
            ("jitter 0.1s", .jitter(.milliseconds(100))), ("rate 1MB/s", .rate(1_000_000)),
            ("rate 64kB/s", .rate(64_000)), ("rate off", .rate(nil)),
            ("reset-every 2s", .resetEvery(.seconds(2))), ("reset-every off", .resetEvery(nil)),
            ("  status ", .status),
        ])
    func forms(line: String, instruction: ProxyInstruction) throws {
        #expect(try ProxyInstruction(line) == instruction)
    }

    @Test(
        "anything else is refused with what is possible",
        arguments: [
            "", "cut sideways", "heal now", "delay", "delay x", "rate 0MB/s", "reset-every 0s",
        ])
    func errors(line: String) {
        let error = #expect(throws: FaultSpecError.self) { try ProxyInstruction(line) }
        #expect(error?.possible.contains("cut up") == true)
    }

    @Test(
        "addresses that cannot be are refused",
        arguments: ["", "1.2.3.4", "a host:1", "::1:1", "1.2.3.4:x"])
    func addresses(text: String) {
        #expect(throws: ProxyError.self) {
            try TCPProxy(listening: text, to: "127.0.0.1:1", conditions: LinkConditions())
        }
    }
}

@Suite("A proxy between two sockets", .watched, .timeLimit(.minutes(10)))
struct ProxyTests {
    /// A proxy on a thread of its own, and both ends of one connection through it.
    private final class Bench {
        let client: Int32
        let server: Int32
        private let listener: Int32
        private let stop: [Int32]
        private let instructions: [Int32]
        private let answers: [Int32]
        private let thread: Thread

        init(
            _ conditions: LinkConditions = LinkConditions(), at host: IPAddress = .loopback
        ) throws {
            listener = try Sockets.listen(at: SocketAddress(host, port: 0))
            stop = Self.pipe()
            instructions = Self.pipe()
            answers = Self.pipe()
            let target = try #require(SocketAddress(localOf: listener))
            let proxy = try TCPProxy(
                listening: "\(SocketAddress(host, port: 0))", to: "\(target)",
                conditions: conditions)
            let address = proxy.address
            nonisolated(unsafe) let moved = proxy
            let (stop, lines, said) = (stop[0], instructions[0], answers[1])
            thread = Thread {
                moved.run(until: stop, instructions: lines) { _, _ in
                    var byte: UInt8 = 1
                    write(said, &byte, 1)
                }
            }
            thread.start()
            client = Sockets.dial(try ProxyError.places(address, Lookup.machine)[0])
            var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            poll(&entry, 1, 20_000)
            server = accept(listener, nil, nil)
        }

        private static func pipe() -> [Int32] {
            var ends: [Int32] = [0, 0]
            Glibc.pipe(&ends)
            return ends
        }

        /// Returns when the proxy has done it.
        func tell(_ line: String) {
            let bytes = Array((line + "\n").utf8)
            write(instructions[1], bytes, bytes.count)
            var byte: UInt8 = 0
            read(answers[0], &byte, 1)
        }

        deinit {
            var byte: UInt8 = 1
            write(stop[1], &byte, 1)
            for descriptor in [client, server, listener] { close(descriptor) }
        }
    }

    private func say(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        #expect(send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
    }

    /// What arrives within a time; nil when nothing does.
    private func hear(_ descriptor: Int32, within milliseconds: Int32 = 20_000) -> String? {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, milliseconds) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 1000)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? "error \(errno)" : String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test(
        "passes bytes both ways, and ends with the ends",
        arguments: ["127.0.0.1", "::1"].compactMap(IPAddress.init).filter {
            NetworkInterface.isOwn($0)
        })
    func passes(host: IPAddress) throws {
        let bench = try Bench(at: host)
        say("up", to: bench.client)
        #expect(hear(bench.server) == "up")
        say("down", to: bench.server)
        #expect(hear(bench.client) == "down")
        shutdown(bench.client, Int32(SHUT_WR))
        #expect(hear(bench.server) == "")
        say("last", to: bench.server)
        #expect(hear(bench.client) == "last")
    }

    @Test("a cut holds one direction back until it heals")
    func cut() throws {
        let bench = try Bench()
        bench.tell("cut up")
        say("up", to: bench.client)
        say("down", to: bench.server)
        #expect(hear(bench.client) == "down")
        #expect(hear(bench.server, within: 100) == nil)
        bench.tell("heal")
        #expect(hear(bench.server) == "up")
    }

    @Test("a reset is one, for both ends")
    func reset() throws {
        let bench = try Bench()
        say("up", to: bench.client)
        #expect(hear(bench.server) == "up")
        bench.tell("reset")
        #expect(hear(bench.client) == "error \(ECONNRESET)")
        #expect(hear(bench.server) == "error \(ECONNRESET)")
    }

    @Test("a delay is one")
    func delay() throws {
        var conditions = LinkConditions()
        conditions.delay = .milliseconds(150)
        let bench = try Bench(conditions)
        let start = ContinuousClock.now
        say("up", to: bench.client)
        #expect(hear(bench.server) == "up")
        #expect(ContinuousClock.now - start >= .milliseconds(150))
    }
}
