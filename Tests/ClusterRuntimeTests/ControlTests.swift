import ClusterCore
import ClusterRuntime
import Foundation
import TestSupport
import Testing
import WireCodec
import ZeroMQTransport

@Suite("Operators and a coordinator", .watched, .timeLimit(.minutes(10)))
struct ControlTests {
    /// A server on a socket of its own that answers by the question's text.
    private func withServer(_ body: @Sendable (String) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "tessera-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let server = try ControlServer(
            binding: ListenAddress(lookingUp: "ipc://\(path)"), logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await server.run { .refused(ControlRefusal(.unknown, "\($0)")) }
            }
            defer { server.shutdown() }
            try await body(server.endpoint)
            server.shutdown()
            try await group.waitForAll()
        }
    }

    @Test("every question gets its own answer, over one connection or many")
    func everyQuestion() async throws {
        let questions: [ControlQuestion] = [
            .submit(id: "lake", order: [1, 2, 3]), .status(id: nil), .status(id: "lake"),
            .cancel(id: "lake"), .workers, .drain(name: "w"),
        ]
        try await withServer { endpoint in
            for _ in 0..<3 {
                let client = try ControlClient(connect: endpoint)
                try await client.withConnection {
                    for question in questions {
                        let answer = try await client.ask(question, patience: .seconds(30))
                        #expect(answer == .refused(ControlRefusal(.unknown, "\(question)")))
                    }
                }
            }
        }
    }

    @Test("the longest list of jobs fits into an answer")
    func longest() throws {
        let limits = Limits.control
        let jobs = (0..<limits.maximumControlEntries).map { number in
            JobStatus(
                id: String(repeating: "i", count: 64), phase: .failed, done: number, total: 7,
                reason: String(repeating: "é", count: 400), exitCode: 65,
                output: "/" + String(repeating: "o", count: 1000))
        }
        let message = WireMessage.controlReply(ControlReply(number: 1, answer: .jobs(jobs)))
        let header = WireHeader(sequence: 1, life: .unknown, incarnation: 0)
        let frames = try WireCodec.encode(message, header: header, limits: limits)
        #expect(try WireCodec.decode(frames, limits: limits).message == message)
    }

    @Test("nobody there is an error within the patience")
    func silence() async throws {
        let client = try ControlClient(
            connect: "ipc://" + NSTemporaryDirectory() + "tessera-\(UUID().uuidString)")
        await #expect(throws: ControlError.self) {
            try await client.withConnection {
                try await client.ask(.workers, patience: .milliseconds(200))
            }
        }
    }

    @Test("what is no question is ignored, and the next one is answered")
    func garbage() async throws {
        let network = InMemoryNetwork()
        let server = ControlServer(
            transport: network.coordinatorTransport(), logger: quietLogger)
        let transport = network.workerTransport()
        let client = ControlClient(transport: network.workerTransport())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run { _ in .workers([]) } }
            transport.send([[1, 2, 3]], expendable: false)
            transport.send([], expendable: false)
            let header = WireHeader(sequence: 1, life: .unknown, incarnation: 0)
            transport.send(
                try WireCodec.encode(.heartbeatAck(1), header: header), expendable: false)
            let answer = try await client.withConnection {
                try await client.ask(.workers, patience: .seconds(30))
            }
            #expect(answer == .workers([]))
            server.shutdown()
            group.cancelAll()
        }
    }

    @Test("a worker that is asked to leave finishes what it computes and goes")
    func drained() async throws {
        try await RealSocketTests.withCoordinator { coordinator in
            let gate = Gate()
            let leaver = try RealSocketTests.worker(
                "leaver", of: coordinator, model: ToyModel(.held(gate)))
            let stayer = try RealSocketTests.worker("stayer", of: coordinator)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // Were it there from the start, it might have done all.
                    try await gate.arrival()
                    try await stayer.run()
                }
                let items = toyItems(step: 0, count: 6)
                let conditioning = toyConditioning()
                group.addTask {
                    let found = try await answers(
                        from: coordinator.executor, to: items, conditioning: conditioning)
                    #expect(found.count == items.count)
                    coordinator.shutdown()
                }
                async let left: Void = leaver.run()
                try await gate.arrival()
                let working = coordinator.workers.first { $0.name == "leaver" }
                #expect(working?.activity == .working && working?.attemptsInHand ?? 0 > 0)
                #expect(coordinator.drain(workersNamed: "nobody") == 0)
                #expect(coordinator.drain(workersNamed: "leaver") == 1)
                // Twice means the same: the task in hand is finished all the same.
                #expect(coordinator.drain(workersNamed: "leaver") == 1)
                gate.open()
                try await left
                try await group.waitForAll()
            }
        }
    }
}
