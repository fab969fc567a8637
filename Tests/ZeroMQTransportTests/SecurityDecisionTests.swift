import ClusterCore
import TestSupport
import Testing

@testable import ZeroMQTransport

private let start = ContinuousClock.now

@Suite("What a router knows of its connections", .watched)
struct ConnectionLedgerTests {
    private let alice = PeerID(bytes: [1])

    private func ledger() -> ConnectionLedger { ConnectionLedger(limits: .standard) }

    @Test("what a connection ended with is counted, whatever order libzmq tells it in")
    func accounts() {
        var ledger = ledger()
        for descriptor: Int32 in 1...5 { ledger.accepted(descriptor, cookie: 0, at: start) }
        // 1 speaks and leaves; 2 is a scanner; 3 has a wrong server key; 4 is established and
        // says nothing; 5 sent an HTTP request.
        ledger.established()
        let isLive = ledger.heard(alice, userID: "", by: 1)
        #expect(isLive)
        ledger.handshakeFailed(.abandoned)
        ledger.established()
        ledger.handshakeFailed(.wrongServerKey)
        let lost = [2, 1, 4, 3, 5].map { ledger.disconnected($0) }
        #expect(lost == [nil, alice, nil, nil, nil])
        let counters = ledger.counters
        #expect(counters.accepted == 5 && counters.established == 2 && counters.ended == 5)
        #expect(counters.endedUnheard == 1)
        #expect(counters.refused == [.abandoned: 1, .wrongServerKey: 1, .notZMTP: 1])
    }

    @Test("a message by an ended connection is of nobody who could be lost again")
    func late() {
        var ledger = ledger()
        ledger.accepted(7, cookie: 1, at: start)
        let isLive = ledger.heard(alice, userID: "", by: 7)
        #expect(isLive)
        let first = ledger.disconnected(7)
        let isLate = !ledger.heard(alice, userID: "", by: 7)
        ledger.accepted(7, cookie: 2, at: start)
        let second = ledger.disconnected(7)
        #expect(first == alice && isLate && second == nil)
    }

    @Test("a connection that says nothing is overdue after the time in which silence is loss")
    func silent() {
        var ledger = ledger()
        ledger.accepted(7, cookie: 1, at: start)
        ledger.accepted(8, cookie: 2, at: start)
        _ = ledger.heard(alice, userID: "", by: 8)
        let early = ledger.overdue(at: start + .seconds(10)) { _ in 0 }
        #expect(early.isEmpty)
        let overdue = ledger.overdue(at: start + .seconds(11)) { _ in 0 }
        #expect(overdue.map(\.descriptor) == [7])
        #expect(overdue.map(\.reason) == [.silent])
    }

    @Test(
        "a message that does not end is overdue when it is too long, or long and too slow",
        arguments: [
            (bytes: UInt64(1) << 20, seconds: 60, isOverdue: false),
            (bytes: 2 << 20, seconds: 5, isOverdue: false),
            (bytes: 2 << 20, seconds: 11, isOverdue: true),
            (bytes: 64 << 20, seconds: 1, isOverdue: false),
            (bytes: 67 << 20, seconds: 1, isOverdue: true),
        ])
    func endless(bytes: UInt64, seconds: Int, isOverdue: Bool) {
        var ledger = ledger()
        ledger.accepted(7, cookie: 1, at: start)
        _ = ledger.heard(alice, userID: "", by: 7)
        let before: UInt64 = 1 << 40
        let early = ledger.overdue(at: start) { _ in before }
        #expect(early.isEmpty)
        let overdue = ledger.overdue(at: start + .seconds(seconds)) { _ in before + bytes }
        #expect(overdue.contains { $0 == (7, .endlessMessage) } == isOverdue)
    }

    @Test("whoever ends messages may send without end")
    func busy() {
        var ledger = ledger()
        ledger.accepted(7, cookie: 1, at: start)
        for second in 0..<100 {
            _ = ledger.heard(alice, userID: "", by: 7)
            let overdue = ledger.overdue(at: start + .seconds(second * 60)) { _ in
                UInt64(second) << 30
            }
            #expect(overdue.isEmpty)
        }
    }

    @Test("nonsense is put up with sixteen times in a row, and once in a while for ever")
    func complaints() {
        var ledger = ledger()
        ledger.accepted(7, cookie: 1, at: start)
        ledger.accepted(8, cookie: 2, at: start)
        let limit = Limits.standard.maximumMalformed
        for count in 1...limit + 3 {
            _ = ledger.heard(alice, userID: "", by: 7)
            let overdue = ledger.complained(about: alice)
            #expect(overdue == (count == limit ? [7] : []))
        }
        let bob = PeerID(bytes: [2])
        for _ in 0..<1000 {
            for _ in 0..<8 { _ = ledger.heard(bob, userID: "", by: 8) }
            let overdue = ledger.complained(about: bob)
            #expect(overdue.isEmpty)
        }
        let others = ledger.complained(about: PeerID(bytes: [9]))
        #expect(others.isEmpty)
    }

    @Test("when a key is revoked its connections go, and those whose key is not known yet")
    func outlawed() {
        var ledger = ledger()
        for descriptor: Int32 in 1...3 { ledger.accepted(descriptor, cookie: 0, at: start) }
        _ = ledger.heard(alice, userID: "good", by: 1)
        _ = ledger.heard(PeerID(bytes: [2]), userID: "bad", by: 2)
        #expect(ledger.outlawed(permitted: ["good"]).sorted() == [2, 3])
    }

    @Test(
        "the last descriptors are the job's own",
        arguments: [
            (40, 64, false), (48, 64, true), (63, 64, true), (900, 1024, false), (960, 1024, true),
            (19_000, 20_000, false), (19_936, 20_000, true),
        ])
    func tableFull(descriptor: Int32, limit: Int, isFull: Bool) {
        #expect(Descriptors.isTableFull(descriptor: descriptor, limit: limit) == isFull)
    }
}

@Suite("How refusals are told", .watched)
struct RefusalLogTests {
    @Test("a flood is one line per reason and period, with the numbers")
    func flood() {
        var log = RefusalLog(period: .seconds(10))
        var counters = TransportCounters()
        var lines: [String] = []
        for millisecond in 0..<25_000 {
            counters.refuse(.notZMTP)
            lines += log.lines(for: counters, at: start + .milliseconds(millisecond))
        }
        #expect(
            lines == [
                "refused: not ZeroMQ, 1 times, 1 in all",
                "refused: not ZeroMQ, 10000 times, 10001 in all",
                "refused: not ZeroMQ, 10000 times, 20001 in all",
            ])
    }

    private func lineCount(
        _ log: inout RefusalLog, _ counters: TransportCounters, after seconds: Int = 0
    ) -> Int {
        log.lines(for: counters, at: start + .seconds(seconds)).count
    }

    @Test("a new reason is told at once")
    func newReason() {
        var log = RefusalLog(period: .seconds(10))
        var counters = TransportCounters()
        counters.refuse(.unknownKey)
        #expect(lineCount(&log, counters) == 1)
        counters.refuse(.abandoned)
        #expect(lineCount(&log, counters) == 1)
        #expect(lineCount(&log, counters, after: 60) == 0)
    }

    @Test("counters sum up in one line, and travel as JSON by the reasons' names")
    func summary() {
        var counters = TransportCounters()
        #expect(counters.refusalSummary == nil)
        counters.refuse(.unknownKey, 2)
        counters.refuse(.notZMTP, 10)
        #expect(counters.refusalSummary == "12 refused: 2 unknown key, 10 not ZeroMQ")
    }
}

@Suite("How a worker takes a refusal", .watched)
struct DialRecordTests {
    private func record(encrypts: Bool = true) -> DialRecord {
        DialRecord(endpoint: "tcp://x:1", encrypts: encrypts, silenceLimit: .seconds(10))
    }

    @Test("a refused key is believed the third time, unless it is let in between")
    func keyRefused() {
        var record = record()
        #expect(verdict(&record, .keyRefused) == nil)
        #expect(verdict(&record, .keyRefused) == nil)
        #expect(verdict(&record, .succeeded) == nil)
        #expect(verdict(&record, .keyRefused) == nil)
        #expect(verdict(&record, .keyRefused) == nil)
        #expect(
            verdict(&record, .keyRefused)
                == .fail(.keyRefused(endpoint: "tcp://x:1")))
    }

    @Test("who dials plaintext where keys are wanted is told so", arguments: [true, false])
    func mismatch(encrypts: Bool) {
        var record = record(encrypts: encrypts)
        _ = record.handshake(.mismatched, at: start)
        _ = record.handshake(.mismatched, at: start)
        #expect(
            verdict(&record, .mismatched)
                == .fail(.securityMismatch(endpoint: "tcp://x:1", weEncrypt: encrypts)))
    }

    @Test("handshakes that break off are told early and given up late")
    func brokenOff() {
        var record = record()
        var verdicts: [Int: DialRecord.Verdict] = [:]
        for count in 1...12 { verdicts[count] = record.handshake(.failed, at: start) }
        #expect(verdicts.keys.sorted() == [2, 3, 12])
        #expect(verdicts[2] == .askMechanism)
        #expect(verdicts[12] == .fail(.handshakeRefused(endpoint: "tcp://x:1", times: 12)))
    }

    @Test(
        "what whoever listens says about itself decides",
        arguments: [
            (true, "CURVE", false), (true, "NULL", true), (false, "CURVE", true),
            (false, "NULL", false), (true, nil, false), (false, nil, false),
        ] as [(Bool, String?, Bool)])
    func learned(encrypts: Bool, mechanism: String?, isFatal: Bool) {
        #expect((record(encrypts: encrypts).learned(mechanism) != nil) == isFatal)
    }

    @Test("after one success they are never given up")
    func brokenOffLater() {
        var record = record()
        _ = record.handshake(.succeeded, at: start)
        for _ in 0..<100 {
            guard case .fail? = record.handshake(.failed, at: start) else { continue }
            Issue.record("gave up")
        }
    }

    private func verdict(
        _ record: inout DialRecord, _ handshake: DialRecord.Handshake
    ) -> DialRecord.Verdict? {
        record.handshake(handshake, at: start)
    }

    private func dialsAnew(_ record: inout DialRecord, after seconds: Int) -> Bool {
        record.redial(at: start + .seconds(seconds)) == .unheard
    }

    @Test(
        "where libzmq gives up the record dials, less and less often",
        arguments: [
            (DialRecord.Handshake.keyRefused, 1, 250), (.keyRefused, 2, 500), (.garbled, 5, 4000),
            (.garbled, 11, 5000),
        ])
    func givenUp(handshake: DialRecord.Handshake, times: Int, milliseconds: Int) {
        var record = record()
        for _ in 0..<times { _ = record.handshake(handshake, at: start) }
        let early = record.redial(at: start + .milliseconds(milliseconds - 1))
        let due = record.redial(at: start + .milliseconds(milliseconds))
        let again = record.redial(at: start + .milliseconds(milliseconds))
        #expect(early == nil && due == .givenUp && again == nil)
    }

    @Test("a connection by which nothing is heard is dialled anew, once")
    func redial() {
        var record = record()
        #expect(dialsAnew(&record, after: 100) == false)
        _ = record.handshake(.succeeded, at: start)
        #expect(dialsAnew(&record, after: 10) == false)
        record.heard(at: start + .seconds(9))
        #expect(dialsAnew(&record, after: 19) == false)
        #expect(dialsAnew(&record, after: 20) == true)
        #expect(dialsAnew(&record, after: 40) == false)
        _ = record.handshake(.succeeded, at: start + .seconds(40))
        record.heard(at: start + .seconds(41))
        record.disconnected(at: start + .seconds(42))
        #expect(dialsAnew(&record, after: 90) == false)
    }

    @Test("a connection that ends before anything is heard is dialled under another address")
    func endedUnheard() {
        var record = record()
        _ = record.handshake(.succeeded, at: start)
        record.disconnected(at: start + .seconds(1))
        #expect(dialsAnew(&record, after: 1) == false)
        #expect(dialsAnew(&record, after: 2) == true)
    }
}
