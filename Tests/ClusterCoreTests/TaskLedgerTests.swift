@testable import ClusterCore
import TestSupport
import Testing

@Suite("TaskLedger", .watched)
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
            ledger.accept(second)
                == .accepted(others: [.init(attempt: first, peer: peer(1))], outvoted: []))
        #expect(ledger.accept(first) == .stale)
        #expect(ledger.openCount == 0)
    }

    @Test("an answer to a task that waits again is taken and ends the waiting")
    func answerWhileQueued() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        let attempt = ledger.issue(tasks(1)[0], to: peer(1))
        ledger.release(attempt)
        #expect(ledger.accept(attempt) == .accepted(others: [], outvoted: []))
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

    @Test("an answer counts only from the peer that was given the attempt")
    func stranger() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1))
        let attempt = ledger.issue(tasks(1)[0], to: peer(1))
        #expect(ledger.accept(attempt, digest: digest, from: peer(2), nil) == .stale)
        #expect(ledger.openCount == 1)
    }

    @Test("where two answers have to agree, the first is held and the second confirms it")
    func confirmed() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1), confirming: Set(tasks(1)))
        let first = ledger.issue(tasks(1)[0], to: peer(1))
        let voters = (1...3).map { (worker: worker($0), peer: peer(UInt8($0))) }
        #expect(
            ledger.accept(first, digest: digest, from: voters[0].peer, voters[0].worker) == .held)
        #expect(
            ledger.accept(first, digest: digest, from: voters[0].peer, voters[0].worker) == .stale)
        #expect(ledger.hasQueued)
        let second = ledger.issue(tasks(1)[0], to: peer(2))
        #expect(
            ledger.accept(second, digest: digest, from: voters[1].peer, voters[1].worker)
                == .accepted(others: [], outvoted: []))
        #expect(ledger.openCount == 0 && !ledger.hasQueued)
    }

    @Test("of three answers the odd one is outvoted; so many different ones are a dispute")
    func outvoted() {
        for isMajority in [true, false] {
            var ledger = TaskLedger()
            ledger.submit(tasks(1), confirming: Set(tasks(1)))
            var verdicts: [TaskLedger.Verdict] = []
            let digests = isMajority ? [1, 2, 1] : [1, 2, 3]
            for (number, value) in digests.enumerated() {
                let voter = (worker: worker(number), peer: peer(UInt8(number)))
                let attempt = ledger.issue(tasks(1)[0], to: voter.peer)
                verdicts.append(
                    ledger.accept(
                        attempt, digest: ContentDigest(UInt64(value)), from: voter.peer,
                        voter.worker,
                        maximumVotes: 3))
            }
            #expect(verdicts[0] == .held && verdicts[1] == .held)
            switch verdicts[2] {
            case .accepted(_, let outvoted):
                #expect(isMajority && outvoted.map(\.worker) == [worker(1)])
            case .disputed(let votes): #expect(!isMajority && votes.count == 3)
            default: Issue.record("\(verdicts[2])")
            }
        }
    }

    @Test("a single answer that nobody can confirm can be settled for")
    func settled() {
        var ledger = TaskLedger()
        ledger.submit(tasks(1), confirming: Set(tasks(1)))
        #expect(ledger.settle(tasks(1)[0]) == nil)
        let first = ledger.issue(tasks(1)[0], to: peer(1))
        _ = ledger.accept(first, digest: digest, from: peer(1), worker(1))
        #expect(ledger.settle(tasks(1)[0])?.vote.attempt == first)
        #expect(ledger.openCount == 0 && !ledger.hasQueued)
    }

    private func worker(_ number: Int) -> WorkerID {
        WorkerID(name: "w\(number)", incarnation: 1)
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

extension TaskLedger {
    /// An answer by whoever was given the attempt.
    fileprivate mutating func accept(_ attempt: AttemptID) -> Verdict {
        let issued = entry(attempt.task)?.issued ?? []
        let number = Int(attempt.number)
        let holder = issued.indices.contains(number - 1) ? issued[number - 1] : peer(99)
        return accept(attempt, digest: ContentDigest(0), from: holder, nil)
    }
}
