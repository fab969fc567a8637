internal import OrderedCollections

/// Who may compute: known answers before the first task, a rest after failures, and the door for
/// those that answer wrongly.
extension CoordinatorState {
    // MARK: Known answers

    /// Asks the questions whose answers are known.
    mutating func startTrial(of peer: PeerID, for job: JobID, at now: Instant) {
        guard var record = roster[peer], record.trial == nil, record.quarantinedUntil == nil,
            let kinds = jobs[job]?.trial
        else { return }
        record.trials += 1
        let attempts = kinds.enumerated().map { index, kind in
            AttemptID(
                task: TaskID(job: job, round: 0, step: 0, index: UInt32(index), kind: kind),
                number: record.trials)
        }
        record.trial = Trial(job: job, open: Set(attempts))
        for attempt in attempts {
            record.leases[attempt] = Lease(sentAt: now, deadline: now + limits.minimumLease)
        }
        roster[peer] = record
        for attempt in attempts { send(.task(attempt), to: peer) }
    }

    /// One question of the trial was answered rightly.
    mutating func pass(_ attempt: AttemptID, from peer: PeerID) {
        guard var record = roster[peer], record.trial?.open.remove(attempt) != nil else {
            return note(.staleResult(attempt, peer))
        }
        record.leases.removeValue(forKey: attempt)
        if record.trial?.open.isEmpty == true {
            record.trial = nil
            record.trialProblem = nil
            record.isProven = true
            record.readyJobs.formUnion(record.preparedJobs)
            note(.proven(record.id))
        }
        roster[peer] = record
    }

    /// The trial ended without a verdict; it is begun again with a later heartbeat. With a `problem`
    /// of the worker's own nobody waits for that.
    mutating func abandonTrial(of peer: PeerID, problem: String? = nil) {
        for attempt in roster[peer]?.trial?.open ?? [] { roster.endLease(attempt, of: peer) }
        roster[peer]?.trial = nil
        if let problem { roster[peer]?.trialProblem = problem }
    }

    /// A question whose answer is known was answered wrongly.
    mutating func flunk(_ peer: PeerID, reason: String) {
        guard let record = roster[peer] else { return }
        turnAway(
            peer,
            Rejection(
                code: .knownAnswer,
                reason: "worker '\(record.id)' does not compute what this coordinator does: "
                    + reason))
    }

    // MARK: Wrong answers

    /// These workers' answers were outvoted. What else they answered cannot be trusted either.
    mutating func disown(_ votes: [TaskLedger.Vote]) {
        for vote in votes {
            counters.outvoted += 1
            for (job, record) in jobs {
                guard let answers = record.unconfirmed[vote.worker], answers > 0 else { continue }
                fail(job, .tainted(vote.worker, answers: answers))
            }
            turnAway(
                vote.peer,
                Rejection(
                    code: .misbehaved,
                    reason: "\(vote.attempt.task) was answered differently by two other workers "
                        + "that agree"))
        }
    }

    /// Sends a worker away for good, with the reason.
    mutating func turnAway(_ peer: PeerID, _ rejection: Rejection) {
        guard let record = roster[peer] else { return }
        announce(.rejected(name: record.id.name, rejection))
        remember(rejection, of: record.id.name)
        send(.reject(rejection), to: peer)
        lose(peer, .misbehaved(rejection.reason))
        barred.append(peer)
        if barred.count > limits.maximumWorkers { barred.removeFirst() }
    }

    /// Whether a peer was turned away and did not come back: what it still sends is void.
    func isBarred(_ peer: PeerID) -> Bool { roster[peer] == nil && barred.contains(peer) }

    /// Evidence for a job that finds no worker.
    mutating func remember(_ rejection: Rejection, of name: String) {
        rejections.append("\(name): \(rejection.reason)")
        rejections.removeFirst(max(0, rejections.count - 8))
    }

    // MARK: Quarantine

    /// One more failed attempt; a few in a row are no accident.
    mutating func countError(of peer: PeerID, _ reason: String, at now: Instant) {
        guard let record = roster[peer] else { return }
        roster[peer]?.errorsInARow = record.errorsInARow + 1
        guard record.errorsInARow + 1 >= limits.maximumErrorsInARow else { return }
        leaveAlone(peer, reason: reason, at: now)
    }

    /// The task of these failures has its answer: whoever found none that is finite was wrong. Until
    /// then it may have been the task's fault.
    mutating func refute(_ failures: [AttemptFailure], at now: Instant) {
        for failure in failures where failure.failure.code == .notFinite {
            guard let (peer, _) = roster.all.first(where: { $0.value.id == failure.worker })
            else { continue }
            countError(of: peer, failure.failure.reason, at: now)
        }
    }

    /// Gives a worker no tasks for a while, longer each time. Never the last one: somebody has to
    /// try, and the bound on a task's attempts ends what cannot work.
    mutating func leaveAlone(_ peer: PeerID, reason: String, at now: Instant) {
        guard let record = roster[peer], record.quarantinedUntil == nil,
            roster.all.contains(where: { $0.key != peer && $0.value.takesTasks })
        else { return }
        let time = histories[record.id.name].quarantine(at: now, limits: limits)
        quarantine(peer, until: now + time)
        announce(.quarantined(record.id, time, reason: reason))
    }

    /// What it has not begun goes to others.
    private mutating func quarantine(_ peer: PeerID, until end: Instant) {
        guard let record = roster[peer] else { return }
        roster[peer]?.quarantinedUntil = end
        roster[peer]?.isProven = false
        abandonTrial(of: peer)
        for attempt in record.leases.keys.dropFirst(record.freeSlots).reversed()
        where attempt.task.round > 0 {
            cancel(attempt, of: peer)
            jobs[attempt.task.job]?.ledger.release(attempt)
        }
    }

    /// A name that is still to be left alone does not get out of it by starting anew.
    mutating func admit(_ peer: PeerID, at now: Instant) {
        guard let record = roster[peer] else { return }
        let isFlapping = histories[record.id.name].join(at: now, limits: limits)
        histories.trim(to: limits.maximumHistories)
        if isFlapping {
            leaveAlone(peer, reason: "it comes and goes without an answer", at: now)
        } else if let end = histories[record.id.name].quarantinedUntil, end > now,
            roster.all.contains(where: { $0.key != peer && $0.value.takesTasks })
        {
            quarantine(peer, until: end)
        }
    }

    /// Lets those whose time is over work again, and the next of them when nobody else can.
    mutating func endQuarantines(at now: Instant) {
        let resting = roster.all.filter { $0.value.quarantinedUntil != nil }
        guard !resting.isEmpty else { return }
        let others = roster.all.filter { $0.value.takesTasks }.keys
        let isNeeded =
            others.isEmpty
            || jobs.values.contains { job in
                job.ledger.openCount > 0 && others.allSatisfy { job.refusals[$0] != nil }
            }
        let first = resting.values.compactMap(\.quarantinedUntil).min()
        for (peer, record) in resting {
            guard let end = record.quarantinedUntil, end <= now || (isNeeded && end == first)
            else { continue }
            release(peer, at: now)
        }
    }

    /// One more failure, and it rests again; before that it proves itself where that can be done.
    private mutating func release(_ peer: PeerID, at now: Instant) {
        guard var record = roster[peer] else { return }
        record.quarantinedUntil = nil
        record.errorsInARow = max(0, limits.maximumErrorsInARow - 1)
        histories[record.id.name].quarantinedUntil = nil
        let tried = record.preparedJobs.filter { jobs[$0]?.trial.isEmpty == false }
        record.readyJobs.subtract(tried)
        roster[peer] = record
        announce(.released(record.id))
        if let job = jobs.keys.first(where: { tried.contains($0) }) {
            startTrial(of: peer, for: job, at: now)
        }
    }
}
