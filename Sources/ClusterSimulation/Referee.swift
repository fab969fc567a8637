package import ClusterCore

/// What must hold at every moment of a cluster's life; the names are those of the fault matrix.
package enum Invariant: String, Hashable, Sendable, CaseIterable {
    /// Every task is accepted exactly once.
    case acceptedOnce = "I1"
    /// An answer to what was answered, withdrawn or revoked changes nothing.
    case lateChangesNothing = "I2"
    /// Accepted answers, and the picture made of them, are those of a quiet run.
    case sameAnswers = "I3"
    /// No step starts before its inputs are complete.
    case inputsFirst = "I4"
    /// The job ends, or fails with a typed reason that the facts bear out, within its bound.
    case ends = "I5"
    /// Ledger, leases, credits and roster agree, and every queue keeps its bound.
    case books = "books"
    /// What an earlier life of the coordinator says changes nothing.
    case fencing = "fencing"
    /// Only workers that were taken in, and are ready, hold a job's tasks.
    case admission = "admission"
}

/// One invariant that was seen not to hold.
package struct Violation: Hashable, Sendable, CustomStringConvertible {
    package let invariant: Invariant
    package let at: Instant
    package let text: String

    package init(_ invariant: Invariant, at: Instant, _ text: String) {
        self.invariant = invariant
        self.at = at
        self.text = text
    }

    /// `I1 at 12.345 s: decode task 3 was accepted twice`
    package var description: String { "\(invariant.rawValue) at \(at.text): \(text)" }
}

extension Instant {
    /// `12.345 s`
    package var text: String {
        let (seconds, attoseconds) = sinceStart.components
        let fraction = String(attoseconds / 1_000_000_000_000_000)
        return
            "\(seconds).\(String(repeating: "0", count: max(0, 3 - fraction.count)))\(fraction) s"
    }
}

/// Watches one life of a coordinator from outside: keeps books of its own from what goes in and
/// comes out, and compares them with the coordinator's after every event.
package struct Referee: Sendable {
    private struct Book {
        var open: Set<TaskID> = []
        var answered: Set<TaskID> = []
        /// Attempts handed out of each task, and to whom.
        var attempts: [AttemptID: PeerID] = [:]
        var tries: [TaskID: UInt32] = [:]
        /// Kinds of the questions with known answers.
        let trial: [TaskKind]
        /// Answers that wait for another worker's.
        var votes: [TaskID: [Vote]] = [:]
    }

    private struct Vote {
        let attempt: AttemptID
        let peer: PeerID
        let digest: ContentDigest
    }

    private struct Session {
        let worker: WorkerID
        let slots: Int
        var ready: Set<JobID> = []
        /// When it was last heard; moved on by the time that the coordinator itself stood still.
        var lastHeard: Instant
        /// Jobs that it cannot do.
        var refused: Set<JobID> = []
        var isDraining = false
        var isLeftAlone = false
        /// Whether it has given the known answers since it joined or was last in trouble.
        var isProven = false
        var trial: Set<AttemptID> = []
        /// Whether it failed a trial and has not been proven since.
        var hasFailedTrial = false
    }

    private var books: [JobID: Book] = [:]
    private var sessions: [PeerID: Session] = [:]
    private var isShutDown = false
    private var accepted = 0
    private var lastTick: Instant?
    /// Workers whose answers were outvoted by this event.
    private var outvoted: [PeerID] = []
    private let limits: Limits

    /// In the order in which they were seen.
    package private(set) var violations: [Violation] = []

    package init(limits: Limits) { self.limits = limits }

    /// To be called after every event, with what the coordinator answered and what it is now.
    package mutating func observe(
        _ event: CoordinatorEvent,
        _ effects: [CoordinatorEffect],
        _ state: CoordinatorState,
        at now: Instant
    ) {
        hear(event, at: now)
        note(event)
        outvoted.removeAll()
        for effect in effects { judge(effect, of: event, effects, at: now) }
        compare(with: state, at: now)
    }

    private mutating func fail(_ invariant: Invariant, at now: Instant, _ text: String) {
        violations.append(Violation(invariant, at: now, text))
    }

    // MARK: What goes in

    private mutating func hear(_ event: CoordinatorEvent, at now: Instant) {
        switch event {
        case .received(_, let peer), .answered(_, _, _, let peer), .unsound(_, _, let peer):
            sessions[peer]?.lastHeard = now
        case .tick:
            let gap = lastTick.map { now - $0 } ?? .zero
            lastTick = now
            guard gap > limits.suspectAfter else { return }
            for peer in sessions.keys {
                if let heard = sessions[peer]?.lastHeard { sessions[peer]?.lastHeard = heard + gap }
            }
        default: break
        }
    }

    private mutating func note(_ event: CoordinatorEvent) {
        switch event {
        case .open(let job, _, let trial):
            if !isShutDown { books[job] = Book(trial: trial) }
        case .submit(let job, let tasks): books[job]?.open.formUnion(tasks)
        case .close(let job): books[job] = nil
        case .received(.jobReady(let job, let problem), let peer):
            guard books[job] != nil else { return }
            if problem == nil {
                sessions[peer]?.ready.insert(job)
            } else {
                sessions[peer]?.refused.insert(job)
            }
        case .disconnected(let peer): sessions[peer] = nil
        case .received(.goodbye(.draining), let peer): sessions[peer]?.isDraining = true
        case .answered(let attempt, _, _, let peer) where attempt.task.round == 0:
            if sessions[peer]?.trial.remove(attempt) != nil, sessions[peer]?.trial.isEmpty == true {
                sessions[peer]?.isProven = true
                sessions[peer]?.hasFailedTrial = false
            }
        case .received(.failure(let attempt, _), let peer) where attempt.task.round == 0:
            sessions[peer]?.hasFailedTrial = true
        case .shutdown:
            isShutDown = true
            sessions.removeAll()
        default: break
        }
    }

    /// Why no caller could have brought this event now; nil when one could.
    func problem(of event: CoordinatorEvent) -> String? {
        switch event {
        case .open(let job, _, _) where books[job] != nil: return "job \(job) is opened twice"
        case .submit(let job, let tasks):
            guard let book = books[job] else { return nil }
            if tasks.contains(where: { $0.job != job || $0.round == 0 }) {
                return "a batch of job \(job) has another job's tasks"
            }
            if Set(tasks).count < tasks.count || !book.open.isDisjoint(with: tasks) {
                return "a task of job \(job) is submitted twice"
            }
            return nil
        default: return nil
        }
    }

    // MARK: What comes out

    private mutating func judge(
        _ effect: CoordinatorEffect,
        of event: CoordinatorEvent,
        _ effects: [CoordinatorEffect],
        at now: Instant
    ) {
        switch effect {
        case .send(.welcome, let peer):
            guard case .received(.hello(let hello), peer) = event else {
                return fail(.admission, at: now, "a welcome that nobody asked for")
            }
            sessions[peer] = Session(
                worker: hello.worker, slots: hello.slots, lastHeard: now)
        case .send(.task(let attempt), let peer):
            if attempt.task.round == 0 {
                judgeTrial(attempt, of: peer, at: now)
            } else {
                judgeTask(attempt, to: peer, at: now)
            }
        case .send: break
        case .hold(let attempt): judgeHeld(attempt, of: event, at: now)
        case .deliver(let attempt): judgeDelivery(attempt, of: event, effects, at: now)
        case .fail(let job, let failure): judgeFailure(failure, of: job, at: now)
        case .worker(let change): follow(change, at: now)
        case .note: break
        }
    }

    private mutating func follow(_ change: WorkerEvent, at now: Instant) {
        if case .lost(let worker, .silent, _) = change {
            for peer in peers(of: worker) {
                let silence = now - (sessions[peer]?.lastHeard ?? now)
                if silence < limits.lostAfter {
                    fail(.books, at: now, "\(worker) is given up after a silence of \(silence)")
                }
            }
        }
        switch change {
        case .left(let worker, _), .lost(let worker, _, _):
            for peer in peers(of: worker) { sessions[peer] = nil }
        case .quarantined(let worker, _, _):
            for peer in peers(of: worker) {
                sessions[peer]?.isLeftAlone = true
                sessions[peer]?.isProven = false
            }
        case .released(let worker):
            for peer in peers(of: worker) { sessions[peer]?.isLeftAlone = false }
        case .joined, .rejected, .suspected, .recovered, .doubted, .draining: break
        }
    }

    private func peers(of worker: WorkerID) -> [PeerID] {
        sessions.compactMap { $0.value.worker == worker ? $0.key : nil }
    }

    /// A question whose answer is known.
    private mutating func judgeTrial(_ attempt: AttemptID, of peer: PeerID, at now: Instant) {
        guard let book = books[attempt.task.job], let session = sessions[peer] else {
            return fail(.admission, at: now, "\(peer) is tried for a job, or joined, no more")
        }
        let index = Int(attempt.task.index)
        if !book.trial.indices.contains(index) || book.trial[index] != attempt.task.kind {
            fail(.admission, at: now, "\(attempt) is no question of the trial")
        }
        if session.isLeftAlone {
            fail(.admission, at: now, "\(session.worker) is tried while it is left alone")
        }
        // A later trial replaces an earlier one.
        sessions[peer]?.trial = session.trial.filter { $0.number == attempt.number }
        sessions[peer]?.trial.insert(attempt)
    }

    private mutating func judgeTask(_ attempt: AttemptID, to peer: PeerID, at now: Instant) {
        let task = attempt.task
        guard let book = books[task.job], !isShutDown else {
            return fail(.inputsFirst, at: now, "\(attempt) of a job that is not open")
        }
        if book.answered.contains(task) {
            fail(.inputsFirst, at: now, "\(attempt) handed out after its answer was accepted")
        } else if !book.open.contains(task) {
            fail(.inputsFirst, at: now, "\(attempt) handed out and never submitted")
        }
        // What is sent again is sent to the same worker, whatever has become of that since.
        if let earlier = book.attempts[attempt] {
            if earlier != peer {
                fail(.books, at: now, "\(attempt) given to \(peer) and before to \(earlier)")
            }
        } else {
            judgeHolder(sessions[peer], of: attempt, trial: book.trial, at: now)
            if attempt.number != book.tries[task, default: 0] + 1 {
                fail(.books, at: now, "\(attempt) follows try \(book.tries[task, default: 0])")
            }
            books[task.job]?.tries[task] = attempt.number
            books[task.job]?.attempts[attempt] = peer
        }
    }

    private mutating func judgeHolder(
        _ holder: Session?, of attempt: AttemptID, trial: [TaskKind], at now: Instant
    ) {
        guard let holder, holder.ready.contains(attempt.task.job) else {
            return fail(.admission, at: now, "\(attempt) goes to one that is not ready for its job")
        }
        if holder.isDraining {
            fail(.admission, at: now, "\(attempt) goes to \(holder.worker), which is leaving")
        }
        if holder.isLeftAlone {
            fail(.admission, at: now, "\(attempt) goes to \(holder.worker), which is left alone")
        }
        if !holder.isProven && !trial.isEmpty {
            fail(.admission, at: now, "\(attempt) goes to \(holder.worker), which is not proven")
        }
    }

    // MARK: Answers

    private mutating func judgeHeld(
        _ attempt: AttemptID, of event: CoordinatorEvent, at now: Instant
    ) {
        guard case .answered(attempt, _, let digest, let peer) = event else {
            return fail(.sameAnswers, at: now, "\(attempt) is kept without its own answer")
        }
        if books[attempt.task.job]?.open.contains(attempt.task) != true {
            fail(.lateChangesNothing, at: now, "\(attempt) is kept and nobody asks it any more")
        }
        books[attempt.task.job]?.votes[attempt.task, default: []]
            .append(Vote(attempt: attempt, peer: peer, digest: digest))
    }

    private mutating func judgeDelivery(
        _ attempt: AttemptID,
        of event: CoordinatorEvent,
        _ effects: [CoordinatorEffect],
        at now: Instant
    ) {
        let task = attempt.task
        guard let book = books[task.job] else {
            return fail(.lateChangesNothing, at: now, "\(attempt) delivered to a job that is over")
        }
        if book.answered.contains(task) {
            return fail(.acceptedOnce, at: now, "\(task) was accepted a second time")
        }
        if book.attempts[attempt] == nil {
            fail(.lateChangesNothing, at: now, "\(attempt) was accepted and never handed out")
        }
        judgeConfirmation(of: attempt, event, effects, at: now)
        accepted += 1
        books[task.job]?.votes[task] = nil
        books[task.job]?.open.remove(task)
        books[task.job]?.answered.insert(task)
    }

    /// An answer comes with its own event, confirmed by another worker where one was held before;
    /// or it was held, and nobody is there to confirm it.
    private mutating func judgeConfirmation(
        of attempt: AttemptID,
        _ event: CoordinatorEvent,
        _ effects: [CoordinatorEffect],
        at now: Instant
    ) {
        let votes = books[attempt.task.job]?.votes[attempt.task] ?? []
        let isHeld = votes.contains { $0.attempt == attempt }
        if !isHeld, case .answered(attempt, _, let digest, let peer) = event {
            let isConfirmed = votes.contains { $0.digest == digest && $0.peer != peer }
            outvoted += votes.filter { $0.digest != digest }.map(\.peer)
            if !votes.isEmpty && !isConfirmed {
                fail(.sameAnswers, at: now, "\(attempt) was accepted against the votes")
            }
        } else if !isHeld {
            fail(.sameAnswers, at: now, "\(attempt) delivered without its own answer")
        } else if !effects.contains(.note(.unconfirmed(attempt.task))) {
            fail(.sameAnswers, at: now, "\(attempt) delivered unconfirmed, and nobody says so")
        }
    }

    // MARK: How jobs end

    private mutating func judgeFailure(
        _ failure: JobFailure, of job: JobID, at now: Instant
    ) {
        switch failure {
        case .taskFailed(let task, let evidence): judgeEvidence(evidence, of: task, at: now)
        case .noWorkers(let waited, _):
            let able = sessions.values.count {
                !$0.isDraining && !$0.refused.contains(job) && !$0.hasFailedTrial
            }
            if waited < limits.noWorkerTimeout || able > 0 {
                fail(
                    .ends, at: now,
                    "job \(job) failed for want of workers after \(waited), and \(able) were there")
            }
        case .refused(let reasons):
            if reasons.isEmpty || sessions.values.contains(where: { $0.ready.contains(job) }) {
                fail(.ends, at: now, "job \(job) was refused while somebody was ready for it")
            }
        case .tainted(let worker, let answers):
            if answers < 1 { fail(.ends, at: now, "job \(job) is not tainted by \(worker)") }
        case .shutdown:
            if books[job] != nil && !isShutDown {
                fail(.ends, at: now, "job \(job) failed by a shutdown that nobody asked for")
            }
        }
        books[job] = nil
    }

    private func isReady(_ session: Session, for job: JobID) -> Bool {
        session.ready.contains(job) && (session.isProven || books[job]?.trial.isEmpty == true)
    }

    private mutating func judgeEvidence(
        _ evidence: [AttemptFailure], of task: TaskID, at now: Instant
    ) {
        let attempts = books[task.job]?.attempts ?? [:]
        for failure in evidence where attempts[failure.attempt] == nil {
            fail(.ends, at: now, "\(failure.attempt) is evidence and was never handed out")
        }
        if Set(evidence.map(\.attempt)).count < evidence.count {
            fail(.ends, at: now, "one attempt of \(task) is evidence twice")
        }
        if evidence.contains(where: { $0.failure.code == .unsuitable }) { return }
        let workers = Set(evidence.map(\.worker))
        let proofs = [.notFinite, .disputed].map { (code: FailureCode) in
            Set(evidence.filter { $0.failure.code == code }.map(\.worker)).count
        }
        let isNobodyElseReady = sessions.values.allSatisfy {
            workers.map(\.name).contains($0.worker.name) || $0.isDraining
                || !isReady($0, for: task.job)
        }
        let isRepeated =
            evidence.count { $0.failure.code == .notFinite } >= limits.maximumNotFinite
        let isEnough =
            proofs.contains { $0 >= limits.minimumFailingWorkers }
            || isRepeated && isNobodyElseReady
            || evidence.count >= limits.maximumAttempts
                && (workers.count >= limits.minimumFailingWorkers || isNobodyElseReady)
        if !isEnough {
            fail(.ends, at: now, "\(task) failed its job after \(evidence.count) failures only")
        }
    }

    private var liveSessions: Int { sessions.values.count { !$0.isDraining } }

    // MARK: The coordinator's own books

    private mutating func compare(with state: CoordinatorState, at now: Instant) {
        for (job, book) in books where state.openTasks(of: job) != book.open.count {
            fail(
                .lateChangesNothing, at: now,
                "job \(job) has \(book.open.count) open tasks, its ledger "
                    + "\(state.openTasks(of: job))")
        }
        if state.liveWorkers != liveSessions {
            fail(
                .books, at: now,
                "\(state.liveWorkers) workers are taken to live, \(liveSessions) were welcomed and "
                    + "did not leave")
        }
        let credits = sessions.values.reduce(0) { $0 + $1.slots * limits.creditsPerSlot }
        let trials = sessions.values.reduce(0) { $0 + $1.trial.count }
        if state.attemptsInHand > credits + trials {
            fail(.books, at: now, "\(state.attemptsInHand) attempts in hand of \(credits)")
        }
        if state.counters.accepted != accepted {
            fail(.books, at: now, "\(state.counters.accepted) answers counted of \(accepted)")
        }
        for peer in outvoted where sessions[peer] != nil {
            fail(.admission, at: now, "\(peer) answered wrongly and is still here")
        }
        if now == lastTick {
            for session in sessions.values where now - session.lastHeard >= limits.lostAfter {
                fail(
                    .ends, at: now,
                    "\(session.worker) has been silent for \(now - session.lastHeard)")
            }
        }
        for problem in state.inconsistencies() { fail(.books, at: now, problem) }
    }
}
