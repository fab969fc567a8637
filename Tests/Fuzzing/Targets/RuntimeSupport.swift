import ClusterCore
import Denoising
import Glibc
import Logging
import Locking
import Synchronization
import Tensors

/// Runs asynchronous work, and all that it starts, on the calling thread until it is done: no other
/// thread, so the same input always does the same, and quickly.
func runBlocking(_ work: @escaping @Sendable () async -> Void) {
    let executor = DrainingExecutor()
    let isDone = Lock(false)
    Task(executorPreference: executor) {
        await work()
        isDone.withLock { $0 = true }
    }
    while !isDone.withLock({ $0 }) {
        if !executor.runNext() { sched_yield() }
    }
    while executor.runNext() {}
}

private final class DrainingExecutor: _Concurrency.TaskExecutor {
    private let jobs = Lock<[UnownedJob]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// False when nothing waits.
    func runNext() -> Bool {
        guard let job = jobs.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return false }
        job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }
}

let silent = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }

/// Hands out what a script prepares, one element at a time: when an element is asked for, all
/// before it were dealt with.
struct Script<Element: Sendable>: AsyncSequence, Sendable {
    let next: @Sendable () async -> Element?

    struct Iterator: AsyncIteratorProtocol {
        let script: Script
        mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(Never) -> Element? { await script.next() }
    }

    func makeAsyncIterator() -> Iterator { Iterator(script: self) }
}

/// What is left of an input's records.
final class Records: Sendable {
    private let rest: Lock<ArraySlice<RecordStream.Record>>

    /// At most this many are played: more only cost time.
    init(_ input: [UInt8], limit: Int = 64) {
        rest = Lock(RecordStream.read(input).prefix(limit))
    }

    func next() -> RecordStream.Record? { rest.withLock { $0.popFirst() } }
}

/// Something that happens once and can be waited for.
final class Occasion: Sendable {
    private let stream = AsyncStream.makeStream(of: Never.self)
    func happen() { stream.continuation.finish() }
    func wait() async { for await _ in stream.stream {} }
}

/// Answers anything at once, as large as the question; nothing when the view says so.
final class EchoModel: ComputeModel {
    private let running = Atomic<Int>(0)

    /// Lets what was begun end.
    func settle() async {
        for _ in 0..<20 { await Task.yield() }
        while running.load(ordering: .acquiring) > 0 { await Task.yield() }
    }

    func prepare(_ conditioning: Conditioning) async throws {
        guard conditioning.prompt.hiddenStates.shape[0] < 4 else {
            throw ComputeError.unsuitable("too long")
        }
    }

    func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer {
        running.add(1, ordering: .acquiringAndReleasing)
        defer { running.subtract(1, ordering: .acquiringAndReleasing) }
        await Task.yield()
        switch item {
        case .denoise(let task):
            guard task.timestep.isFinite else { throw ComputeError.unsuitable("no number") }
            return .denoise(task.views.map(\.sample))
        case .decode(let task):
            let bytes = [UInt8](repeating: 1, count: task.tile.plane * 3)
            return .decode(
                RGBTile(height: task.tile.height, width: task.tile.width, bytes: bytes))
        case .encode(let task):
            let pixels = task.pixels
            return .encode(
                Latent(
                    channels: 3, height: pixels.height, width: pixels.width,
                    values: pixels.values))
        }
    }
}
