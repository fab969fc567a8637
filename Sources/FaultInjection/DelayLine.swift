/// Does things later, each after its own time. Nothing is done once the line is closed.
final class DelayLine: Sendable {
    private struct Errand: Sendable {
        let delay: Duration
        let work: @Sendable () -> Void
    }

    private let errands: AsyncStream<Errand>
    private let sink: AsyncStream<Errand>.Continuation

    init() { (errands, sink) = AsyncStream.makeStream() }

    func after(_ delay: Duration, _ work: @escaping @Sendable () -> Void) {
        sink.yield(Errand(delay: delay, work: work))
    }

    func close() { sink.finish() }

    /// Returns when the line is closed. To be called once.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await errand in errands {
                group.addTask {
                    guard (try? await Task.sleep(for: errand.delay)) != nil else { return }
                    errand.work()
                }
            }
            group.cancelAll()
        }
    }
}
