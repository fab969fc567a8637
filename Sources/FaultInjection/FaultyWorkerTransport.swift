package import ClusterCore

/// A worker's end whose messages get lost, doubled, late or damaged, as a ``FaultInjector`` says.
///
/// For tests and drills: what is on its way here is not bounded as an inbox is.
package final class FaultyWorkerTransport: WorkerTransport {
    package var endpoint: String { base.endpoint }
    package let inbound: AsyncStream<Frames>
    private let base: any WorkerTransport
    private let faults: MessageFaults
    private let sink: AsyncStream<Frames>.Continuation
    private let late = DelayLine()

    package init(
        _ base: any WorkerTransport,
        injector: FaultInjector,
        limits: Limits = .standard
    ) {
        self.base = base
        faults = MessageFaults(injector: injector, limits: limits)
        (inbound, sink) = AsyncStream.makeStream()
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        defer { sink.finish() }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await self.receive(from: self.base) }
            group.addTask { await self.late.run() }
            defer { late.close() }
            try await base.run(tickInterval: tickInterval, onTick: onTick)
        }
    }

    private func receive(from base: some WorkerTransport) async {
        for await frames in base.inbound {
            for delivery in faults.deliveries(of: frames, .received) {
                deliver(after: delivery.delay) { [sink] in sink.yield(delivery.frames) }
            }
        }
    }

    package func send(_ frames: Frames, expendable: Bool) {
        for delivery in faults.deliveries(of: frames, .sent) {
            deliver(after: delivery.delay) { [base] in
                base.send(delivery.frames, expendable: expendable)
            }
        }
    }

    private func deliver(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
        if delay == .zero { work() } else { late.after(delay, work) }
    }

    package func shutdown() { base.shutdown() }
}
