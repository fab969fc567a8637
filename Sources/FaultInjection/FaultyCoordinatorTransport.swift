package import ClusterCore

/// A coordinator's end whose messages get lost, doubled, late or damaged, as a ``FaultInjector``
/// says. Ordinals count over all peers.
///
/// For tests and drills: what is on its way here is not bounded as an inbox is.
package final class FaultyCoordinatorTransport: CoordinatorTransport {
    package var endpoint: String { base.endpoint }
    package let inbound: AsyncStream<CoordinatorTransportEvent>
    private let base: any CoordinatorTransport
    private let faults: MessageFaults
    private let sink: AsyncStream<CoordinatorTransportEvent>.Continuation
    private let late = DelayLine()

    package init(
        _ base: any CoordinatorTransport,
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

    private func receive(from base: some CoordinatorTransport) async {
        for await event in base.inbound {
            guard case .received(let frames, let peer) = event else {
                sink.yield(event)
                continue
            }
            for delivery in faults.deliveries(of: frames, .received) {
                deliver(after: delivery.delay) { [sink] in
                    sink.yield(.received(delivery.frames, from: peer))
                }
            }
        }
    }

    package func complain(about peer: PeerID) { base.complain(about: peer) }

    package var counters: TransportCounters { base.counters }

    package func send(_ frames: Frames, to peer: PeerID) {
        for delivery in faults.deliveries(of: frames, .sent) {
            deliver(after: delivery.delay) { [base] in base.send(delivery.frames, to: peer) }
        }
    }

    private func deliver(after delay: Duration, _ work: @escaping @Sendable () -> Void) {
        if delay == .zero { work() } else { late.after(delay, work) }
    }

    package func shutdown() { base.shutdown() }
}
