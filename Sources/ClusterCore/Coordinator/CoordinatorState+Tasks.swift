internal import OrderedCollections

/// Answers, failures, and handing tasks out.
extension CoordinatorState {
    /// An answer, late or not, from a worker that may have been given up: pure questions have
    /// one answer, so the first sound one is taken, from whoever was asked.
    mutating func take(
        _ attempt: AttemptID,
        computeTime: Duration,
        digest: ContentDigest,
        from peer: PeerID,
        at now: Instant
    ) {
        if attempt.task.round == 0 { return pass(attempt, from: peer) }
        // A worker measures its own time, but no longer than it had the task.
        let held = roster[peer]?.leases[attempt].map { now - $0.sentSince }
        let computeTime = min(computeTime, held ?? computeTime)
        roster.endCancelled(attempt, of: peer, at: now)
        roster.endLease(attempt, of: peer)
        let worker = roster[peer]?.id
        let entry = jobs[attempt.task.job]?.ledger.entry(attempt.task)
        let needsConfirmation = entry?.needsConfirmation == true
        let maximumVotes = limits.maximumVotes
        let verdict =
            isBarred(peer)
            ? nil
            : jobs[attempt.task.job]?.ledger.accept(
                attempt, digest: digest, from: peer, worker, maximumVotes: maximumVotes)
        switch verdict {
        case nil, .stale: return note(.staleResult(attempt, peer))
        case .neverIssued: return malformed("\(attempt) was never handed out", from: peer)
        case .disputed(let votes):
            return fail(
                attempt.task.job, .taskFailed(attempt.task, evidence: Self.evidence(of: votes)))
        case .held: effects.append(.hold(attempt))
        case .accepted(let others, let outvoted):
            count(attempt, of: worker, isConfirmed: needsConfirmation)
            accepted(attempt, others: others)
            disown(outvoted)
            refute(entry?.failures ?? [], at: now)
        }
        guard worker != nil else { return }
        jobs[attempt.task.job]?.speed[attempt.task.kind, default: SpeedRecord()].add(computeTime)
        credit(peer, with: attempt.task.kind, computeTime, at: now)
    }

    private mutating func count(_ attempt: AttemptID, of worker: WorkerID?, isConfirmed: Bool) {
        if isConfirmed {
            counters.confirmed += 1
        } else if let worker {
            jobs[attempt.task.job]?.unconfirmed[worker, default: 0] += 1
        }
    }

    static func evidence(of votes: [TaskLedger.Vote]) -> [AttemptFailure] {
        votes.map {
            AttemptFailure(
                attempt: $0.attempt, worker: $0.worker,
                failure: TaskFailure(
                    code: .disputed, reason: "answered \($0.digest), unlike all others"))
        }
    }

    /// The task has its answer.
    private mutating func accepted(_ attempt: AttemptID, others: [TaskLedger.Live]) {
        counters.accepted += 1
        jobs[attempt.task.job]?.unconsumed += 1
        effects.append(.deliver(attempt))
        for other in others {
            cancel(other.attempt, of: other.peer)
        }
    }

    /// Takes an attempt back from its holder.
    mutating func cancel(_ attempt: AttemptID, of peer: PeerID) {
        guard roster[peer] != nil else { return }
        roster.cancel(attempt, of: peer)
        send(.cancel(attempt), to: peer)
    }

    /// A sound answer: what went wrong before is forgiven.
    private mutating func credit(
        _ peer: PeerID, with kind: TaskKind, _ computeTime: Duration, at now: Instant
    ) {
        guard let name = roster[peer]?.id.name else { return }
        roster[peer]?.strikes = 0
        roster[peer]?.errorsInARow = 0
        roster[peer]?.noteSpeed(of: kind, computeTime, at: now)
        histories[name].answer(limits: limits)
    }

    mutating func unsound(
        _ attempt: AttemptID, _ failure: TaskFailure, from peer: PeerID, at now: Instant
    ) {
        counters.unsound += 1
        if attempt.task.round == 0 { return flunk(peer, reason: failure.reason) }
        failed(attempt, failure, of: peer, at: now)
        // The task may have no finite answer: see `refute`.
        if failure.code != .notFinite { strike(peer, reason: failure.reason) }
    }

    mutating func failed(
        _ attempt: AttemptID, _ failure: TaskFailure, of peer: PeerID, at now: Instant
    ) {
        roster.endCancelled(attempt, of: peer, at: now)
        // A failure of an attempt that is not in this peer's hands changes nothing: its task is
        // elsewhere already.
        guard let record = roster[peer], record.leases[attempt] != nil else { return }
        roster.endLease(attempt, of: peer)
        if failure.code == .handedBack {
            // It is not as ready as we thought; it is asked again in a while.
            roster[peer]?.readyJobs.remove(attempt.task.job)
            roster[peer]?.preparedJobs.remove(attempt.task.job)
            if attempt.task.round == 0 { abandonTrial(of: peer) }
            jobs[attempt.task.job]?.ledger.release(attempt)
        } else if attempt.task.round == 0 {
            abandonTrial(of: peer, problem: failure.reason)
            countError(of: peer, failure.reason, at: now)
        } else {
            blame(attempt, of: record, failure)
            if failure.code == .compute { countError(of: peer, failure.reason, at: now) }
        }
    }

    /// Counts a failure against its task, and ends the job when that is enough.
    mutating func blame(_ attempt: AttemptID, of record: WorkerRecord, _ failure: TaskFailure) {
        let job = attempt.task.job
        guard jobs[job]?.ledger.entry(attempt.task) != nil else { return }
        let entry = AttemptFailure(
            attempt: attempt, worker: record.id, failure: failure,
            hadAnswered: !record.speeds.isEmpty)
        note(.attemptFailed(entry))
        let evidence = jobs[job]?.ledger.blame(entry) ?? []
        if isPoison(evidence) || failure.code == .unsuitable {
            fail(job, .taskFailed(attempt.task, evidence: evidence))
        }
    }

    /// Whether it is the task that is at fault: it failed often enough, on enough workers, one of
    /// which had answered others; a machine that dies whatever it is asked proves nothing while
    /// others live, until it has been many. Two workers that both find no finite number are enough:
    /// more of them will find none either.
    private func isPoison(_ evidence: [AttemptFailure]) -> Bool {
        let notFinite = Set(evidence.filter { $0.failure.code == .notFinite }.map(\.worker))
        if notFinite.count >= limits.minimumFailingWorkers { return true }
        let lives = Set(evidence.map(\.worker)).count
        guard evidence.count >= limits.maximumAttempts, lives >= limits.minimumFailingWorkers else {
            return false
        }
        if evidence.count >= limits.maximumFruitlessAttempts { return true }
        return evidence.contains(where: \.hadAnswered)
            && Set(evidence.map(\.worker.name)).count >= limits.minimumFailingWorkers
    }

    /// Whether a task failed so often that it is for workers alone that it has not failed on yet.
    func isExhausted(_ evidence: [AttemptFailure]) -> Bool {
        evidence.count >= limits.maximumAttempts
            || evidence.count { $0.failure.code == .notFinite } >= limits.maximumNotFinite
    }

    /// Workers that a task failed on, in this life of theirs or, where its name tells, an earlier.
    func failed(_ evidence: [AttemptFailure]) -> Set<PeerID> {
        guard !evidence.isEmpty else { return [] }
        let lives = Set(evidence.map(\.worker))
        let names = Set(lives.map(\.name))
        return Set(
            roster.all.filter { _, record in
                lives.contains(record.id)
                    || names.contains(record.id.name) && !roster.isShared(record.id.name)
            }.keys)
    }

    // MARK: Handing out

    /// Gives waiting tasks to workers with credit, jobs in the order they were opened. Whoever is
    /// idle then has nothing better to do than to hurry what others hold.
    mutating func dispatch(at now: Instant) {
        defer { roster.noteRunning(at: now) }
        for job in jobs.keys { dispatchQueue(of: job, at: now) }
        for job in jobs.keys {
            recallPrefetched(of: job, at: now)
            speculate(on: job, at: now)
        }
    }

    private func candidates(for job: JobID, at now: Instant) -> [DispatchPolicy.Candidate] {
        roster.all.compactMap { peer, record in
            guard record.takesTasks, record.freeSlots > 0, record.readyJobs.contains(job)
            else { return nil }
            return DispatchPolicy.Candidate(
                peer: peer, worker: record.id, slots: record.freeSlots,
                load: record.leases.count, taskTime: taskTime(of: record, for: job, at: now))
        }
    }

    /// What one task of the present batch takes a worker: its own average while that is fresh,
    /// otherwise everybody's.
    private func taskTime(of record: WorkerRecord, for job: JobID, at now: Instant) -> Duration? {
        guard let open = jobs[job] else { return nil }
        if let own = record.speeds[open.kind],
            now - own.at < max(limits.speedMemory, own.time * 2)
        {
            return own.time
        }
        return open.speed[open.kind]?.median
    }

    private mutating func dispatchQueue(of job: JobID, at now: Instant) {
        var unplaceable: Set<TaskID> = []
        var candidates = candidates(for: job, at: now)
        while let task = nextQueued(of: job, except: unplaceable) {
            guard candidates.contains(where: { $0.hasCredit(limits) }) else { return }
            guard let entry = jobs[job]?.ledger.entry(task) else {
                preconditionFailure("\(task) waits but is not open")
            }
            let failed = failed(entry.failures)
            // One that failed it tries again, unless that was often enough or it has an answer.
            let isOver = isExhausted(entry.failures) || !entry.votes.isEmpty
            let index = DispatchPolicy.worker(
                avoiding: failed,
                holders: Set(entry.live.map(\.peer) + entry.votes.map(\.peer))
                    .union(isOver ? failed : []),
                among: candidates,
                waiting: jobs[job]?.ledger.queued.count ?? 0,
                limits: limits
            )
            if let index {
                issue(task, to: candidates[index].peer, at: now)
                candidates[index].load += 1
            } else if entry.live.isEmpty && entry.failures.isEmpty && entry.votes.isEmpty {
                // What holds for a task that anybody may have holds for all.
                return
            } else {
                unplaceable.insert(task)
                settleUnconfirmed(task, at: now)
                candidates = self.candidates(for: job, at: now)
            }
        }
    }

    /// The next waiting task, as long as the loop keeps up with the answers.
    private func nextQueued(of job: JobID, except unplaceable: Set<TaskID>) -> TaskID? {
        guard let record = jobs[job], record.unconsumed < limits.maximumUnconsumed else {
            return nil
        }
        return record.ledger.queued.first { !unplaceable.contains($0) }
    }

    /// A task with one answer that nobody else is there to confirm has that answer.
    private mutating func settleUnconfirmed(_ task: TaskID, at now: Instant) {
        guard let entry = jobs[task.job]?.ledger.entry(task), entry.votes.count == 1,
            !roster.peers.contains(where: { canConfirm(entry, of: task.job, $0) })
        else { return }
        settle(task, at: now)
    }

    /// Whether a worker may yet answer a task that has answers: it has neither answered nor failed
    /// it, does not rest, and has not failed the known questions.
    func canConfirm(_ entry: TaskLedger.Entry, of job: JobID, _ peer: PeerID) -> Bool {
        guard let record = roster[peer], !record.isDraining, record.quarantinedUntil == nil,
            record.trialProblem == nil, jobs[job]?.refusals[peer] == nil
        else { return false }
        return !entry.votes.contains { $0.worker == record.id }
            && !failed(entry.failures).contains(peer)
    }

    /// Takes a task's only answer unconfirmed.
    mutating func settle(_ task: TaskID, at now: Instant) {
        let failures = jobs[task.job]?.ledger.entry(task)?.failures ?? []
        guard let (vote, others) = jobs[task.job]?.ledger.settle(task) else { return }
        note(.unconfirmed(task))
        jobs[task.job]?.unconfirmed[vote.worker, default: 0] += 1
        accepted(vote.attempt, others: others)
        refute(failures, at: now)
    }

    private mutating func issue(_ task: TaskID, to peer: PeerID, at now: Instant) {
        guard let attempt = jobs[task.job]?.ledger.issue(task, to: peer) else { return }
        let lease = Lease(sentAt: now, deadline: now + leaseDuration(of: task))
        roster[peer]?.leases[attempt] = lease
        send(.task(attempt), to: peer)
    }

    /// Near the end of a batch nobody waits behind a busy worker while another is idle.
    private mutating func recallPrefetched(of job: JobID, at now: Instant) {
        while jobs[job]?.ledger.hasQueued == false {
            let candidates = candidates(for: job, at: now)
            guard let (peer, idle) = DispatchPolicy.prefetchToRecall(among: candidates),
                let holder = roster[peer],
                let attempt = holder.leases.keys.last, attempt.task.job == job,
                let entry = jobs[job]?.ledger.entry(attempt.task),
                !failed(entry.failures).contains(idle.peer),
                !entry.votes.contains(where: { $0.worker == idle.worker })
            else { return }
            note(.recalled(attempt, holder.id))
            cancel(attempt, of: peer)
            jobs[job]?.ledger.release(attempt)
            // A copy elsewhere may be enough.
            if jobs[job]?.ledger.entry(attempt.task)?.isQueued == true {
                issue(attempt.task, to: idle.peer, at: now)
            }
        }
    }

    /// An idle worker copies the attempt that has been running longest, when that is unusually
    /// long; answers are equal, so whichever comes first is taken.
    private mutating func speculate(on job: JobID, at now: Instant) {
        guard let record = jobs[job], !record.ledger.hasQueued,
            record.unconsumed < limits.maximumUnconsumed,
            (record.copies + 1) * 100 <= record.submitted * limits.maximumExtraWorkPercent,
            let idle = DispatchPolicy.fastestIdle(among: candidates(for: job, at: now))
        else { return }
        var slowest: (attempt: AttemptID, since: Instant)?
        for (peer, worker) in roster.all where peer != idle.peer {
            for attempt in worker.running where attempt.task.job == job {
                guard let since = worker.leases[attempt]?.runningSince,
                    let speed = record.speed[attempt.task.kind],
                    speed.count >= limits.minimumSpeedSamples, let median = speed.median,
                    (now - since) * 100 > median * limits.speculationPercent,
                    idle.taskTime.map({ $0 <= median * 2 }) ?? true,
                    slowest.map({ since < $0.since }) ?? true
                else { continue }
                slowest = (attempt, since)
            }
        }
        guard let slowest,
            jobs[job]?.ledger.entry(slowest.attempt.task)?.votes
                .contains(where: { $0.peer == idle.peer }) != true,
            requestCopy(of: slowest.attempt.task)
        else { return }
        jobs[job]?.copies += 1
        issue(slowest.attempt.task, to: idle.peer, at: now)
    }

    /// True when the task now waits for a second worker beside its first.
    mutating func requestCopy(of task: TaskID) -> Bool {
        let maximum = limits.maximumLiveAttempts
        guard jobs[task.job]?.ledger.requestCopy(of: task, maximum: maximum) == true else {
            return false
        }
        note(.copied(task))
        return true
    }

    func leaseDuration(of task: TaskID) -> Duration {
        guard let usual = jobs[task.job]?.speed[task.kind]?.percentile95 else {
            return limits.minimumLease
        }
        return max(limits.minimumLease, usual * limits.leaseFactor)
    }
}
