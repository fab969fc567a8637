package import ClusterCore

/// A worker's end whose messages get lost, doubled, late or damaged, as a ``FaultInjector`` says.
/// For tests and drills.
package final class FaultyWorkerTransport: WorkerTransport {
    package var endpoint: String { base.endpoint }
    package var trouble: String? { base.trouble }
    package var inbound: AsyncStream<Frames> { passage.inbound }
    private let base: any WorkerTransport
    private let passage: FaultyPassage<Frames>

    package init(
        _ base: any WorkerTransport,
        injector: FaultInjector,
        limits: Limits = .standard
    ) {
        self.base = base
        passage = FaultyPassage(MessageFaults(injector: injector, limits: limits))
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        try await passage.run(
            receiving: { await self.receive(from: self.base) },
            transport: { try await base.run(tickInterval: tickInterval, onTick: onTick) })
    }

    private func receive(from base: some WorkerTransport) async {
        for await frames in base.inbound {
            passage.pass(frames, .received) { [passage] in passage.receive($0) }
        }
    }

    package func send(_ frames: Frames, expendable: Bool) {
        passage.pass(frames, .sent) { [base] in base.send($0, expendable: expendable) }
    }

    package func shutdown() { base.shutdown() }
}
