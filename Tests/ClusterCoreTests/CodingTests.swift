import ClusterCore
import Foundation
import TestSupport
import Testing

/// One of each kind.
private enum Samples {
    static let attempt = AttemptID(task: tasks(2)[1], number: 3)
    static let failure = TaskFailure(code: .stuck, reason: "no „progress“\n")
    static let worker = WorkerID(name: "w/1", incarnation: .max)

    static let messages: [WorkerMessage] = [
        .hello(hello("a", incarnation: .max, slots: 2)), .assetRequest(digest),
        .jobReady(job, problem: nil), .jobReady(JobID(.max), problem: "no room"),
        .result(attempt, computeTime: .nanoseconds(1_234_567_891)), .failure(attempt, failure),
        .heartbeat(Heartbeat(number: .max, inHand: [attempt], progress: nil)),
        .heartbeat(Heartbeat(number: 1, inHand: [], progress: 7)), .goodbye(.draining),
    ]

    static let events: [CoordinatorEvent] =
        messages.map { .received($0, from: PeerID(bytes: [0, 1, 0xab, 255])) } + [
            .answered(
                attempt, computeTime: .seconds(1), digest: ContentDigest(.max), from: peer(1)),
            .unsound(attempt, TaskFailure(code: .notFinite, reason: "NaN"), from: peer(1)),
            .malformed(reason: "", from: PeerID(bytes: [])),
            .incompatible(WireVersion(major: 9, minor: 1), from: peer(1)),
            .disconnected(peer(1)),
            .open(job, conditioning: digest, trial: [.denoise, .decode]),
            .submit(job, tasks(3)), .consumed(job), .close(job), .tick,
            .shutdown(isReturning: true),
        ]

    static let effects: [CoordinatorEffect] = [
        .send(.task(attempt), to: peer(1)),
        .send(.reject(Rejection(code: .full, reason: "x")), to: peer(1)),
        .hold(attempt), .deliver(attempt),
        .fail(job, .noWorkers(waited: .seconds(3), rejections: ["a"])), .fail(job, .shutdown),
        .fail(job, .tainted(worker, answers: 2)),
        .worker(.lost(worker, .silent(.seconds(10)), live: 1)),
        .worker(.quarantined(worker, .seconds(30), reason: "r")),
        .worker(.doubted(worker, attempt.task, waiting: .seconds(30))),
        .note(.forgave(.milliseconds(5))), .note(.unconfirmed(tasks(1)[0])),
    ]
}

@Suite("What is written down of a coordinator's life", .watched)
struct CodingTests {
    @Test("an event is the same after it was written and read", arguments: Samples.events.indices)
    func eventRoundTrip(index: Int) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let event = Samples.events[index]
        let bytes = try encoder.encode(event)
        let read = try JSONDecoder().decode(CoordinatorEvent.self, from: bytes)
        #expect("\(read)" == "\(event)")
        #expect(try encoder.encode(read) == bytes)
    }

    @Test("so is an effect", arguments: Samples.effects.indices)
    func effectRoundTrip(index: Int) throws {
        let bytes = try JSONEncoder().encode(Samples.effects[index])
        #expect(
            try JSONDecoder().decode(CoordinatorEffect.self, from: bytes) == Samples.effects[index])
    }

    @Test("so is what a coordinator is set up with")
    func setupRoundTrip() throws {
        var limits = Limits.standard
        limits.noWorkerTimeout = .nanoseconds(7)
        let setup = CoordinatorSetup(
            expected: identity, life: presentLife, version: "1", limits: limits,
            confirmation: Confirmation(percent: 0.1, salt: .max))
        let bytes = try JSONEncoder().encode(setup)
        #expect(try JSONDecoder().decode(CoordinatorSetup.self, from: bytes) == setup)
    }

    @Test(
        "names that are none are refused",
        arguments: ["\"xyz\"", "\"\"", "7", "\"11112222333344445\"", "\"-1\""])
    func badNames(text: String) {
        #expect(throws: DecodingError.self) {
            _ = try JSONDecoder().decode(JobID.self, from: Data(text.utf8))
        }
    }

    @Test("addresses that are none are refused", arguments: ["\"abc\"", "\"zz\"", "[1]"])
    func badAddresses(text: String) {
        #expect(throws: DecodingError.self) {
            _ = try JSONDecoder().decode(PeerID.self, from: Data(text.utf8))
        }
    }
}
