import Foundation
import Locking

/// Threads apart from those that Swift's concurrency shares: as many as there is work at a time, each
/// kept for the next piece of it, so that whatever blocks one holds up nobody else.
final class ThreadPool: TaskExecutor {
    static let shared = ThreadPool()

    private struct State: Sendable {
        var jobs: [UnownedJob] = []
        var idle = 0
    }

    private let state = Lock(State())
    private let arrivals = DispatchSemaphore(value: 0)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.jobs.append(job)
            return state.jobs.count > state.idle
        }
        if needsThread { Thread.detachNewThread { self.work() } }
        arrivals.signal()
    }

    private func work() -> Never {
        while true {
            state.withLock { $0.idle += 1 }
            arrivals.wait()
            let job = state.withLock { state in
                state.idle -= 1
                return state.jobs.removeFirst()
            }
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
