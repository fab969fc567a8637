internal import DequeModule
internal import OrderedCollections

/// What the coordinator's parts have to say about each other, for those who test it.
extension CoordinatorState {
    /// Where ledger, leases, credits, queues and roster contradict each other or their limits, in
    /// words; empty as long as all is well. Looks at every open task and every lease.
    package func inconsistencies() -> [String] {
        var problems: [String] = []
        if roster.count > limits.maximumWorkers { problems.append("\(roster.count) workers") }
        if rejections.count > 8 { problems.append("\(rejections.count) rejections kept") }
        if isShuttingDown && (roster.count > 0 || !jobs.isEmpty) {
            problems.append("\(roster.count) workers and \(jobs.count) jobs after the shutdown")
        }
        if histories.count > limits.maximumHistories {
            problems.append("\(histories.count) workers remembered")
        }
        for (peer, record) in roster.all { check(record, at: peer, into: &problems) }
        for (job, record) in jobs { check(record, of: job, into: &problems) }
        return problems
    }

    private func check(_ record: WorkerRecord, at peer: PeerID, into problems: inout [String]) {
        let credits = record.hello.slots * limits.creditsPerSlot
        // Questions with known answers come on top: they need no credit.
        let tasks = record.leases.keys.count { $0.task.round > 0 }
        if tasks > credits { problems.append("\(record.id) holds \(tasks) of \(credits) attempts") }
        if record.quarantinedUntil != nil {
            if tasks > record.hello.slots {
                problems.append("\(record.id) is left alone and holds \(tasks) attempts")
            }
            if record.isProven || record.trial != nil {
                problems.append("\(record.id) is left alone and on trial or trusted")
            }
        }
        if let job = record.trial?.job, jobs[job] == nil {
            problems.append("\(record.id) is on trial for job \(job), which is not open")
        }
        if record.strikes >= limits.maximumStrikes {
            problems.append("\(record.id) is still here after \(record.strikes) strikes")
        }
        if let job = record.readyJobs.first(where: { jobs[$0] == nil }) {
            problems.append("\(record.id) is ready for job \(job), which is not open")
        }
        if let job = record.announcedAt.keys.first(where: { jobs[$0] == nil }) {
            problems.append("\(record.id) was told of job \(job), which is not open")
        }
        for attempt in record.leases.keys {
            if attempt.task.round == 0 {
                if record.trial?.open.contains(attempt) != true {
                    problems.append("\(record.id) has a lease of a trial that is over")
                }
                continue
            }
            let live = jobs[attempt.task.job]?.ledger.entry(attempt.task)?.live ?? []
            if !live.contains(where: { $0.attempt == attempt && $0.peer == peer }) {
                problems.append("\(record.id) has a lease of \(attempt), which is not live")
            }
        }
    }

    private func check(_ record: JobRecord, of job: JobID, into problems: inout [String]) {
        problems += record.ledger.inconsistencies(limits: limits)
        record.ledger.forEachLive { live in
            if roster[live.peer]?.leases[live.attempt] == nil {
                problems.append("\(live.attempt) is live at \(live.peer) without a lease")
            }
        }
        if record.copies * 100 > record.submitted * limits.maximumExtraWorkPercent {
            problems.append("\(record.copies) copies of \(record.submitted) tasks of job \(job)")
        }
        if record.waitingSince != nil && record.ledger.openCount == 0 {
            problems.append("job \(job) waits for workers and has no task")
        }
    }
}

extension TaskLedger {
    /// Calls `body` for every attempt in a worker's hands.
    func forEachLive(_ body: (Live) -> Void) {
        for entry in openEntries { for live in entry.live { body(live) } }
    }

    /// Where queue and entries contradict each other.
    func inconsistencies(limits: Limits) -> [String] {
        var problems: [String] = []
        if Set(queued).count < queued.count { problems.append("a task waits twice") }
        for task in queued where entry(task)?.isQueued != true {
            problems.append("\(task) is in the queue and not marked as waiting")
        }
        var waiting = 0
        for entry in openEntries {
            if entry.isQueued { waiting += 1 }
            if !entry.isQueued && entry.live.isEmpty {
                problems.append("a task neither waits nor is in anybody's hands")
            }
            if entry.live.count > limits.maximumLiveAttempts {
                problems.append("\(entry.live[0].attempt.task) has \(entry.live.count) attempts")
            }
            if entry.votes.count >= limits.maximumVotes
                || Set(entry.votes.map(\.worker)).count < entry.votes.count
                || (!entry.votes.isEmpty && !entry.needsConfirmation)
            {
                problems.append("\(entry.votes[0].attempt.task) has \(entry.votes.count) votes")
            }
            if Set(entry.live.map(\.peer)).count < entry.live.count {
                problems.append("\(entry.live[0].attempt.task) is twice in one worker's hands")
            }
        }
        if waiting != queued.count {
            problems.append("\(waiting) tasks are marked as waiting, \(queued.count) do")
        }
        return problems
    }
}
