package import ClusterCore
internal import Synchronization
package import TextToImage

/// What knows how to make pictures.
package protocol JobMaker: Sendable {
    /// Judges an order before it is taken in: what it means to this coordinator's model. Throws
    /// what is wrong with it.
    func admit(_ order: JobOrder) throws -> (request: GenerationRequest, weights: String)

    /// Makes the picture, from what is kept in `folder` if there is something.
    func perform(
        _ job: JobRecord, folder: String,
        onProgress: @escaping @Sendable (GenerationProgress) -> Void
    ) async throws

    /// What an error of `admit` or `perform` says about the job: the code that `tessera generate`
    /// would have ended with. Nil when it is no fault of the job's, and the coordinator cannot
    /// go on.
    func exitCode(of error: any Error) -> Int?
}

/// Jobs, one after the other, kept on disk from the answer to their submission on.
///
/// Life: ``run()`` works until its task is cancelled, which leaves the job at work unfinished on
/// disk, where the next service finds it. Questions are answered from any task, before `run()`,
/// too; submissions and cancellations are to be asked one at a time.
package final class JobService<Maker: JobMaker>: Sendable {
    private let store: JobStore
    private let maker: Maker
    private let onChange: @Sendable (JobStatus) -> Void
    private let onProblem: @Sendable (String) -> Void
    private let queue: Mutex<JobQueue>
    /// Who changes a record holds this, from looking at it to having it on disk.
    private let disk = Mutex(())
    private let work = Mutex<(id: String, cancel: @Sendable () -> Void)?>(nil)
    private let wakeups: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Reads what the store holds. `onChange` is told of every job that begins or is over, and
    /// `onProblem` what a person should know.
    package init(
        store: JobStore,
        maker: Maker,
        maximumQueued: Int,
        onChange: @escaping @Sendable (JobStatus) -> Void = { _ in },
        onProblem: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.store = store
        self.maker = maker
        self.onChange = onChange
        self.onProblem = onProblem
        let (jobs, problems) = try store.load()
        queue = Mutex(JobQueue(jobs: jobs, maximumQueued: maximumQueued))
        (wakeups, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        for problem in problems { onProblem(problem) }
        wake.yield()
    }

    /// Jobs that are still to be done, the one at work among them, in their order.
    package var unfinished: [JobRecord] { queue.withLock { $0.unfinished } }

    // MARK: Answering

    package func submit(id: String, order bytes: [UInt8]) -> ControlAnswer {
        do {
            try JobName.check(id)
            return try submit(JobOrder(json: bytes), id: id)
        } catch let error as JobError {
            return .refused(ControlRefusal(.usage, "\(error)"))
        } catch {
            return .refused(refusal(for: error))
        }
    }

    private func submit(_ order: JobOrder, id: String) throws -> ControlAnswer {
        switch queue.withLock({ $0.admission(of: order, id: id) }) {
        case .known(let known): return .jobs([queue.withLock { $0.status(known) }])
        case .refused(let refusal): return .refused(refusal)
        case .again(var failed):
            failed.outcome = nil
            return disk.withLock { _ in take(failed) }
        case .new:
            let (request, weights) = try maker.admit(order)
            let job = JobRecord(
                id: id, sequence: 0, order: order, request: request, weights: weights)
            return disk.withLock { _ in take(job) }
        }
    }

    /// The job is on disk, at the end of the queue, before it is said to be.
    private func take(_ job: JobRecord) -> ControlAnswer {
        var job = job
        job.sequence = queue.withLock { $0.nextSequence }
        do { try store.write(job) } catch {
            return .refused(
                ControlRefusal(.unavailable, "the job cannot be kept on disk: \(error)"))
        }
        let status = queue.withLock { queue in
            queue.put(job)
            return queue.status(job)
        }
        wake.yield()
        return .jobs([status])
    }

    private func refusal(for error: any Error) -> ControlRefusal {
        switch maker.exitCode(of: error) {
        case 64: ControlRefusal(.usage, "\(error)")
        case 65: ControlRefusal(.badData, "\(error)")
        default: ControlRefusal(.unavailable, "\(error)")
        }
    }

    /// One job, or all.
    package func status(id: String?) -> ControlAnswer {
        queue.withLock { queue in
            guard let id else { return .jobs(queue.statuses) }
            return queue[id].map { .jobs([queue.status($0)]) } ?? .refused(Self.unknown(id))
        }
    }

    package func cancel(id: String) -> ControlAnswer {
        let answer = disk.withLock { _ in record(cancellationOf: id) }
        guard case .jobs(let jobs) = answer, let job = jobs.first else { return answer }
        // The work ends within one task; what it keeps is removed then.
        let isAtWork = work.withLock { work in
            guard let work, work.id == id else { return false }
            work.cancel()
            return true
        }
        if !isAtWork { store.removeWork(of: id) }
        onChange(job)
        return answer
    }

    private func record(cancellationOf id: String) -> ControlAnswer {
        guard var job = queue.withLock({ $0[id] }) else { return .refused(Self.unknown(id)) }
        switch job.outcome?.kind {
        case .cancelled: return .jobs([queue.withLock { $0.status(job) }])
        case .done, .failed:
            return .refused(
                ControlRefusal(.conflict, "job '\(id)' is over already; nothing was cancelled"))
        case nil: break
        }
        job.outcome = JobRecord.Outcome(.cancelled, exitCode: 130)
        do { try store.write(job) } catch {
            return .refused(
                ControlRefusal(
                    .unavailable, "the cancellation cannot be kept on disk: \(error)"))
        }
        return .jobs([
            queue.withLock { queue in
                queue.put(job)
                return queue.status(job)
            }
        ])
    }

    private static func unknown(_ id: String) -> ControlRefusal {
        ControlRefusal(.unknown, "there is no job '\(id)'; tessera status lists them all")
    }

    // MARK: Working

    /// Works on one job after the other until cancelled. Throws `CancellationError` then, or the
    /// error after which the coordinator cannot go on.
    package func run() async throws {
        for await _ in wakeups {
            while let job = beginNext() {
                try await perform(job)
                try Task.checkCancellation()
            }
        }
        throw CancellationError()
    }

    private func beginNext() -> JobRecord? {
        queue.withLock { queue in
            guard let job = queue.next else { return nil }
            queue.begin(job.id)
            return job
        }
    }

    private func perform(_ job: JobRecord) async throws {
        onChange(queue.withLock { $0.status(job) })
        let task = Task {
            try await maker.perform(job, folder: store.path(of: job.id)) { progress in
                self.note(progress, of: job.id)
            }
        }
        work.withLock { $0 = (job.id, { task.cancel() }) }
        // A cancellation that came before the work could be cancelled.
        if queue.withLock({ $0[job.id]?.outcome != nil }) { task.cancel() }
        let result = await withTaskCancellationHandler {
            await task.result
        } onCancel: {
            task.cancel()
        }
        work.withLock { $0 = nil }
        defer { queue.withLock { $0.end() } }
        switch result {
        case .success: finish(job.id, JobRecord.Outcome(.done))
        case .failure(let error):
            let isCancelled = queue.withLock { $0[job.id]?.outcome != nil }
            // The service stops: the job stays to be done.
            if !isCancelled, Task.isCancelled { throw CancellationError() }
            guard let code = isCancelled ? 130 : maker.exitCode(of: error) else { throw error }
            finish(
                job.id, JobRecord.Outcome(.failed, reason: shortened("\(error)"), exitCode: code))
        }
    }

    private func note(_ progress: GenerationProgress, of id: String) {
        queue.withLock { queue in
            switch progress {
            case .views, .redrawn: break
            case .step(let done, let steps):
                queue.note(.running, done: done, of: steps, id: id)
            case .tile(let done, let tiles):
                queue.note(.decoding, done: done, of: tiles, id: id)
            }
        }
    }

    /// Notes how a job ended, unless it was cancelled.
    private func finish(_ id: String, _ outcome: JobRecord.Outcome) {
        disk.withLock { _ in
            guard var job = queue.withLock({ $0[id] }) else { return }
            guard job.outcome == nil else { return store.removeWork(of: id) }
            job.outcome = outcome
            do { try store.write(job) } catch {
                onProblem("what became of job '\(id)' cannot be kept on disk: \(error)")
            }
            if outcome.kind == .done { store.removeWork(of: id) }
            let status = queue.withLock { queue in
                queue.put(job)
                return queue.status(job)
            }
            onChange(status)
            for surplus in queue.withLock({ $0.surplus }) {
                store.remove(surplus)
                queue.withLock { $0.remove(surplus) }
            }
        }
    }

    /// Reasons travel in answers that list many jobs.
    private func shortened(_ reason: String) -> String {
        reason.utf8.count <= 1000 ? reason : reason.prefix(900) + " …"
    }
}
