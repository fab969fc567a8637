internal import ClusterCore

/// What both ends' faulty transports have in common: messages go through it in both directions
/// and come out lost, doubled, late or damaged.
///
/// What is on its way here is not bounded as an inbox is.
final class FaultyPassage<Inbound: Sendable>: Sendable {
    let inbound: AsyncStream<Inbound>
    private let sink: AsyncStream<Inbound>.Continuation
    private let faults: MessageFaults
    private let late = DelayLine()

    init(_ faults: MessageFaults) {
        self.faults = faults
        (inbound, sink) = AsyncStream.makeStream()
    }

    /// Carries out `work` for each delivery that the message turns into, in its time.
    func pass(
        _ frames: Frames,
        _ direction: MessageFaults.Direction,
        _ work: @escaping @Sendable (Frames) -> Void
    ) {
        for delivery in faults.deliveries(of: frames, direction) {
            guard delivery.delay > .zero else {
                work(delivery.frames)
                continue
            }
            late.after(delivery.delay) { work(delivery.frames) }
        }
    }

    func receive(_ element: Inbound) { sink.yield(element) }

    /// Runs a transport, and beside it `receiving`, which takes in what comes by it; what is late
    /// when the transport ends is lost.
    func run(
        receiving: @escaping @Sendable () async -> Void,
        transport: () async throws -> Void
    ) async throws {
        defer { sink.finish() }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await receiving() }
            group.addTask { await self.late.run() }
            defer { late.close() }
            try await transport()
        }
    }
}
