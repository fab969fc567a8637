internal import OrderedCollections

/// Answers, failures, and handing tasks out.
extension CoordinatorState {
    /// An answer, late or not, from a worker that may have been given up: pure questions have
    /// one answer, so the first sound one is taken whoever sends it.
    mutating func take(_ attempt: AttemptID, computeTime: Duration, from peer: PeerID) {
        roster.endLease(attempt, of: peer)
        guard var job = jobs[attempt.task.job] else {
            return note(.staleResult(attempt, peer))
        }
        switch job.ledger.accept(attempt) {
        case .stale:
            note(.staleResult(attempt, peer))
        case .neverIssued:
            return malformed("\(attempt) was never handed out", from: peer)
        case .accepted(let others):
            job.unconsumed += 1
            job.speed[attempt.task.kind, default: SpeedRecord()].add(computeTime)
            effects.append(.deliver(attempt))
            for other in others {
                roster.endLease(other.attempt, of: other.peer)
                if roster[other.peer] != nil { send(.cancel(other.attempt), to: other.peer) }
            }
            roster[peer]?.strikes = 0
        }
        jobs[attempt.task.job] = job
    }

    mutating func unsound(_ attempt: AttemptID, reason: String, from peer: PeerID) {
        failed(attempt, TaskFailure(code: .unsound, reason: reason), at: peer)
        strike(peer, reason: reason)
    }

    mutating func failed(_ attempt: AttemptID, _ failure: TaskFailure, at peer: PeerID) {
        // A failure of an attempt that is not in this peer's hands changes nothing: its task is
        // elsewhere already.
        guard let record = roster[peer], record.leases[attempt] != nil else { return }
        roster.endLease(attempt, of: peer)
        if failure.code == .handedBack {
            // It is not as ready as we thought; it is asked again in a while.
            roster[peer]?.readyJobs.remove(attempt.task.job)
            jobs[attempt.task.job]?.ledger.release(attempt)
        } else {
            blame(attempt, of: record, failure)
        }
    }

    /// Counts a failure against its task, and ends the job when that is enough.
    mutating func blame(_ attempt: AttemptID, of record: WorkerRecord, _ failure: TaskFailure) {
        let job = attempt.task.job
        guard jobs[job]?.ledger.entry(attempt.task) != nil else { return }
        let entry = AttemptFailure(attempt: attempt, worker: record.id, failure: failure)
        note(.attemptFailed(entry))
        let evidence = jobs[job]?.ledger.blame(entry) ?? []
        let tried = Set(evidence.map(\.worker))
        let nobodyElse = !roster.all.values.contains { !tried.contains($0.id) }
        let isPoison =
            evidence.count >= limits.maximumAttempts
            && (tried.count >= limits.minimumFailingWorkers || nobodyElse)
        if failure.code == .unsuitable || isPoison {
            fail(job, .taskFailed(attempt.task, evidence: evidence))
        }
    }

    // MARK: Handing out

    /// Gives waiting tasks to workers with credit, jobs in the order they were opened.
    mutating func dispatch(at now: Instant) {
        defer { roster.noteRunning(at: now) }
        for job in jobs.keys {
            dispatchQueue(of: job, at: now)
            recallPrefetched(of: job, at: now)
            speculate(on: job, at: now)
        }
    }

    private func candidates(for job: JobID) -> [DispatchPolicy.Candidate] {
        roster.all.compactMap { peer, record in
            guard record.takesTasks, record.readyJobs.contains(job) else { return nil }
            return DispatchPolicy.Candidate(
                peer: peer, worker: record.id, slots: record.hello.slots, load: record.leases.count)
        }
    }

    private mutating func dispatchQueue(of job: JobID, at now: Instant) {
        var unplaceable: Set<TaskID> = []
        while let record = jobs[job], record.unconsumed < limits.maximumUnconsumed,
            let task = record.ledger.queued.first(where: { !unplaceable.contains($0) })
        {
            let candidates = candidates(for: job)
            guard candidates.contains(where: { $0.hasCredit(limits) }) else { return }
            guard let entry = record.ledger.entry(task) else {
                preconditionFailure("\(task) waits but is not open")
            }
            let peer = DispatchPolicy.worker(
                avoiding: Set(entry.failures.map(\.worker)),
                holders: Set(entry.live.map(\.peer)),
                among: candidates,
                limits: limits
            )
            if let peer {
                issue(task, to: peer, at: now)
            } else {
                unplaceable.insert(task)
            }
        }
    }

    private mutating func issue(_ task: TaskID, to peer: PeerID, at now: Instant) {
        guard let attempt = jobs[task.job]?.ledger.issue(task, to: peer) else { return }
        let lease = Lease(deadline: now + leaseDuration(of: task), progressedAt: now)
        roster[peer]?.leases[attempt] = lease
        send(.task(attempt), to: peer)
    }

    /// Near the end of a batch nobody waits behind a busy worker while another is idle.
    private mutating func recallPrefetched(of job: JobID, at now: Instant) {
        while jobs[job]?.ledger.hasQueued == false {
            let candidates = candidates(for: job)
            guard let peer = DispatchPolicy.prefetchToRecall(among: candidates),
                let holder = roster[peer],
                let attempt = holder.leases.keys.last, attempt.task.job == job,
                let failures = jobs[job]?.ledger.entry(attempt.task)?.failures,
                let idle = candidates.first(where: \.isIdle),
                !failures.contains(where: { $0.worker == idle.worker })
            else { return }
            note(.recalled(attempt, holder.id))
            roster.endLease(attempt, of: peer)
            send(.cancel(attempt), to: peer)
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
            let idle = candidates(for: job).first(where: \.isIdle)
        else { return }
        var slowest: (attempt: AttemptID, since: Instant)?
        for (peer, worker) in roster.all where peer != idle.peer {
            for attempt in worker.running where attempt.task.job == job {
                guard let since = worker.leases[attempt]?.runningSince,
                    let speed = record.speed[attempt.task.kind],
                    speed.count >= limits.minimumSpeedSamples, let median = speed.median,
                    (now - since) * 100 > median * limits.speculationPercent,
                    slowest.map({ since < $0.since }) ?? true
                else { continue }
                slowest = (attempt, since)
            }
        }
        guard let slowest, requestCopy(of: slowest.attempt.task) else { return }
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
