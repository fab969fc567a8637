internal import Locking

/// The transports without a socket: one process, the same promises. What is sent arrives, in
/// order, unless the peer has left or is cut off.
package final class InMemoryNetwork: Sendable {
    private struct Ends {
        var coordinator: AsyncStream<CoordinatorTransportEvent>.Continuation?
        var workers: [PeerID: AsyncStream<Frames>.Continuation] = [:]
        var cutOff: Set<PeerID> = []
        var nextPeer: UInt8 = 0
    }

    private let ends = Lock(Ends())

    package init() {}

    /// The coordinator's end; one per network at a time.
    package func coordinatorTransport() -> InMemoryCoordinatorTransport {
        let (stream, continuation) = AsyncStream.makeStream(of: CoordinatorTransportEvent.self)
        ends.withLock { $0.coordinator = continuation }
        return InMemoryCoordinatorTransport(network: self, inbound: stream)
    }

    /// A new worker's end. At most 255 in a network's life.
    package func workerTransport() -> InMemoryWorkerTransport {
        let (stream, continuation) = AsyncStream.makeStream(of: Frames.self)
        let peer = ends.withLock { ends in
            ends.nextPeer += 1
            let peer = PeerID(bytes: [ends.nextPeer])
            ends.workers[peer] = continuation
            return peer
        }
        return InMemoryWorkerTransport(network: self, peer: peer, inbound: stream)
    }

    /// Loses everything between the coordinator and this peer from now on, without a sign.
    package func cutOff(_ peer: PeerID) { ends.withLock { _ = $0.cutOff.insert(peer) } }

    /// Ends a peer's connection, as a killed process does.
    package func disconnect(_ peer: PeerID) {
        let (worker, coordinator, isCutOff) = ends.withLock { ends in
            (ends.workers.removeValue(forKey: peer), ends.coordinator, ends.cutOff.contains(peer))
        }
        worker?.finish()
        if worker != nil, !isCutOff { coordinator?.yield(.lost(peer)) }
    }

    fileprivate func toCoordinator(_ frames: Frames, from peer: PeerID) {
        ends.withLock { ends in
            guard ends.workers[peer] != nil, !ends.cutOff.contains(peer) else { return }
            _ = ends.coordinator?.yield(.received(frames, from: peer))
        }
    }

    fileprivate func toWorker(_ frames: Frames, _ peer: PeerID) {
        ends.withLock { ends in
            if let worker = ends.workers[peer] {
                if !ends.cutOff.contains(peer) { worker.yield(frames) }
            } else {
                _ = ends.coordinator?.yield(.lost(peer))
            }
        }
    }

    fileprivate func closeCoordinator() {
        let coordinator = ends.withLock { ends in
            defer { ends.coordinator = nil }
            return ends.coordinator
        }
        coordinator?.finish()
    }
}

/// Calls `onTick` until the task is cancelled or the stream of life ends.
private func tickWhile(
    _ life: AsyncStream<Never>,
    every interval: Duration,
    onTick: @escaping @Sendable () -> Void
) async {
    await withTaskGroup { group in
        group.addTask {
            while (try? await Task.sleep(for: interval)) != nil { onTick() }
        }
        for await _ in life {}
        group.cancelAll()
    }
}

/// The coordinator's end of an ``InMemoryNetwork``.
package final class InMemoryCoordinatorTransport: CoordinatorTransport {
    package let endpoint = "memory"
    package let inbound: AsyncStream<CoordinatorTransportEvent>
    private let network: InMemoryNetwork
    private let life = AsyncStream.makeStream(of: Never.self)

    fileprivate init(
        network: InMemoryNetwork,
        inbound: AsyncStream<CoordinatorTransportEvent>
    ) {
        self.network = network
        self.inbound = inbound
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        await tickWhile(life.stream, every: tickInterval, onTick: onTick)
        network.closeCoordinator()
    }

    package func send(_ frames: Frames, to peer: PeerID) { network.toWorker(frames, peer) }

    package func shutdown() { life.continuation.finish() }
}

/// A worker's end of an ``InMemoryNetwork``.
package final class InMemoryWorkerTransport: WorkerTransport {
    package let endpoint = "memory"
    package let inbound: AsyncStream<Frames>
    /// The address under which the coordinator knows this end.
    package let peer: PeerID
    private let network: InMemoryNetwork
    private let life = AsyncStream.makeStream(of: Never.self)

    fileprivate init(network: InMemoryNetwork, peer: PeerID, inbound: AsyncStream<Frames>) {
        self.network = network
        self.peer = peer
        self.inbound = inbound
    }

    package func run(
        tickInterval: Duration,
        onTick: @escaping @Sendable () -> Void
    ) async throws {
        await tickWhile(life.stream, every: tickInterval, onTick: onTick)
        network.disconnect(peer)
    }

    package func send(_ frames: Frames, expendable: Bool) {
        network.toCoordinator(frames, from: peer)
    }

    package func shutdown() { life.continuation.finish() }
}
