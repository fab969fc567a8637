internal import ClusterCore

/// What is to be done in which order, what is being done, and what is over: a value that decides,
/// and leaves disk and work to ``JobService``.
struct JobQueue: Sendable {
    private(set) var jobs: [JobRecord]
    /// Jobs that may wait behind the one at work.
    let maximumQueued: Int
    /// Where the job at work is.
    private var progress: (id: String, phase: JobPhase, done: Int, total: Int)?

    /// Jobs that are over and still known.
    static let maximumOver = 200

    init(jobs: [JobRecord], maximumQueued: Int) {
        self.jobs = jobs
        self.maximumQueued = maximumQueued
    }

    // MARK: Looking

    subscript(id: String) -> JobRecord? { jobs.first { $0.id == id } }

    var nextSequence: Int { (jobs.map(\.sequence).max() ?? 0) + 1 }

    /// The job to work on now; nil when there is none, or one is at work.
    var next: JobRecord? { progress == nil ? unfinished.first : nil }

    var unfinished: [JobRecord] {
        jobs.filter { $0.outcome == nil }.sorted { $0.sequence < $1.sequence }
    }

    /// Jobs that are over and too many to be kept, the oldest first.
    var surplus: [String] {
        let over = jobs.filter { $0.outcome != nil }.sorted { $0.sequence < $1.sequence }
        return over.dropLast(Self.maximumOver).map(\.id)
    }

    /// The one at work, waiting ones in their order, what is over, the latest first.
    var statuses: [JobStatus] {
        let over = jobs.filter { $0.outcome != nil }.sorted { $0.sequence > $1.sequence }
        return (unfinished + over).map { status($0) }
    }

    func status(_ job: JobRecord) -> JobStatus {
        if let outcome = job.outcome {
            return JobStatus(
                id: job.id, phase: outcome.phase, reason: outcome.reason,
                exitCode: outcome.exitCode, output: job.order.output)
        }
        if let progress, progress.id == job.id {
            return JobStatus(
                id: job.id, phase: progress.phase, done: progress.done, total: progress.total,
                output: job.order.output)
        }
        let waiting = unfinished
        let ahead = waiting.firstIndex { $0.id == job.id } ?? 0
        return JobStatus(
            id: job.id, phase: .queued, done: ahead, total: waiting.count,
            output: job.order.output)
    }

    // MARK: Deciding

    /// What a submission under this name means before anybody has looked at the request.
    enum Admission: Equatable {
        /// Nothing has to be done: the very job is known.
        case known(JobRecord)
        /// A failed one is to be tried again.
        case again(JobRecord)
        case new
        case refused(ControlRefusal)
    }

    func admission(of order: JobOrder, id: String) -> Admission {
        if let job = self[id] {
            guard job.order == order else {
                return .refused(
                    ControlRefusal(
                        .conflict,
                        "there is another job with the id '\(id)'; leave --id out, or choose one "
                            + "that is not in use"))
            }
            guard job.outcome?.kind == .failed else { return .known(job) }
            return refusal(of: order).map { .refused($0) } ?? .again(job)
        }
        return refusal(of: order).map { .refused($0) } ?? .new
    }

    private func refusal(of order: JobOrder) -> ControlRefusal? {
        let waiting = unfinished
        // The first one is at work, or will be in a moment.
        if waiting.count > maximumQueued {
            return ControlRefusal(
                .full,
                "\(waiting.count - 1) jobs are waiting, as many as may; submit again when some "
                    + "are done (tessera status)")
        }
        for job in waiting {
            if let file = job.order.files.first(where: { order.files.contains($0) }) {
                return ControlRefusal(
                    .conflict, "job '\(job.id)' is going to write \(file); name another --output")
            }
        }
        return nil
    }

    // MARK: Changing

    /// Takes a job in, or takes note of what has become of it.
    mutating func put(_ job: JobRecord) {
        jobs.removeAll { $0.id == job.id }
        jobs.append(job)
    }

    mutating func remove(_ id: String) { jobs.removeAll { $0.id == id } }

    mutating func begin(_ id: String) { progress = (id, .running, 0, 0) }

    /// The job at work is no longer: it is over, or waits again.
    mutating func end() { progress = nil }

    /// Progress of another job than the one at work is none.
    mutating func note(_ phase: JobPhase, done: Int, of total: Int, id: String) {
        if progress?.id == id { progress = (id, phase, done, total) }
    }
}
