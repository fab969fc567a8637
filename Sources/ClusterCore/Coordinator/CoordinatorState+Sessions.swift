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
        replaceFormerAddress(of: hello.worker, at: peer)
        replaceSilentNamesakes(of: hello, at: now)
        if let refusal = refusal(of: hello) {
            announce(.rejected(name: hello.worker.name, refusal))
            remember(refusal, of: hello.worker.name)
            return send(.reject(refusal), to: peer)
        }
        roster[peer] = WorkerRecord(hello: hello, lastHeard: now)
        let welcome = Welcome(
            heartbeatInterval: limits.heartbeatInterval,
            credits: hello.slots * limits.creditsPerSlot,
            version: setup.version
        )
        send(.welcome(welcome), to: peer)
        if isNew {
            announce(.joined(hello.worker, live: roster.liveCount))
            admit(peer, at: now)
        }
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

    /// A worker that dialled anew is not at its former address any more, and has not died: what it
    /// held goes on without blame.
    private mutating func replaceFormerAddress(of worker: WorkerID, at peer: PeerID) {
        for (other, record) in roster.all where other != peer && record.id == worker {
            releaseLeases(of: record)
            roster[other] = nil
            announce(.lost(worker, .replaced, live: roster.liveCount))
        }
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
        if theirs.weights != setup.expected.weights {
            return Rejection(
                code: .weights,
                reason: "worker '\(hello.worker.name)' has weights \(theirs.weights), the picture "
                    + "is made with \(setup.expected.weights); give both the same --model")
        }
        if theirs.computeClass != setup.expected.computeClass {
            return Rejection(
                code: .computeClass,
                reason: "worker '\(hello.worker.name)' computes as \(theirs.computeClass), the "
                    + "picture needs \(setup.expected.computeClass); other kernels round differently"
            )
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
        let rejection = Rejection(code: .wireVersion, reason: reason)
        announce(.rejected(name: "peer \(peer)", rejection))
        remember(rejection, of: "peer \(peer)")
        send(.reject(rejection), to: peer)
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
        turnAway(
            peer,
            Rejection(
                code: .misbehaved,
                reason: "\(record.strikes) unusable messages in a row, the last because "
                    + reason))
    }

    mutating func ready(_ peer: PeerID, for job: JobID, problem: String?, at now: Instant) {
        guard let open = jobs[job], let record = roster[peer] else { return }
        guard let problem else {
            roster[peer]?.preparedJobs.insert(job)
            if record.isProven || open.trial.isEmpty {
                roster[peer]?.readyJobs.insert(job)
            } else {
                startTrial(of: peer, for: job, at: now)
            }
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
    /// those tasks, because a task may be what killed it; what it only held does not, nor what
    /// was taken from a worker that is not wanted.
    mutating func lose(_ peer: PeerID, _ reason: LossReason) {
        guard let record = roster[peer] else { return }
        roster[peer] = nil
        announce(.lost(record.id, reason, live: roster.liveCount))
        let isWanted = if case .misbehaved = reason { false } else { true }
        let running = Set(isWanted ? record.running : [])
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
