package import ClusterCore

/// A coordinator's end whose messages get lost, doubled, late or damaged, as a ``FaultInjector``
/// says. Ordinals count over all peers. For tests and drills.
package final class FaultyCoordinatorTransport: CoordinatorTransport {
    package var endpoint: String { base.endpoint }
    package var inbound: AsyncStream<CoordinatorTransportEvent> { passage.inbound }
    private let base: any CoordinatorTransport
    private let passage: FaultyPassage<CoordinatorTransportEvent>

    package init(
        _ base: any CoordinatorTransport,
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

    private func receive(from base: some CoordinatorTransport) async {
        for await event in base.inbound {
            guard case .received(let frames, let peer) = event else {
                passage.receive(event)
                continue
            }
            passage.pass(frames, .received) { [passage] in
                passage.receive(.received($0, from: peer))
            }
        }
    }

    package func send(_ frames: Frames, to peer: PeerID) {
        passage.pass(frames, .sent) { [base] in base.send($0, to: peer) }
    }

    package func complain(about peer: PeerID) { base.complain(about: peer) }

    package var counters: TransportCounters { base.counters }

    package func shutdown() { base.shutdown() }
}
