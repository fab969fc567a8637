internal import DequeModule
internal import OrderedCollections

/// Heartbeats and deadlines.
extension CoordinatorState {
    /// A heartbeat renews the leases of the attempts it names, as long as something progresses.
    mutating func renew(_ heartbeat: Heartbeat, of peer: PeerID, at now: Instant) {
        guard var record = roster[peer] else { return }
        send(.heartbeatAck(heartbeat.number), to: peer)
        let progressed = heartbeat.progress == nil || heartbeat.progress != record.progress
        record.progress = heartbeat.progress
        for attempt in heartbeat.inHand {
            guard var lease = record.leases[attempt] else { continue }
            lease.wasSeen = true
            if progressed { lease.progressedAt = now }
            if now - lease.progressedAt < stuckTime(of: attempt.task) {
                lease.deadline = now + leaseDuration(of: attempt.task)
            }
            record.leases[attempt] = lease
        }
        roster[peer] = record
        let named = Set(heartbeat.inHand)
        for attempt in record.cancelled.keys where !named.contains(attempt) {
            // Over, or not yet arrived when the heartbeat left: nothing is learned of its time.
            roster[peer]?.cancelled[attempt] = nil
        }
        resendUnnamed(named, to: peer, at: now)
        remindOfJobs(peer, at: now)
    }

    /// A heartbeat that does not name an attempt although enough time has passed: its task
    /// message was lost; or, when an earlier one named it, its answer was, because messages keep
    /// their order. The worker has the answer still, or computes it again.
    private mutating func resendUnnamed(
        _ named: Set<AttemptID>, to peer: PeerID, at now: Instant
    ) {
        guard let record = roster[peer] else { return }
        for (attempt, lease) in record.leases where !named.contains(attempt) {
            guard lease.wasSeen || now - lease.sentAt >= limits.acknowledgeWithin else { continue }
            roster[peer]?.leases[attempt]?.sentAt = now
            roster[peer]?.leases[attempt]?.resends += 1
            note(.resent(attempt, record.id))
            send(.task(attempt), to: peer)
        }
    }

    /// Announces again what a worker has not answered: a message may have been lost with a
    /// connection.
    private mutating func remindOfJobs(_ peer: PeerID, at now: Instant) {
        guard let record = roster[peer], !record.isDraining else { return }
        for (job, open) in jobs
        where !record.readyJobs.contains(job) && open.refusals[peer] == nil {
            guard !record.preparedJobs.contains(job) else {
                startTrial(of: peer, for: job, at: now)
                continue
            }
            guard let last = record.announcedAt[job], now - last < limits.minimumLease else {
                announce(job, to: peer, at: now)
                continue
            }
        }
    }

    mutating func tick(at now: Instant) {
        forgiveOwnStall(at: now)
        lastTick = now
        for peer in roster.peers { judgeSilence(of: peer, at: now) }
        for peer in roster.peers { expireLeases(of: peer, at: now) }
        endQuarantines(at: now)
        for job in jobs.keys {
            endDispute(in: job, at: now)
            giveUp(job, at: now)
        }
    }

    /// Nobody was ready for the job's tasks for too long, and nobody is here who could become it.
    private mutating func giveUp(_ job: JobID, at now: Instant) {
        guard let record = jobs[job], let since = record.waitingSince,
            now - since >= limits.noWorkerTimeout,
            roster.all.allSatisfy({ peer, worker in
                worker.isDraining || record.refusals[peer] != nil || worker.trialProblem != nil
            })
        else { return }
        let problems = roster.all.values.compactMap { worker in
            worker.trialProblem.map { "\(worker.id): \($0)" }
        }
        let reasons = rejections + record.refusals.values + problems
        fail(job, .noWorkers(waited: now - since, rejections: reasons))
    }

    /// A coordinator that was itself stopped must not take everybody for dead.
    private mutating func forgiveOwnStall(at now: Instant) {
        guard let lastTick, now - lastTick > limits.suspectAfter else { return }
        let gap = now - lastTick
        roster.forgive(gap)
        for job in jobs.keys {
            if let since = jobs[job]?.waitingSince { jobs[job]?.waitingSince = since + gap }
            if let since = jobs[job]?.disputedSince { jobs[job]?.disputedSince = since + gap }
            if let since = jobs[job]?.doubtedSince { jobs[job]?.doubtedSince = since + gap }
        }
        note(.forgave(gap))
    }

    private mutating func judgeSilence(of peer: PeerID, at now: Instant) {
        guard let record = roster[peer] else { return }
        let silence = now - record.lastHeard
        if silence >= limits.lostAfter {
            lose(peer, .silent(silence))
        } else if silence >= limits.suspectAfter, !record.isSuspect {
            roster[peer]?.isSuspect = true
            announce(.suspected(record.id))
            for attempt in record.leases.keys.reversed() { _ = requestCopy(of: attempt.task) }
        }
    }

    /// A lease that ran out was never seen to arrive (the message is lost, nobody's fault), or is
    /// stuck, or was asked for again and again without an answer.
    private mutating func expireLeases(of peer: PeerID, at now: Instant) {
        guard let record = roster[peer], !record.isSuspect else { return }
        for (attempt, lease) in record.leases where now >= lease.deadline {
            note(.leaseExpired(attempt, record.id))
            // One that never arrived keeps nobody busy.
            if !lease.wasSeen { roster.endLease(attempt, of: peer) }
            cancel(attempt, of: peer)
            if attempt.task.round == 0 {
                abandonTrial(of: peer)
            } else if lease.wasSeen && now - lease.progressedAt >= stuckTime(of: attempt.task) {
                blame(
                    attempt, of: record,
                    TaskFailure(code: .stuck, reason: "the computation made no progress"))
                countError(of: peer, "its computation made no progress", at: now)
            } else if lease.resends >= limits.minimumResends {
                blame(
                    attempt, of: record,
                    TaskFailure(code: .workerLost, reason: "its answer never arrived"))
            } else {
                jobs[attempt.task.job]?.ledger.release(attempt)
            }
        }
    }

    private func stuckTime(of task: TaskID) -> Duration {
        guard let median = jobs[task.job]?.speed[task.kind]?.median else {
            return limits.minimumStuck
        }
        return max(limits.minimumStuck, median * limits.stuckFactor)
    }

    /// An answer that nobody could confirm for too long, because no other worker is ready: it is
    /// taken for the answer when it is the only one; when there are several, the job fails.
    private mutating func endDispute(in job: JobID, at now: Instant) {
        guard let ledger = jobs[job]?.ledger,
            let task = ledger.queued.first(where: { isUndecidable(ledger.entry($0), in: job) }),
            let votes = ledger.entry(task)?.votes
        else {
            jobs[job]?.disputedSince = nil
            return
        }
        let since = jobs[job]?.disputedSince ?? now
        jobs[job]?.disputedSince = since
        guard now - since >= limits.noWorkerTimeout else { return }
        if votes.count == 1 {
            settle(task, at: now)
        } else {
            fail(job, .taskFailed(task, evidence: Self.evidence(of: votes)))
        }
    }

    private func isUndecidable(_ entry: TaskLedger.Entry?, in job: JobID) -> Bool {
        guard let entry, !entry.votes.isEmpty, entry.live.isEmpty else { return false }
        return !roster.all.contains { peer, record in
            record.readyJobs.contains(job) && canConfirm(entry, of: job, peer)
        }
    }

    /// A task that failed too often, on so few workers that it may be their fault, and nobody else
    /// is ready to try it: another worker is waited for, then the job fails.
    mutating func endDoubts(at now: Instant) {
        for job in jobs.keys {
            guard let (task, entry) = doubt(in: job), let worker = entry.failures.last?.worker
            else {
                jobs[job]?.doubtedSince = nil
                continue
            }
            let since = jobs[job]?.doubtedSince ?? now
            // Whoever prepares himself is waited for as whoever has to be started by hand.
            let wait =
                isSomebodyComing(to: job, for: entry)
                ? limits.noWorkerTimeout : limits.secondOpinionWait
            guard now - since < wait else {
                fail(job, .taskFailed(task, evidence: entry.failures))
                continue
            }
            if jobs[job]?.doubtedSince == nil {
                announce(.doubted(worker, task, waiting: wait))
            }
            jobs[job]?.doubtedSince = since
        }
    }

    private func doubt(in job: JobID) -> (task: TaskID, entry: TaskLedger.Entry)? {
        // Asked after every event: the queue is looked through only when something went wrong.
        guard let record = jobs[job], record.ledger.blamedCount > 0 else { return nil }
        for task in record.ledger.queued {
            guard let entry = record.ledger.entry(task), entry.live.isEmpty, entry.votes.isEmpty,
                isExhausted(entry.failures)
            else { continue }
            let failed = failed(entry.failures)
            let isSomebodyReady = roster.all.contains { peer, worker in
                !failed.contains(peer) && !worker.isDraining && worker.readyJobs.contains(job)
            }
            if !isSomebodyReady { return (task, entry) }
        }
        return nil
    }

    /// Whether a worker is here that is not ready for the job yet and could try the task then.
    private func isSomebodyComing(to job: JobID, for entry: TaskLedger.Entry) -> Bool {
        let failed = failed(entry.failures)
        return roster.all.contains { peer, worker in
            !failed.contains(peer) && !worker.isDraining && worker.trialProblem == nil
                && jobs[job]?.refusals[peer] == nil
        }
    }

    /// Keeps track of since when nobody has been ready for a job's tasks. Workers that come and
    /// are turned away again are nobody.
    mutating func noteWaiting(at now: Instant) {
        for job in jobs.keys {
            guard let record = jobs[job] else { continue }
            let isAttended = roster.all.values.contains {
                !$0.isDraining && $0.readyJobs.contains(job)
            }
            if isAttended || record.ledger.openCount == 0 {
                jobs[job]?.waitingSince = nil
            } else if record.waitingSince == nil {
                jobs[job]?.waitingSince = now
            }
        }
    }
}
