@testable import ClusterCore
import Testing

@Suite("TaskLedger")
struct TaskLedgerTests {
    @Test("a released task goes to the head of the queue, and only when nobody else has it")
    func release() {
        var ledger = TaskLedger()
        ledger.submit(tasks(3))
        let first = ledger.issue(tasks(3)[0], to: peer(1))
        #expect(Array(ledger.queued) == Array(tasks(3)[1...]))
        let answers = (0..<2).map { _ in ledger.requestCopy(of: first.task, maximum: 2) }
        #expect(answers == [true, false])
        let second = ledger.issue(first.task, to: peer(2))
        ledger.release(first)
        #expect(Array(ledger.queued) == Array(tasks(3)[1...]))
        ledger.release(second)
        #expect(Array(ledger.queued) == tasks(3))
    }

    @Test("the first answer wins and names the attempts that have lost")
    func winner() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        let first = ledger.issue(tasks(1)[0], to: peer(1))
        _ = ledger.requestCopy(of: first.task, maximum: 2)
        let second = ledger.issue(first.task, to: peer(2))
        #expect(
            ledger.accept(second) == .accepted(others: [.init(attempt: first, peer: peer(1))]))
        #expect(ledger.accept(first) == .stale)
        #expect(ledger.openCount == 0)
    }

    @Test("an answer to a task that waits again is taken and ends the waiting")
    func answerWhileQueued() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        let attempt = ledger.issue(tasks(1)[0], to: peer(1))
        ledger.release(attempt)
        #expect(ledger.accept(attempt) == .accepted(others: []))
        #expect(!ledger.hasQueued)
    }

    @Test("attempts that were never handed out have no answer", arguments: [0, 2, .max])
    func neverIssued(number: UInt32) {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        #expect(
            ledger.accept(AttemptID(task: tasks(1)[0], number: 1)) == .neverIssued)
        _ = ledger.issue(tasks(1)[0], to: peer(1))
        #expect(
            ledger.accept(AttemptID(task: tasks(1)[0], number: number)) == .neverIssued)
    }

    @Test("a copy nobody took can be withdrawn")
    func withdrawal() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        let attempt = ledger.issue(tasks(1)[0], to: peer(1))
        _ = ledger.requestCopy(of: attempt.task, maximum: 2)
        ledger.dropUnissuedCopy(of: attempt.task)
        #expect(!ledger.hasQueued)
        ledger.release(attempt)
        #expect(ledger.hasQueued)
    }

    @Test("quantiles are those of the sorted times", arguments: [1, 4, 20, 64, 100])
    func speed(count: Int) {
        var record = SpeedRecord()
        for number in (1...count).reversed() { record.add(.seconds(number)) }
        // Of more than 64 the oldest, which are the largest here, are forgotten.
        let kept = min(count, 64)
        #expect(record.count == kept)
        #expect(record.median == .seconds((kept * 50 + 99) / 100))
        #expect(record.percentile95 == .seconds((kept * 95 + 99) / 100))
    }
}
