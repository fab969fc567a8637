import ClusterCore
import TestSupport
import Testing

@Suite("InMemoryTransport", .watched, .timeLimit(.minutes(10)))
struct InMemoryTransportTests {
    @Test("messages arrive in order, both ways, with the sender's address")
    func order() async throws {
        let network = InMemoryNetwork()
        let coordinator = network.coordinatorTransport()
        let worker = network.workerTransport()
        for number in 0..<100 { worker.send([[UInt8(number)]], expendable: false) }
        var inbound = coordinator.inbound.makeAsyncIterator()
        for number in 0..<100 {
            guard case .received(let frames, let sender)? = await inbound.next() else {
                Issue.record("message \(number) is missing")
                return
            }
            #expect(frames == [[UInt8(number)]])
            #expect(sender == worker.peer)
        }
        for number in 0..<100 { coordinator.send([[UInt8(number)], []], to: worker.peer) }
        var back = worker.inbound.makeAsyncIterator()
        for number in 0..<100 { #expect(await back.next() == [[UInt8(number)], []]) }
    }

    @Test("a disconnected peer is lost, and sending to it says so again")
    func loss() async throws {
        let network = InMemoryNetwork()
        let coordinator = network.coordinatorTransport()
        let worker = network.workerTransport()
        network.disconnect(worker.peer)
        coordinator.send([[1]], to: worker.peer)
        var inbound = coordinator.inbound.makeAsyncIterator()
        for _ in 0..<2 {
            guard case .lost(worker.peer)? = await inbound.next() else {
                Issue.record("no loss")
                return
            }
        }
        var end = worker.inbound.makeAsyncIterator()
        #expect(await end.next() == nil)
    }

    @Test("shutting down ends run() and the stream of messages")
    func shutdown() async throws {
        let network = InMemoryNetwork()
        let coordinator = network.coordinatorTransport()
        async let running: Void = coordinator.run(tickInterval: .milliseconds(1)) {}
        coordinator.shutdown()
        try await running
        for await _ in coordinator.inbound {}
    }
}
