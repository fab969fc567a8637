import ClusterCore
import ClusterRuntime
import Denoising
import Glibc
import TestSupport
import Testing
import ZeroMQTransport

@Suite("Coordinator and workers over ZeroMQ in one process", .watched, .timeLimit(.minutes(10)))
struct RealSocketTests {
    /// Runs `body` beside a coordinator on a free port; all is over when this returns.
    static func withCoordinator(
        limits: Limits = quickLimits(),
        expected: ModelIdentity = toyIdentity,
        _ body: @Sendable (Coordinator) async throws -> Void
    ) async throws {
        let coordinator = try Coordinator(
            binding: ListenAddress(lookingUp: "tcp://127.0.0.1:*"), expected: expected,
            version: "test", limits: limits,
            logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await coordinator.run() }
            defer { coordinator.shutdown() }
            try await body(coordinator)
            coordinator.shutdown()
            try await group.waitForAll()
        }
    }

    static func worker(
        _ name: String,
        of coordinator: Coordinator,
        model: ToyModel = ToyModel(),
        identity: ModelIdentity = toyIdentity,
        limits: Limits = quickLimits()
    ) throws -> Worker {
        try Worker(
            connect: coordinator.endpoint, name: name, identity: identity, model: model,
            version: "test", limits: limits, logger: quietLogger)
    }

    @Test("answers are those of the local twin", arguments: [1, 3])
    func equalToLocal(workers: Int) async throws {
        let conditioning = toyConditioning()
        let local = LocalExecutor(model: ToyModel())
        try await Self.withCoordinator { coordinator in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<workers {
                    let worker = try Self.worker("w\(number)", of: coordinator)
                    group.addTask { try await worker.run() }
                }
                for step in 0..<3 {
                    let items = toyItems(step: step, count: 11)
                    let remote = try await answers(
                        from: coordinator.executor, to: items, conditioning: conditioning)
                    let expected = try await answers(
                        from: local, to: items, conditioning: conditioning)
                    #expect(remote == expected)
                }
                // The last are more than are asked for at once.
                for items in [
                    toyTiles(count: 5), toyRedrawing(count: 5), toyItems(step: 3, count: 300),
                ] {
                    let remote = try await answers(
                        from: coordinator.executor, to: items, conditioning: conditioning)
                    #expect(
                        remote
                            == (try await answers(
                                from: local, to: items, conditioning: conditioning)))
                }
                coordinator.shutdown()
                try await group.waitForAll()
            }
        }
    }

    @Test("a worker that vanishes in the middle of a task changes no answer")
    func vanishingWorker() async throws {
        let conditioning = toyConditioning()
        let gate = Gate()
        try await Self.withCoordinator { coordinator in
            let doomed = try Self.worker("doomed", of: coordinator, model: ToyModel(.held(gate)))
            let survivor = try Self.worker("survivor", of: coordinator)
            try await withThrowingTaskGroup(of: Void.self) { group in
                let items = toyItems(step: 0, count: 6)
                group.addTask {
                    // Cancelled below: its socket closes without a goodbye.
                    try await withThrowingTaskGroup(of: Void.self) { inner in
                        inner.addTask { try? await doomed.run() }
                        try await gate.arrival()
                        inner.cancelAll()
                        gate.open()
                    }
                }
                group.addTask {
                    try await gate.arrival()
                    try await survivor.run()
                }
                let remote = try await answers(
                    from: coordinator.executor, to: items, conditioning: conditioning)
                let expected = try await answers(
                    from: LocalExecutor(model: ToyModel()), to: items, conditioning: conditioning)
                #expect(remote == expected)
                coordinator.shutdown()
                try await group.waitForAll()
            }
        }
    }

    @Test("other weights are refused with the reason on both sides")
    func wrongWeights() async throws {
        let other = ModelIdentity(
            weights: ContentDigest(0x1234), computeClass: toyIdentity.computeClass)
        try await Self.withCoordinator { coordinator in
            let worker = try Self.worker("stranger", of: coordinator, identity: other)
            let error = await #expect(throws: WorkerError.self) { try await worker.run() }
            let rejection = try #require(error?.rejection)
            #expect(rejection.code == .weights)
            #expect(rejection.reason.contains("0000000000001234"))
            #expect(rejection.reason.contains("000000000000abcd"))
            var events = coordinator.workerEvents.makeAsyncIterator()
            #expect(await events.next() == .rejected(name: "stranger", rejection))
        }
    }

    @Test("another compute class is refused")
    func wrongClass() async throws {
        let other = ModelIdentity(
            weights: toyIdentity.weights,
            computeClass: MachineClass(
                backend: "toy", instructionSet: "avx2", blasCore: "none", precision: "f32"))
        try await Self.withCoordinator { coordinator in
            let worker = try Self.worker("stranger", of: coordinator, identity: other)
            let error = await #expect(throws: WorkerError.self) { try await worker.run() }
            let rejection = try #require(error?.rejection)
            #expect(rejection.code == .computeClass)
            #expect(rejection.reason.contains("toy/avx2/none/f32"))
        }
    }

    @Test("without a worker a job fails with a typed error")
    func noWorker() async throws {
        var limits = quickLimits()
        limits.noWorkerTimeout = .milliseconds(300)
        try await Self.withCoordinator(limits: limits) { coordinator in
            let error = await #expect(throws: JobFailure.self) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 2),
                    conditioning: toyConditioning())
            }
            guard case .noWorkers(_, let rejections)? = error else {
                Issue.record("not the expected failure: \(String(describing: error))")
                return
            }
            #expect(rejections.isEmpty)
        }
    }

    @Test("a worker without a coordinator gives up with a typed error")
    func noCoordinator() async throws {
        var limits = quickLimits()
        limits.orphanTimeout = .seconds(2)
        // A port that was free a moment ago.
        let gone = try Coordinator(
            binding: ListenAddress(lookingUp: "tcp://127.0.0.1:*"), expected: toyIdentity,
            version: "test",
            limits: limits, logger: quietLogger
        ).endpoint
        let worker = try Worker(
            connect: gone, name: "orphan", identity: toyIdentity, model: ToyModel(),
            version: "test", limits: limits, logger: quietLogger)
        let error = await #expect(throws: WorkerError.self) { try await worker.run() }
        let (endpoint, trouble): (String?, String?) =
            if case .coordinatorSilent(let endpoint, _, let trouble)? = error {
                (endpoint, trouble)
            } else { (nil, nil) }
        #expect(endpoint == gone)
        #expect(trouble == "connection refused")
    }

    @Test("a worker that reaches something else than a coordinator says so")
    func strangeListener() async throws {
        var limits = quickLimits()
        limits.orphanTimeout = .seconds(2)
        // The system completes connections, and nobody speaks.
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 8) == 0
                    && getsockname(listener, address, &size) == 0
            }
        }
        try #require(isBound)
        let worker = try Worker(
            connect: "tcp://127.0.0.1:\(UInt16(bigEndian: place.sin_port))", name: "astray",
            identity: toyIdentity,
            model: ToyModel(), version: "test", limits: limits, logger: quietLogger)
        let error = await #expect(throws: WorkerError.self) { try await worker.run() }
        guard case .coordinatorSilent(_, _, let trouble)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(trouble == "what listens there does not answer as a coordinator does")
    }

    @Test("matrix 40: random bytes as well-formed messages are counted and cut off; work goes on")
    func nonsense() async throws {
        let conditioning = toyConditioning()
        let items = toyItems(step: 0, count: 40)
        try await Self.withCoordinator { coordinator in
            let worker = try Self.worker("honest", of: coordinator)
            let fuzzer = try DealerTransport(connecting: coordinator.endpoint)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                group.addTask {
                    try await fuzzer.run(tickInterval: .milliseconds(5)) {
                        let frames = (0..<Int.random(in: 1...5)).map { _ in
                            (0..<Int.random(in: 0...300)).map { _ in UInt8.random(in: 0...255) }
                        }
                        fuzzer.send(frames, expendable: false)
                    }
                }
                let deadline = ContinuousClock.now + .seconds(30)
                while coordinator.transportCounters.refused[.malformed] == nil,
                    ContinuousClock.now < deadline
                {
                    let remote = try await answers(
                        from: coordinator.executor, to: items, conditioning: conditioning)
                    #expect(
                        remote
                            == (try await answers(
                                from: LocalExecutor(model: ToyModel()), to: items,
                                conditioning: conditioning)))
                }
                #expect(coordinator.transportCounters.refused[.malformed] != nil)
                fuzzer.shutdown()
                coordinator.shutdown()
                try await group.waitForAll()
            }
        }
    }
}

extension WorkerError {
    /// Why the coordinator turned the worker away; nil for other ends.
    fileprivate var rejection: Rejection? {
        if case .rejected(let rejection) = self { rejection } else { nil }
    }
}
