import ClusterCore
import Foundation
import TestSupport
import NetworkAddresses
import Testing

@testable import ZeroMQTransport

/// Runs `body` beside a router and a dealer on a free loopback port; both are closed after it.
func withTransports(
    limits: Limits = quickLimits(),
    workers: Int = 1,
    _ body: @Sendable (RouterTransport, [DealerTransport]) async throws -> Void
) async throws {
    let router = try RouterTransport(binding: "tcp://127.0.0.1:*", limits: limits)
    let dealers = try (0..<workers).map { _ in
        try DealerTransport(connecting: router.endpoint, limits: limits)
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await router.run(tickInterval: .milliseconds(20)) {} }
        for dealer in dealers {
            group.addTask { try await dealer.run(tickInterval: .milliseconds(20)) {} }
        }
        try await body(router, dealers)
        for dealer in dealers { dealer.shutdown() }
        router.shutdown()
        try await group.waitForAll()
    }
}

/// Limits that suit tests. A dealer that hears nothing for `lostAfter` dials again under another
/// address, and most of these tests leave it unanswered for as long as a busy machine takes.
func quickLimits() -> Limits {
    var limits = Limits()
    limits.linger = .milliseconds(500)
    limits.lostAfter = .seconds(300)
    return limits
}

extension RouterTransport {
    /// Sends everything back to whom it came from, until the end.
    func echo() async {
        for await event in inbound {
            guard case .received(let frames, let peer) = event else { continue }
            send(frames, to: peer)
        }
    }

    /// The next message, skipping nothing; nil for a loss or the end.
    static func message(
        _ iterator: inout Inbox<CoordinatorTransportEvent>.Iterator
    ) async -> (frames: Frames, peer: PeerID)? {
        guard case .received(let frames, let peer)? = await iterator.next(isolation: nil) else {
            return nil
        }
        return (frames, peer)
    }
}

@Suite("ZeroMQ transports on loopback", .watched, .serialized, .timeLimit(.minutes(10)))
struct TransportTests {
    @Test("the endpoint names the real port")
    func realPort() throws {
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*")
        #expect(router.endpoint.hasPrefix("tcp://127.0.0.1:"))
        #expect(UInt16(router.endpoint.split(separator: ":").last ?? "") ?? 0 > 0)
    }

    @Test("many messages arrive in order per peer, and go back to the right one")
    func order() async throws {
        let count = 1500
        var limits = quickLimits()
        limits.maximumOutbox = count
        try await withTransports(limits: limits, workers: 3) { router, dealers in
            for number in 0..<count {
                for (index, dealer) in dealers.enumerated() {
                    dealer.send([[UInt8(index)], bytes(of: number)], expendable: false)
                }
            }
            var inbound = router.inbound.makeAsyncIterator()
            var next = [0, 0, 0]
            var peers: [PeerID?] = [nil, nil, nil]
            for _ in 0..<count * dealers.count {
                guard let (frames, peer) = await RouterTransport.message(&inbound) else {
                    Issue.record("a message is missing")
                    return
                }
                let index = Int(frames[0][0])
                #expect(frames[1] == bytes(of: next[index]))
                next[index] += 1
                #expect(peers[index] == nil || peers[index] == peer)
                peers[index] = peer
            }
            for (index, peer) in peers.enumerated() {
                let peer = try #require(peer)
                router.send([[UInt8(index)]], to: peer)
                var back = dealers[index].inbound.makeAsyncIterator()
                #expect(await back.next(isolation: nil) == [[UInt8(index)]])
            }
        }
    }

    @Test(
        "frames of every size up to 1 MiB keep their bytes", arguments: [0, 1, 8191, 8192, 1 << 20])
    func sizes(size: Int) async throws {
        try await withTransports { router, dealers in
            let frame = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            dealers[0].send([[1], frame, [], frame], expendable: false)
            var inbound = router.inbound.makeAsyncIterator()
            let message = await RouterTransport.message(&inbound)
            #expect(message?.frames == [[1], frame, [], frame])
        }
    }

    @Test("a frame above the limit ends its sender's connection; others are not disturbed")
    func oversize() async throws {
        try await withTransports(workers: 2) { router, dealers in
            dealers[0].send([[1]], expendable: false)
            var inbound = router.inbound.makeAsyncIterator()
            let first = await RouterTransport.message(&inbound)
            dealers[0].send([Array(repeating: 0, count: 5 << 20)], expendable: false)
            guard case .lost(let peer)? = await inbound.next(isolation: nil) else {
                Issue.record("the connection was kept")
                return
            }
            #expect(peer == first?.peer)
            dealers[1].send([[2]], expendable: false)
            #expect(await RouterTransport.message(&inbound)?.frames == [[2]])
        }
    }

    @Test("of a message with too many frames no more than the limit is kept")
    func manyFrames() async throws {
        try await withTransports { router, dealers in
            dealers[0].send(Array(repeating: [1], count: 5000), expendable: false)
            dealers[0].send([[2]], expendable: false)
            var inbound = router.inbound.makeAsyncIterator()
            let flood = await RouterTransport.message(&inbound)
            let kept = try #require(flood?.frames.count)
            // One more than a message may have, so that the codec sees that it is too long.
            #expect(kept == Limits.standard.maximumTensorFrames + 2)
            #expect(await RouterTransport.message(&inbound)?.frames == [[2]])
        }
    }

    @Test("a peer that goes away is reported, and so is sending to it")
    func peerLoss() async throws {
        try await withTransports { router, _ in
            let doomed = try DealerTransport(
                connecting: router.endpoint, limits: quickLimits())
            var inbound = router.inbound.makeAsyncIterator()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await doomed.run(tickInterval: .seconds(1)) {} }
                doomed.send([[1]], expendable: false)
                let message = await RouterTransport.message(&inbound)
                let peer = try #require(message?.peer)
                group.cancelAll()
                try await group.waitForAll()
                guard case .lost(peer)? = await inbound.next(isolation: nil) else {
                    Issue.record("the loss was not reported")
                    return
                }
                router.send([[2]], to: peer)
                guard case .lost(peer)? = await inbound.next(isolation: nil) else {
                    Issue.record("sending to nobody was not reported")
                    return
                }
            }
        }
    }

    @Test("a message to a peer that never was is reported, not dropped silently")
    func unknownPeer() async throws {
        try await withTransports { router, _ in
            router.send([[1]], to: PeerID(bytes: [1, 2, 3]))
            var inbound = router.inbound.makeAsyncIterator()
            guard case .lost(PeerID(bytes: [1, 2, 3]))? = await inbound.next(isolation: nil) else {
                Issue.record("nothing was reported")
                return
            }
        }
    }

    @Test("what was sent before shutdown() arrives")
    func orderlyClose() async throws {
        var limits = quickLimits()
        limits.linger = .seconds(30)
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*", limits: limits)
        let dealer = try DealerTransport(connecting: router.endpoint, limits: limits)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await router.run(tickInterval: .seconds(1)) {} }
            group.addTask {
                try await dealer.run(tickInterval: .seconds(1)) {}
            }
            defer { router.shutdown() }
            for number in 0..<200 { dealer.send([bytes(of: number)], expendable: false) }
            dealer.shutdown()
            dealer.send([[9, 9]], expendable: false)
            var inbound = router.inbound.makeAsyncIterator()
            for number in 0..<200 {
                #expect(await RouterTransport.message(&inbound)?.frames == [bytes(of: number)])
            }
            guard case .lost? = await inbound.next(isolation: nil) else {
                Issue.record("something arrived after the end")
                return
            }
            router.shutdown()
            try await group.waitForAll()
        }
    }

    @Test("closing while others send neither hangs nor crashes")
    func closeWhileSending() async throws {
        for _ in 0..<5 {
            try await withTransports(workers: 2) { router, dealers in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for dealer in dealers {
                        group.addTask {
                            for number in 0..<3000 {
                                dealer.send([bytes(of: number)], expendable: false)
                            }
                        }
                    }
                    var inbound = router.inbound.makeAsyncIterator()
                    _ = await RouterTransport.message(&inbound)
                    router.shutdown()
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("a reader that falls behind holds the senders back instead of filling memory")
    func backPressure() async throws {
        var limits = quickLimits()
        limits.maximumInbox = 4
        try await withTransports(limits: limits) { router, dealers in
            for number in 0..<300 { dealers[0].send([bytes(of: number)], expendable: false) }
            var inbound = router.inbound.makeAsyncIterator()
            for number in 0..<300 {
                #expect(await RouterTransport.message(&inbound)?.frames == [bytes(of: number)])
            }
        }
    }

    @Test("a dealer started first waits for its router; expendable messages do not pile up")
    func lateRouter() async throws {
        let limits = quickLimits()
        let endpoint = try RouterTransport(binding: "tcp://127.0.0.1:*").endpoint
        let dealer = try DealerTransport(connecting: endpoint, limits: limits)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await dealer.run(tickInterval: .seconds(1)) {} }
            dealer.send([[1]], expendable: false)
            for _ in 0..<100 { dealer.send([[2]], expendable: true) }
            dealer.send([[3]], expendable: false)
            let router = try RouterTransport(binding: endpoint, limits: limits)
            group.addTask { try await router.run(tickInterval: .seconds(1)) {} }
            var inbound = router.inbound.makeAsyncIterator()
            #expect(await RouterTransport.message(&inbound)?.frames == [[1]])
            #expect(await RouterTransport.message(&inbound)?.frames == [[3]])
            dealer.shutdown()
            router.shutdown()
            try await group.waitForAll()
        }
    }

    @Test("ticks come from the transport's own thread")
    func ticks() async throws {
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*")
        let (stream, sink) = AsyncStream.makeStream(of: Bool.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await router.run(tickInterval: .milliseconds(5)) {
                    sink.yield(Thread.isMainThread)
                }
            }
            var ticks = stream.makeAsyncIterator()
            for _ in 0..<5 { #expect(await ticks.next() == false) }
            router.shutdown()
            try await group.waitForAll()
        }
    }

    /// In a process of its own: other tests open sockets by the hundred meanwhile.
    @Test("fifty lives leave no descriptor and no thread behind")
    func noLeaks() async throws {
        await #expect(processExitsWith: .success) {
            func count(_ folder: String) throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/\(folder)").count
            }
            func life() async throws {
                try await withTransports { router, dealers in
                    dealers[0].send([[1]], expendable: false)
                    var inbound = router.inbound.makeAsyncIterator()
                    _ = await RouterTransport.message(&inbound)
                }
            }
            try await life()
            let before = try count("fd")
            for _ in 0..<50 { try await life() }
            // A life that leaked anything would have leaked it fifty times.
            #expect(try count("fd") < before + 25)
            #expect(try count("task") < 60)
        }
    }

    private func bytes(of number: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
    }
}

@Suite("Endpoints", .watched)
struct EndpointTests {
    @Test(
        "plaintext does not leave the machine unless that is asked for",
        arguments: [
            "tcp://0.0.0.0:5570", "tcp://*:5570", "tcp://192.0.2.7:5570", "tcp://[::]:5570",
            "tcp://[2001:db8::1]:5570", "tcp://[::ffff:192.0.2.7]:5570",
        ])
    func plaintext(endpoint: String) {
        #expect(throws: TransportError.plaintextRefused(endpoint)) {
            try RouterTransport(binding: endpoint)
        }
        #expect(throws: TransportError.plaintextRefused("tcp://192.0.2.7:5570")) {
            try DealerTransport(connecting: "tcp://192.0.2.7:5570")
        }
    }

    @Test("with --insecure it may")
    func insecure() throws {
        let router = try RouterTransport(binding: "tcp://0.0.0.0:*", insecure: true)
        #expect(router.endpoint.hasPrefix("tcp://0.0.0.0:"))
    }

    @Test(
        "what is no endpoint is said to be none",
        arguments: [
            "", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:70000",
            "tcp://127.0.0.1:-1", "tcp://:5570", "udp://127.0.0.1:5570", "127.0.0.1:5570",
            "inproc://x", "TCP://127.0.0.1:5570", "tcp://127.0.0.1:5570/", "tcp://::1:5570",
            "tcp://[::1:5570", "tcp://[::1]", "tcp://[127.0.0.1]:5570", "tcp://256.1.1.1:5570",
            "tcp://[fe80::1%nowhere0]:5570", "tcp://a b:5570",
        ])
    func invalid(endpoint: String) {
        #expect {
            try RouterTransport(binding: endpoint)
        } throws: { error in
            guard case TransportError.invalidEndpoint? = error as? TransportError else {
                return false
            }
            return true
        }
    }

    @Test("a port that is taken is one sentence")
    func taken() throws {
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*")
        let error = #expect(throws: TransportError.self) {
            try RouterTransport(binding: router.endpoint)
        }
        #expect(error?.description.contains("Address already in use") == true)
        #expect(error?.description.contains(router.endpoint) == true)
    }

    @Test(
        "a port that is taken is told under the address that was written",
        .enabled(if: Machine.hasIPv6, "this machine has no ::1"))
    func takenForAll() throws {
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*")
        let port = try #require(try Endpoint(router.endpoint).port)
        let error = #expect(throws: TransportError.self) {
            try RouterTransport(binding: "tcp://*:\(port)", insecure: true)
        }
        #expect(
            error?.description
                == "cannot listen on tcp://*:\(port): Address already in use")
    }

    @Test(
        "what begins an endpoint alone lacks the rest",
        arguments: [
            ("tcp://", "it has no host and no port"), ("ipc://", "it has no path"),
            (
                "tcp://[fe80::1]:5570",
                "an address of a single link needs its interface, as in [fe80::1%eth0]:5570"
            ),
        ])
    func beginnings(text: String, reason: String) {
        #expect(throws: TransportError.invalidEndpoint(text, reason: reason)) { try Endpoint(text) }
    }

    @Test(
        "what cannot be dialled is said",
        arguments: ["tcp://127.0.0.1:*", "tcp://*:5570", "tcp://224.0.0.1:5570"])
    func wildcard(endpoint: String) {
        #expect(throws: TransportError.self) { try DealerTransport(connecting: endpoint) }
    }

    @Test("an address of another machine is said to be none of this one's")
    func foreign() {
        let error = #expect(throws: TransportError.self) {
            try RouterTransport(binding: "tcp://192.0.2.77:*", insecure: true)
        }
        #expect(
            error?.description
                == "cannot listen on tcp://192.0.2.77:*: this machine has no such address")
    }

    @Test("a path is bound where nothing is or a dead socket, and what else is there stays")
    func takenPath() async throws {
        let folder = NSTemporaryDirectory() + "tessera-ipc-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (file, link, socket) = (folder + "/file", folder + "/link", folder + "/socket")
        try Data("thesis".utf8).write(to: URL(fileURLWithPath: file))
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "nowhere")
        for path in [file, link] {
            let error = #expect(throws: TransportError.self) {
                try RouterTransport(binding: "ipc://" + path)
            }
            #expect(
                error?.description.contains("ipc://\(path)") == true, "\(String(describing: error))"
            )
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data("thesis".utf8))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "nowhere")

        let first = try RouterTransport(binding: "ipc://" + socket)
        #expect(throws: TransportError.self) { try RouterTransport(binding: "ipc://" + socket) }
        let dealer = try DealerTransport(connecting: "ipc://" + socket)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await first.run(tickInterval: .seconds(1)) {} }
            group.addTask { try await dealer.run(tickInterval: .milliseconds(20)) {} }
            dealer.send([[42]], expendable: false)
            var inbound = first.inbound.makeAsyncIterator()
            #expect(await RouterTransport.message(&inbound)?.frames == [[42]])
            dealer.shutdown()
            first.shutdown()
            try await group.waitForAll()
        }
        // What the first one leaves there is nobody's any more.
        let second = try RouterTransport(binding: "ipc://" + socket)
        second.shutdown()
    }

    @Test("a name that cannot be looked up is said, with the reason")
    func unknownName() {
        let error = #expect(throws: TransportError.self) {
            try RouterTransport(binding: "tcp://no-such-host.invalid:5570")
        }
        #expect(error?.description.contains("'no-such-host.invalid' cannot be looked up") == true)
    }

    @Test(
        "a message gets through by every way of writing a place of this machine",
        arguments: [
            "tcp://localhost:*", "tcp://lo:*", "tcp://127.0.0.7:*", "tcp://[::1]:*",
            "tcp://[::ffff:127.0.0.1]:0", "tcp://*:*", "tcp://[::]:*", "tcp://0.0.0.0:*",
        ].filter { Machine.hasIPv6 || !$0.contains("::") || $0.contains("ffff") })
    func everyPlace(text: String) async throws {
        let listen = try await ListenAddress.find(text)
        let router = try RouterTransport(
            binding: listen, security: .plaintext(mayLeaveMachine: true))
        let port = try #require(try Endpoint(router.endpoint).port)
        #expect(router.endpoint == "\(listen.endpoint(port: port))" && port > 0)
        // As the workers of this machine dial it, and as whoever was told the name does.
        var ways = ["\(listen.local(port: port))"]
        if !listen.addresses[0].address.isAny { ways.append(router.endpoint) }
        for way in ways {
            let dealer = try DealerTransport(connecting: way)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await dealer.run(tickInterval: .milliseconds(20)) {} }
                dealer.send([[42]], expendable: false)
                group.addTask { try await router.run(tickInterval: .seconds(1)) {} }
                var inbound = router.inbound.makeAsyncIterator()
                #expect(await RouterTransport.message(&inbound)?.frames == [[42]])
                dealer.shutdown()
                router.shutdown()
                try await group.waitForAll()
            }
            break
        }
    }
}

/// What this machine can do.
private enum Machine {
    static let hasIPv6 = IPAddress("::1").map(NetworkInterface.isOwn) ?? false
}

@Suite("Which address of a name is dialled", .watched)
struct DialRouteTests {
    private let start = ContinuousClock.now
    private let six = IPAddress("::1")!
    private let far = IPAddress("192.0.2.7")!

    private func route(_ text: String, mayLeaveMachine: Bool = true) throws -> DialRoute {
        try DialRoute(
            to: Endpoint(dialling: text), mayLeaveMachine: mayLeaveMachine, at: start)
    }

    private func target(_ address: IPAddress) -> Target {
        .address(SocketAddress(address, port: 5570))
    }

    @Test("what is not a name has one address, which libzmq redials")
    func fixed() throws {
        for (text, current) in [
            ("tcp://[::1]:5570", target(six)), ("ipc:///run/x", .path("/run/x")),
        ] {
            var route = try route(text, mayLeaveMachine: false)
            #expect(route.current == current)
            #expect(route.nameDue(at: start) == nil && route.failed(at: start) == nil)
        }
    }

    @Test("a name's addresses are dialled in turn, then it is looked up anew, less and less often")
    func rounds() throws {
        var route = try route("tcp://lake.example:5570")
        #expect(route.current == nil)
        var now = start
        for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            #expect(route.nameDue(at: now) == "lake.example")
            #expect(route.nameDue(at: now) == nil)
            #expect(try route.found([six, far], at: now) == target(six))
            #expect(route.failed(at: now) == target(far))
            #expect(route.failed(at: now) == nil)
            #expect(route.nameDue(at: now + .milliseconds(wait - 1)) == nil)
            now += .milliseconds(wait)
        }
    }

    @Test("a name that leads nowhere is looked up again")
    func nowhere() throws {
        var route = try route("tcp://lake.example:5570")
        #expect(route.nameDue(at: start) != nil)
        #expect(try route.found([], at: start) == nil)
        #expect(route.nameDue(at: start + .milliseconds(100)) == "lake.example")
    }

    @Test("a connection that ends is dialled again by libzmq before the name is looked up")
    func lost() throws {
        var route = try route("tcp://lake.example:5570")
        _ = route.nameDue(at: start)
        _ = try route.found([six, far], at: start)
        route.connected()
        #expect(route.failed(at: start) == nil)
        route.disconnected()
        #expect(route.current == target(six))
        #expect(route.failed(at: start) == nil)
        #expect(route.nameDue(at: start + .milliseconds(100)) == "lake.example")
        // Reached while it was looked up: the answer changes nothing.
        route.connected()
        #expect(try route.found([far], at: start) == nil)
        #expect(route.current == target(six))
    }

    @Test("plaintext goes to a name only if all that it means is loopback, at every look")
    func plaintext() throws {
        var route = try route("tcp://lake.example:5570", mayLeaveMachine: false)
        _ = route.nameDue(at: start)
        #expect(try route.found([six, .loopback], at: start) == target(six))
        _ = route.failed(at: start)
        _ = route.failed(at: start)
        _ = route.nameDue(at: start + .seconds(1))
        #expect(throws: TransportError.plaintextRefused("tcp://lake.example:5570")) {
            try route.found([six, far], at: start)
        }
        #expect(throws: TransportError.plaintextRefused("tcp://192.0.2.7:5570")) {
            try self.route("tcp://192.0.2.7:5570", mayLeaveMachine: false)
        }
    }
}

@Suite("Where other machines find a coordinator", .watched)
struct AdvertisedTests {
    private let interfaces = [
        NetworkInterface("lo", .loopback), NetworkInterface("lo", IPAddress("::1")!),
        NetworkInterface("docker0", IPAddress("172.17.0.1")!, isRunning: false),
        NetworkInterface("eth0", IPAddress("fe80::1")!),
        NetworkInterface("eth0", IPAddress("192.0.2.2")!),
        NetworkInterface("eth0", IPAddress("2001:db8::2")!),
    ]

    @Test(
        "every address becomes the first that leads off this machine, of the family asked for",
        arguments: [
            ("tcp://*:*", "tcp://192.0.2.2:7"), ("tcp://0.0.0.0:*", "tcp://192.0.2.2:7"),
            ("tcp://[::]:*", "tcp://[2001:db8::2]:7"), ("tcp://[::1]:*", "tcp://[::1]:7"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:7"),
            ("tcp://[2001:db8::2]:7", "tcp://[2001:db8::2]:7"), ("ipc:///run/x", "ipc:///run/x"),
            ("tcp://localhost:*", "tcp://localhost:7"), ("tcp://lo:*", "tcp://127.0.0.1:7"),
        ])
    func places(asked: String, told: String) async throws {
        let place = try await ListenAddress.find(asked)
            .advertised(port: 7, interfaces: interfaces, hostName: "host")
        #expect("\(place)" == told)
    }

    @Test("without one, this machine's name is told; IPv4 alone is never told under IPv6")
    func none() async throws {
        let (lone, six) = (Array(interfaces[..<2]), [interfaces[5]])
        for (asked, among, told) in [
            ("tcp://*:*", lone, "tcp://host:7"), ("tcp://0.0.0.0:*", six, "tcp://host:7"),
            ("tcp://*:*", six, "tcp://[2001:db8::2]:7"),
        ] {
            let place = try await ListenAddress.find(asked)
                .advertised(port: 7, interfaces: among, hostName: "host")
            #expect("\(place)" == told)
        }
    }
}
