internal import OrderedCollections

/// Who is in, and who is gone.
extension CoordinatorState {
    /// Any message is a sign of life.
    mutating func hear(_ peer: PeerID, at now: Instant) {
        guard var record = roster[peer] else { return }
        record.lastHeard = now
        if record.isSuspect {
            record.isSuspect = false
            announce(.recovered(record.id))
            for attempt in record.leases.keys {
                jobs[attempt.task.job]?.ledger.dropUnissuedCopy(of: attempt.task)
            }
        }
        roster[peer] = record
    }

    mutating func greet(_ hello: Hello, from peer: PeerID, at now: Instant) {
        let isNew = roster[peer]?.id != hello.worker
        if let known = roster[peer] {
            // The same life asks again, having missed our answers: what it held may be lost.
            releaseLeases(of: known)
            roster[peer] = nil
            if known.id != hello.worker {
                announce(.lost(known.id, .replaced, live: roster.liveCount))
            }
        }
        replaceSilentNamesakes(of: hello, at: now)
        if let refusal = refusal(of: hello) {
            announce(.rejected(name: hello.worker.name, refusal))
            rejections.append("\(hello.worker.name): \(refusal.reason)")
            rejections.removeFirst(max(0, rejections.count - 8))
            return send(.reject(refusal), to: peer)
        }
        roster[peer] = WorkerRecord(hello: hello, lastHeard: now)
        let welcome = Welcome(
            heartbeatInterval: limits.heartbeatInterval,
            credits: hello.slots * limits.creditsPerSlot,
            version: version
        )
        send(.welcome(welcome), to: peer)
        if isNew { announce(.joined(hello.worker, live: roster.liveCount)) }
        for job in jobs.keys {
            jobs[job]?.refusals[peer] = nil
            announce(job, to: peer, at: now)
        }
    }

    mutating func announce(_ job: JobID, to peer: PeerID, at now: Instant) {
        guard let conditioning = jobs[job]?.conditioning else { return }
        roster[peer]?.announcedAt[job] = now
        send(.openJob(job, conditioning: conditioning), to: peer)
    }

    /// A later life of a worker ends a silent earlier one; two that both speak are two machines
    /// that were given one name, and both may work.
    private mutating func replaceSilentNamesakes(of hello: Hello, at now: Instant) {
        for (other, record) in roster.all
        where record.id.name == hello.worker.name
            && record.id.incarnation != hello.worker.incarnation
        {
            if now - record.lastHeard > limits.heartbeatInterval * 2 {
                lose(other, .replaced)
            } else {
                note(.duplicateName(hello.worker.name))
            }
        }
    }

    private func refusal(of hello: Hello) -> Rejection? {
        let theirs = hello.identity
        if isShuttingDown {
            return Rejection(code: .closing, reason: "the coordinator is stopping")
        }
        if !(1...limits.maximumSlots).contains(hello.slots) {
            return Rejection(
                code: .misbehaved,
                reason: "\(hello.slots) slots announced; 1 to \(limits.maximumSlots) are possible")
        }
        if theirs.weights != expected.weights {
            return Rejection(
                code: .weights,
                reason: "worker '\(hello.worker.name)' has weights \(theirs.weights), the picture "
                    + "is made with \(expected.weights); give both the same --model")
        }
        if theirs.computeClass != expected.computeClass {
            return Rejection(
                code: .computeClass,
                reason: "worker '\(hello.worker.name)' computes as \(theirs.computeClass), the "
                    + "picture needs \(expected.computeClass); other kernels round differently")
        }
        if roster.count >= limits.maximumWorkers {
            return Rejection(
                code: .full, reason: "the coordinator has its \(limits.maximumWorkers) workers")
        }
        return nil
    }

    mutating func incompatible(_ theirs: WireVersion, from peer: PeerID) {
        let reason =
            "the worker speaks wire version \(theirs), the coordinator "
            + "\(WireVersion.current); upgrade workers first, then the coordinator"
        announce(.rejected(name: "peer \(peer)", Rejection(code: .wireVersion, reason: reason)))
        rejections.append(reason)
        rejections.removeFirst(max(0, rejections.count - 8))
        reject(peer, .wireVersion, reason)
    }

    mutating func reject(_ peer: PeerID, _ code: RejectionCode, _ reason: String) {
        send(.reject(Rejection(code: code, reason: reason)), to: peer)
    }

    mutating func malformed(_ reason: String, from peer: PeerID) {
        note(.malformed(peer, reason: reason))
        strike(peer, reason: reason)
    }

    /// One more reason to send a worker away.
    mutating func strike(_ peer: PeerID, reason: String) {
        guard var record = roster[peer] else { return }
        record.strikes += 1
        roster[peer] = record
        guard record.strikes >= limits.maximumStrikes else { return }
        reject(
            peer, .misbehaved,
            "\(record.strikes) unusable messages in a row, the last because \(reason)")
        lose(peer, .misbehaved(reason))
    }

    mutating func ready(_ peer: PeerID, for job: JobID, problem: String?) {
        guard jobs[job] != nil, let record = roster[peer] else { return }
        guard let problem else {
            roster[peer]?.readyJobs.insert(job)
            return
        }
        jobs[job]?.refusals[peer] = "\(record.id): \(problem)"
        guard let refusals = jobs[job]?.refusals,
            roster.peers.allSatisfy({ refusals[$0] != nil })
        else { return }
        fail(job, .refused(Array(refusals.values)))
    }

    mutating func drain(_ peer: PeerID) {
        guard let record = roster[peer], !record.isDraining else { return }
        roster[peer]?.isDraining = true
        announce(.draining(record.id, live: roster.liveCount))
    }

    /// The answer tells the worker that all it said before has arrived and it may close.
    mutating func leave(_ peer: PeerID) {
        send(.goodbye(.leaving), to: peer)
        guard let record = roster[peer] else { return }
        releaseLeases(of: record)
        roster[peer] = nil
        announce(.left(record.id, live: roster.liveCount))
    }

    /// The worker is gone: its tasks go to others at once. What it was computing counts against
    /// those tasks, because a task may be what killed it; what it only held does not.
    mutating func lose(_ peer: PeerID, _ reason: LossReason) {
        guard let record = roster[peer] else { return }
        roster[peer] = nil
        announce(.lost(record.id, reason, live: roster.liveCount))
        let running = Set(record.running)
        for attempt in record.leases.keys.reversed() {
            if running.contains(attempt) {
                blame(attempt, of: record, TaskFailure(code: .workerLost, reason: "\(reason)"))
            } else {
                jobs[attempt.task.job]?.ledger.release(attempt)
            }
        }
    }

    private mutating func releaseLeases(of record: WorkerRecord) {
        for attempt in record.leases.keys.reversed() {
            jobs[attempt.task.job]?.ledger.release(attempt)
        }
    }
}
