internal import Dispatch
internal import Glibc
internal import Synchronization

/// A thread of its own for an actor, so that arithmetic which takes minutes never holds a thread
/// of the cooperative pool, on which everything else waits for its turn.
///
/// The thread ends when the executor is released and its jobs are done.
final class ComputeThread: SerialExecutor {
    private let mailbox: Mailbox

    /// Starts the thread. Traps when the system has none left.
    init() {
        mailbox = Mailbox()
        var thread = pthread_t()
        // The thread keeps the mailbox alive, never the executor: its last job's end may be what
        // releases the executor.
        let argument = unsafe Unmanaged.passRetained(mailbox).toOpaque()
        let status = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Mailbox>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument)
        precondition(status == 0, "no thread for the arithmetic: \(status)")
        pthread_detach(thread)
    }

    deinit { mailbox.post(nil) }

    func enqueue(_ job: consuming ExecutorJob) {
        mailbox.post(Mailbox.Entry(job: UnownedJob(job), executor: self))
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }
}

/// Jobs on their way to the thread.
private final class Mailbox: Sendable {
    struct Entry: Sendable {
        let job: UnownedJob
        /// Held until the job is over, so that the job never outlives its executor.
        let executor: ComputeThread
    }

    private let entries = Mutex<[Entry?]>([])
    private let arrivals = DispatchSemaphore(value: 0)

    /// Hands over a job, or nil to end the thread.
    func post(_ entry: Entry?) {
        entries.withLock { $0.append(entry) }
        arrivals.signal()
    }

    /// Runs jobs in the order of arrival until told to end.
    func run() {
        while true {
            arrivals.wait()
            guard let entry = entries.withLock({ $0.removeFirst() }) else { return }
            unsafe entry.job.runSynchronously(on: entry.executor.asUnownedSerialExecutor())
        }
    }
}
