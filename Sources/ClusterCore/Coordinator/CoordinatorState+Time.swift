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
        remindOfJobs(peer, at: now)
    }

    /// Announces again what a worker has not answered: a message may have been lost with a
    /// connection.
    private mutating func remindOfJobs(_ peer: PeerID, at now: Instant) {
        guard let record = roster[peer], !record.isDraining else { return }
        for (job, open) in jobs
        where !record.readyJobs.contains(job) && open.refusals[peer] == nil {
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
        for job in jobs.keys {
            guard let since = jobs[job]?.waitingSince, now - since >= limits.noWorkerTimeout
            else { continue }
            fail(job, .noWorkers(waited: now - since, rejections: rejections))
        }
    }

    /// A coordinator that was itself stopped must not take everybody for dead.
    private mutating func forgiveOwnStall(at now: Instant) {
        guard let lastTick, now - lastTick > limits.suspectAfter else { return }
        let gap = now - lastTick
        roster.forgive(gap)
        for job in jobs.keys {
            if let since = jobs[job]?.waitingSince { jobs[job]?.waitingSince = since + gap }
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
    /// stuck, or its worker is silent and about to be given up.
    private mutating func expireLeases(of peer: PeerID, at now: Instant) {
        guard let record = roster[peer], !record.isSuspect else { return }
        for (attempt, lease) in record.leases where now >= lease.deadline {
            note(.leaseExpired(attempt, record.id))
            roster.endLease(attempt, of: peer)
            send(.cancel(attempt), to: peer)
            if lease.wasSeen && now - lease.progressedAt >= stuckTime(of: attempt.task) {
                blame(
                    attempt, of: record,
                    TaskFailure(code: .stuck, reason: "the computation made no progress"))
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

    /// Keeps track of since when jobs wait for anybody to come.
    mutating func noteWaiting(at now: Instant) {
        let isEmpty = roster.liveCount == 0
        for job in jobs.keys {
            guard let record = jobs[job] else { continue }
            if !isEmpty || record.ledger.openCount == 0 {
                jobs[job]?.waitingSince = nil
            } else if record.waitingSince == nil {
                jobs[job]?.waitingSince = now
            }
        }
    }
}
