import ClusterCore
import Foundation
import Locking
import TestSupport
import NetworkAddresses
import Testing

@testable import ZeroMQTransport

/// A coordinator's end with keys, one legitimate worker that is answered all the time, and room for
/// strangers.
private struct Fortress: Sendable {
    let router: RouterTransport
    let keys: KeyFolder
    let server: CurveKeyPair
    let friend: DealerTransport
    let friendKey: CurveKeyPair
    let notices: Notices

    final class Notices: Sendable {
        private let lines = Lock<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    /// Waits until the counters say so; false after two minutes.
    func counts(_ condition: (TransportCounters) -> Bool) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < deadline {
            if condition(router.counters) { return true }
            try await Task.sleep(for: .milliseconds(10))
        }
        return false
    }

    func refused(_ reason: RefusalReason, _ count: Int = 1) async throws -> Bool {
        try await counts { $0.refused[reason, default: 0] >= count }
    }

    /// A dealer with this key; it runs until the test's end.
    func dealer(
        _ key: CurveKeyPair, server: CurvePublicKey? = nil, routingID: [UInt8]? = nil,
        limits: Limits = fortressLimits()
    ) throws -> DealerTransport {
        let security = DialSecurity.curve(own: key, server: server ?? self.server.publicKey)
        return try routingID.map {
            try DealerTransport(
                connecting: router.endpoint, security: security, routingID: $0, limits: limits)
        } ?? DealerTransport(connecting: router.endpoint, security: security, limits: limits)
    }
}

private func fortressLimits() -> Limits {
    var limits = quickLimits()
    limits.lostAfter = .seconds(2)
    return limits
}

/// Runs `body` beside a router that echoes, and proves afterwards that a legitimate worker was
/// answered all along.
private func withFortress(
    limits: Limits = fortressLimits(),
    _ body:
        @escaping @Sendable (
            Fortress, inout ThrowingTaskGroup<Void, any Error>
        ) async throws -> Void
) async throws {
    let keys = try KeyFolder()
    let (server, friendKey) = (try CurveKeyPair.generate(), try CurveKeyPair.generate())
    try keys.authorize("friend", friendKey.publicKey)
    let notices = Fortress.Notices()
    let router = try RouterTransport(
        binding: "tcp://127.0.0.1:*",
        security: .curve(server, try AuthorizedKeys(folder: keys.authorized)),
        limits: limits, onNotice: { notices.add($0) })
    let friend = try DealerTransport(
        connecting: router.endpoint,
        security: .curve(own: friendKey, server: server.publicKey), limits: quickLimits())
    let fortress = Fortress(
        router: router, keys: keys, server: server, friend: friend, friendKey: friendKey,
        notices: notices)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await router.run(tickInterval: .milliseconds(20)) {} }
        group.addTask { try await friend.run(tickInterval: .milliseconds(20)) {} }
        group.addTask { await router.echo() }
        var answers = friend.inbound.makeAsyncIterator()
        for number in 0..<3 {
            let question: Frames = [[UInt8(number)], Array(repeating: 7, count: 100_000)]
            friend.send(question, expendable: false)
            if number == 1 { try await body(fortress, &group) }
            #expect(await answers.next(isolation: nil) == question)
        }
        friend.shutdown()
        router.shutdown()
        group.cancelAll()
        while let result = await group.nextResult() {
            // Refused dealers have ended with their reason; the tests look at it themselves.
            if case .failure(let error) = result, !(error is TransportError) { throw error }
        }
    }
}

@Suite("Hostile clients at an encrypted door", .watched, .serialized, .timeLimit(.minutes(10)))
struct HostileClientTests {
    @Test(
        "matrix 41: what is not ZeroMQ is refused at the greeting and counted",
        arguments: [
            Strangers.httpRequest, Strangers.tlsHello, Strangers.sshBanner, Strangers.random,
        ])
    func notZeroMQ(bytes: [UInt8]) async throws {
        try await withFortress { fortress, _ in
            let client = try #require(RawClient(fortress.router.endpoint, sending: bytes))
            #expect(client.isClosed(within: 120))
            #expect(try await fortress.counts { $0.totalRefused >= 1 })
        }
    }

    @Test("matrix 41: a port scanner is counted, and a hundred of them are one line")
    func portScan() async throws {
        try await withFortress { fortress, _ in
            for _ in 0..<100 { _ = RawClient(fortress.router.endpoint) }
            let isCounted = try await fortress.refused(.abandoned, 100)
            #expect(isCounted)
            let lines = fortress.notices.all.filter { $0.hasPrefix("refused") }
            #expect((1...2).contains(lines.count), "\(lines)")
        }
    }

    @Test("matrix 42: a thousand half-open connections are closed in their time")
    func halfOpen() async throws {
        // Both ends of each are here.
        let crowd = crowdSize(1000, descriptorsEach: 2)
        try await withFortress { fortress, _ in
            let half = Array(Strangers.greeting("CURVE").prefix(11))
            let clients = (0..<crowd).compactMap { number in
                RawClient(fortress.router.endpoint, sending: number % 2 == 0 ? [] : half)
            }
            #expect(clients.count == crowd)
            // A newcomer gets in between them.
            let key = try CurveKeyPair.generate()
            try fortress.keys.authorize("late", key.publicKey)
            let late = try fortress.dealer(key, limits: quickLimits())
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await late.run(tickInterval: .milliseconds(20)) {} }
                late.send([[5], [6]], expendable: false)
                var answers = late.inbound.makeAsyncIterator()
                #expect(await answers.next(isolation: nil) == [[5], [6]])
                late.shutdown()
                try await group.waitForAll()
            }
            #expect(try await fortress.refused(.abandoned, crowd))
            #expect(clients.allSatisfy { $0.isClosed(within: 120) })
        }
    }

    @Test("matrix 45: a client without a key is refused, counted, and told what it lacks")
    func noKey() async throws {
        try await withFortress { fortress, _ in
            let stranger = try DealerTransport(connecting: fortress.router.endpoint)
            let error = await #expect(throws: TransportError.self) {
                try await stranger.run(tickInterval: .milliseconds(20)) {}
            }
            #expect(
                error
                    == .securityMismatch(endpoint: fortress.router.endpoint, weEncrypt: false))
            // Whoever is gone before the door has answered counts among those that left.
            #expect(
                try await fortress.counts {
                    $0.refused[.noKey, default: 0] >= 1 && $0.totalRefused >= 2
                })
        }
    }

    @Test("an encrypted door says what it is when asked, and a stranger's greeting is nothing")
    func mechanism() async throws {
        try await withFortress { fortress, _ in
            let port = try #require(try Endpoint(fortress.router.endpoint).port)
            let door = SocketAddress(.loopback, port: port)
            #expect(MechanismProbe.ask(door) == "CURVE")
        }
        #expect(MechanismProbe.mechanism(in: Strangers.greeting("NULL")) == "NULL")
        #expect(MechanismProbe.mechanism(in: Strangers.httpRequest) == nil)
        #expect(MechanismProbe.ask(SocketAddress(.loopback, port: 1)) == nil)
    }

    @Test("matrix 45: a key that is not authorised, or has expired, is refused, counted and told")
    func wrongKey() async throws {
        try await withFortress { fortress, _ in
            let expired = try CurveKeyPair.generate()
            try fortress.keys.authorize("old", expired.publicKey, expiry: DateText.now - 60)
            for (key, reason) in [
                (try CurveKeyPair.generate(), RefusalReason.unknownKey), (expired, .expiredKey),
            ] {
                let stranger = try fortress.dealer(key)
                await #expect(
                    throws: TransportError.keyRefused(endpoint: fortress.router.endpoint)
                ) {
                    try await stranger.run(tickInterval: .milliseconds(20)) {}
                }
                #expect(try await fortress.refused(reason, 3))
            }
        }
    }

    @Test("matrix 45: a client that takes another server for this one is refused and counted")
    func wrongServerKey() async throws {
        try await withFortress { fortress, group in
            let stranger = try fortress.dealer(
                fortress.friendKey, server: try CurveKeyPair.generate().publicKey)
            group.addTask { try await stranger.run(tickInterval: .milliseconds(20)) {} }
            #expect(try await fortress.refused(.wrongServerKey, 3))
            stranger.shutdown()
        }
    }

    @Test("matrix 45: revoking a key ends its live session for good")
    func revoked() async throws {
        try await withFortress { fortress, group in
            let key = try CurveKeyPair.generate()
            try fortress.keys.authorize("guest", key.publicKey)
            // Whoever is not answered for so long dials again, and is told there.
            var limits = quickLimits()
            limits.lostAfter = .seconds(10)
            let guest = try fortress.dealer(key, limits: limits)
            let life = Task { try await guest.run(tickInterval: .milliseconds(20)) {} }
            guest.send([[1]], expendable: false)
            var answers = guest.inbound.makeAsyncIterator()
            #expect(await answers.next(isolation: nil) == [[1]])
            try fortress.keys.revoke("guest")
            // Nothing that it says from now on is answered; then it is told why.
            for _ in 0..<100 { guest.send([[2]], expendable: false) }
            var last: Frames?
            while let frames = await answers.next(isolation: nil) { last = frames }
            #expect(last == nil || last == [[2]])
            #expect(try await fortress.refused(.revokedKey, 2))
            await #expect(throws: TransportError.keyRefused(endpoint: fortress.router.endpoint)) {
                try await life.value
            }
            #expect(fortress.notices.all.contains { $0.contains("1 revoked") })
        }
    }

    @Test("matrix 44: a frame above the limit ends its sender's connection")
    func oversized() async throws {
        try await withFortress { fortress, group in
            let key = try CurveKeyPair.generate()
            try fortress.keys.authorize("guest", key.publicKey)
            let guest = try fortress.dealer(key, limits: quickLimits())
            group.addTask { try await guest.run(tickInterval: .milliseconds(20)) {} }
            // Within the library's limit: handed on, for the codec to refuse, and counted.
            guest.send([Array(repeating: 0, count: 2 << 20)], expendable: false)
            #expect(try await fortress.refused(.oversizedFrame))
            let ended = fortress.router.counters.ended
            guest.send([Array(repeating: 0, count: 5 << 20)], expendable: false)
            #expect(try await fortress.counts { $0.ended > ended })
            guest.shutdown()
        }
    }

    @Test("matrix 40: whoever keeps sending nonsense is cut off and counted")
    func nonsense() async throws {
        try await withFortress { fortress, group in
            let key = try CurveKeyPair.generate()
            try fortress.keys.authorize("guest", key.publicKey)
            let guest = try fortress.dealer(
                key, routingID: [8, 8], limits: quickLimits())
            group.addTask { try await guest.run(tickInterval: .milliseconds(20)) {} }
            guest.send([[1]], expendable: false)
            var answers = guest.inbound.makeAsyncIterator()
            _ = await answers.next(isolation: nil)
            // What a coordinator says when its codec rejects a message.
            for _ in 0..<16 { fortress.router.complain(about: PeerID(bytes: [8, 8])) }
            #expect(try await fortress.refused(.malformed))
            guest.shutdown()
        }
    }

    @Test("matrix 63: a message by one key under another's address is dropped")
    func forged() async throws {
        try await withFortress { fortress, group in
            let (alice, mallory) = (try CurveKeyPair.generate(), try CurveKeyPair.generate())
            try fortress.keys.authorize("alice", alice.publicKey)
            try fortress.keys.authorize("mallory", mallory.publicKey)
            let first = try fortress.dealer(
                alice, routingID: [8, 8], limits: quickLimits())
            group.addTask { try await first.run(tickInterval: .milliseconds(20)) {} }
            first.send([[1]], expendable: false)
            var answers = first.inbound.makeAsyncIterator()
            #expect(await answers.next(isolation: nil) == [[1]])
            // While alice is connected libzmq gives mallory no ear; dialling anew it gets another
            // address.
            let second = try fortress.dealer(mallory, routingID: [8, 8])
            group.addTask { try await second.run(tickInterval: .milliseconds(20)) {} }
            second.send([[2]], expendable: false)
            first.send([[3]], expendable: false)
            #expect(await answers.next(isolation: nil) == [[3]])
            first.shutdown()
            second.shutdown()
        }
    }
}

@Suite("Hostile clients at an open door", .watched, .serialized, .timeLimit(.minutes(10)))
struct HostilePlaintextTests {
    /// Runs `body` beside a plaintext router that echoes and a worker that is answered before and
    /// after.
    private func withOpenRouter(
        _ body: (RouterTransport) async throws -> Void
    ) async throws {
        var limits = fortressLimits()
        limits.maximumTensorFrames = 6
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*", limits: limits)
        let friend = try DealerTransport(connecting: router.endpoint, limits: quickLimits())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await router.run(tickInterval: .milliseconds(20)) {} }
            group.addTask { try await friend.run(tickInterval: .milliseconds(20)) {} }
            group.addTask { await router.echo() }
            var answers = friend.inbound.makeAsyncIterator()
            for number: UInt8 in 0..<3 {
                friend.send([[number]], expendable: false)
                if number == 1 { try await body(router) }
                #expect(await answers.next(isolation: nil) == [[number]])
            }
            friend.shutdown()
            router.shutdown()
            try await group.waitForAll()
        }
    }

    /// Waits until this was refused; false after two minutes.
    private func isRefused(_ reason: RefusalReason, by router: RouterTransport) async -> Bool {
        let deadline = ContinuousClock.now + .seconds(120)
        while router.counters.refused[reason] == nil, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
        return router.counters.refused[reason] != nil
    }

    @Test("matrix 44: a message without an end is cut off, and its memory is bounded")
    func endless() async throws {
        try await withOpenRouter { router in
            let client = try #require(
                RawClient(router.endpoint, sending: Strangers.plainHandshake))
            try #require(client.hasHeard("READY"))
            let chunk = Array(repeating: Strangers.unfinishedFrame(200), count: 500).flatMap(\.self)
            var sent = 0
            // Nine frames of 1 MiB are the longest message of these limits.
            while client.send(chunk), sent < 1 << 30 { sent += chunk.count }
            #expect(sent < 1 << 30)
            let isCut = await isRefused(.endlessMessage, by: router)
            #expect(isCut, "\(sent) bytes: \(router.counters)")
        }
    }

    @Test("matrix 44: a message that trickles in and does not end is cut off, too")
    func trickle() async throws {
        try await withOpenRouter { router in
            let client = try #require(
                RawClient(router.endpoint, sending: Strangers.plainHandshake))
            try #require(client.hasHeard("READY"))
            let frame = Array(repeating: Strangers.unfinishedFrame(200), count: 10_000).flatMap(
                \.self)
            client.send(frame)
            #expect(await isRefused(.silent, by: router))
            #expect(client.isClosed(within: 120))
        }
    }

    @Test("matrix 44: a flood that nobody has read yet, and whose sender died, ends no process")
    func abandonedFlood() async throws {
        var limits = quickLimits()
        limits.maximumInbox = 4
        let router = try RouterTransport(binding: "tcp://127.0.0.1:*", limits: limits)
        let (ticks, clock) = AsyncStream<Void>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await router.run(tickInterval: .milliseconds(100)) { clock.yield() }
            }
            let client = try #require(
                RawClient(router.endpoint, sending: Strangers.plainHandshake))
            try #require(client.hasHeard("READY"))
            // Far more than is held for a slow reader, so that libzmq stops reading.
            client.send(Array(repeating: [0, 1, 7], count: 10_000).flatMap(\.self))
            client.reset()
            // In this time libzmq's own heartbeats, were they on, would have had their turn.
            var seconds = ticks.prefix(40).makeAsyncIterator()
            while await seconds.next() != nil {}
            var events = router.inbound.makeAsyncIterator()
            while case .received(let frames, _)? = await events.next(isolation: nil) {
                #expect(frames == [[7]])
            }
            router.shutdown()
            try await group.waitForAll()
        }
    }

    @Test(
        "matrix 41: what is not ZeroMQ is refused at the greeting and counted here, too",
        arguments: [Strangers.httpRequest, Strangers.tlsHello, Strangers.sshBanner])
    func notZeroMQ(bytes: [UInt8]) async throws {
        try await withOpenRouter { router in
            let client = try #require(RawClient(router.endpoint, sending: bytes))
            #expect(client.isClosed(within: 120))
            let deadline = ContinuousClock.now + .seconds(120)
            while router.counters.totalRefused == 0, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(router.counters.totalRefused == 1)
        }
    }
}

/// So many, or as many as this process has descriptors for beside the other tests, which have some
/// 500 open at a time.
private func crowdSize(_ wanted: Int, descriptorsEach: Int) -> Int {
    Descriptors.raiseLimit(wanted: 16_384)
    return min(wanted, max(16, (Descriptors.limit - 700) / 2 / descriptorsEach))
}

@Suite("Many clients at once", .watched, .serialized, .timeLimit(.minutes(10)))
struct CrowdTests {
    @Test("matrix 53: of two workers with one address the second dials anew with a fresh one")
    func collision() async throws {
        try await withFortress { fortress, group in
            // This one keeps its address, however long an answer takes.
            let first = try fortress.dealer(
                fortress.friendKey, routingID: [8, 8], limits: quickLimits())
            // As workers do, both greet until they are answered: what was said on a connection
            // that came to nothing is lost with it.
            group.addTask {
                try await first.run(tickInterval: .milliseconds(100)) {
                    first.send([[1]], expendable: true)
                }
            }
            var answers = first.inbound.makeAsyncIterator()
            #expect(await answers.next(isolation: nil) == [[1]])
            let second = try fortress.dealer(fortress.friendKey, routingID: [8, 8])
            group.addTask {
                try await second.run(tickInterval: .milliseconds(100)) {
                    second.send([[2]], expendable: true)
                }
            }
            var others = second.inbound.makeAsyncIterator()
            #expect(await others.next(isolation: nil) == [[2]])
            first.send([[3]], expendable: false)
            var answer = await answers.next(isolation: nil)
            while answer == [[1]] { answer = await answers.next(isolation: nil) }
            #expect(answer == [[3]])
            first.shutdown()
            second.shutdown()
        }
    }

    @Test("matrix 54: 512 workers that dial at once are all in within seconds")
    func herd() async throws {
        // A worker of its own process takes one; here each has a context of libzmq's, too.
        let crowd = crowdSize(512, descriptorsEach: 12)
        // None is a stranger for being slow: the others of the tests may have the machine meanwhile.
        var patience = quickLimits()
        patience.handshakeLimit = .seconds(120)
        let limits = patience
        try await withFortress(limits: limits) { fortress, group in
            let clock = ContinuousClock()
            let dealers = try (0..<crowd).map { _ in
                try fortress.dealer(fortress.friendKey, limits: limits)
            }
            let start = clock.now
            for dealer in dealers {
                // As workers do, each greets until it is answered.
                group.addTask {
                    try await dealer.run(tickInterval: .seconds(1)) {
                        dealer.send([[1], [2]], expendable: true)
                    }
                }
            }
            for dealer in dealers {
                var answers = dealer.inbound.makeAsyncIterator()
                let answer = await answers.next(isolation: nil)
                #expect(answer == [[1], [2]])
            }
            print("\(crowd) workers were in after \(clock.now - start)")
            for dealer in dealers { dealer.shutdown() }
        }
    }
}
