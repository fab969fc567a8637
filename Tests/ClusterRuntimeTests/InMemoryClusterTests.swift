import ClusterCore
import ClusterRuntime
import Denoising
import Synchronization
import Tensors
import TestSupport
import Testing
import WireCodec

@Suite("Coordinator and workers in memory", .watched, .timeLimit(.minutes(10)))
struct InMemoryClusterTests {
    /// A coordinator and workers on one network, until `body` returns. With `first`, only the first
    /// worker is there until somebody has come to that gate: else the others might do it all.
    private func withCluster(
        _ models: [ToyModel],
        limits: Limits = quickLimits(),
        confirmedPercent: Double = 0,
        first: Gate? = nil,
        _ body: @Sendable (Coordinator, InMemoryNetwork, [PeerID]) async throws -> Void
    ) async throws {
        let network = InMemoryNetwork()
        let coordinator = Coordinator(
            transport: network.coordinatorTransport(), expected: toyIdentity, version: "test",
            limits: limits, confirmedPercent: confirmedPercent, logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await coordinator.run() }
            var peers: [PeerID] = []
            for (number, model) in models.enumerated() {
                let transport = network.workerTransport()
                peers.append(transport.peer)
                let worker = Worker(
                    transport: transport, name: "w\(number)", identity: toyIdentity, model: model,
                    version: "test", limits: limits, logger: quietLogger)
                // How a worker ends is not these tests' business.
                group.addTask {
                    if number > 0 { try await first?.arrival() }
                    try? await worker.run()
                }
            }
            do {
                try await body(coordinator, network, peers)
            } catch {
                Issue.record(error)
            }
            coordinator.shutdown()
            // A worker that was cut off would wait for a coordinator.
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    /// Where there are others, none of them ends a job alone because it was the first to come.
    private func patient(for workers: Int) -> Limits {
        var limits = quickLimits()
        limits.secondOpinionWait = workers > 1 ? .seconds(300) : .zero
        return limits
    }

    private func local(_ items: [WorkItem]) async throws -> [Int: WorkAnswer] {
        try await answers(
            from: LocalExecutor(model: ToyModel()), to: items, conditioning: toyConditioning())
    }

    @Test("any number of workers gives the local answers", arguments: [1, 2, 7])
    func equalToLocal(workers: Int) async throws {
        try await withCluster((0..<workers).map { _ in ToyModel() }) { coordinator, _, _ in
            for step in 0..<4 {
                let items = toyItems(step: step, count: 9)
                let remote = try await answers(
                    from: coordinator.executor, to: items, conditioning: toyConditioning())
                #expect(try await local(items) == remote)
            }
        }
    }

    @Test("a worker killed or cut off in the middle changes no answer", arguments: [true, false])
    func loss(isKilled: Bool) async throws {
        let gate = Gate()
        let models = [ToyModel(.held(gate)), ToyModel()]
        try await withCluster(models, first: gate) { coordinator, network, peers in
            let items = toyItems(step: 1, count: 8)
            async let remote = answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            try await gate.arrival()
            if isKilled { network.disconnect(peers[0]) } else { network.cutOff(peers[0]) }
            let found = try await remote
            let expected = try await local(items)
            #expect(found == expected)
            gate.open()
        }
    }

    @Test("the same question asked twice is two rounds")
    func rounds() async throws {
        try await withCluster([ToyModel()]) { coordinator, _, _ in
            let items = toyItems(step: 1, count: 3)
            for _ in 0..<3 {
                let remote = try await answers(
                    from: coordinator.executor, to: items, conditioning: toyConditioning())
                #expect(try await local(items) == remote)
            }
        }
    }

    @Test("conditioning travels once per worker, and a model that forgot it is given it again")
    func conditioning() async throws {
        let model = ToyModel()
        try await withCluster([model]) { coordinator, _, _ in
            for seed: Float in [0, 1, 0, 2, 0] {
                let items = toyItems(step: 1, count: 2)
                let remote = try await answers(
                    from: coordinator.executor, to: items, conditioning: toyConditioning(seed))
                let expected = try await answers(
                    from: LocalExecutor(model: ToyModel()), to: items,
                    conditioning: toyConditioning(seed))
                #expect(remote == expected)
                model.forgetAll()
            }
        }
    }

    /// The texts of a picture with regions, after the first.
    private static let others: [Conditioning] = (1...5).map { toyConditioning(Float($0)) }

    @Test(
        "questions of several texts, asked together, are each answered with their own",
        arguments: [1, 3])
    func severalTexts(workers: Int) async throws {
        let models = (0..<workers).map { _ in ToyModel() }
        try await withCluster(models, limits: patient(for: workers)) { coordinator, _, _ in
            let asked = toyItems(step: 0, count: 3, texts: 3)
            let known = try await answers(
                from: LocalExecutor(model: ToyModel()), to: asked, conditioning: toyConditioning(),
                others: Self.others)
            let executor = coordinator.executor(
                known: asked.compactMap { item in
                    known[item.index].map { KnownAnswer(item: item, answer: $0) }
                })
            for step in 0..<3 {
                // More than are in flight at once, and a step without one of the texts.
                let texts = step == 1 ? 2 : 6
                let items = toyItems(step: step, count: step == 2 ? 300 : 11, texts: texts)
                let remote = try await answers(
                    from: executor, to: items, conditioning: toyConditioning(),
                    others: Self.others)
                let expected = try await answers(
                    from: LocalExecutor(model: ToyModel()), to: items,
                    conditioning: toyConditioning(), others: Self.others)
                #expect(remote == expected)
            }
            // The next picture has other texts; those of this one are let go of.
            let items = toyItems(step: 0, count: 4)
            let next = try await answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning(9))
            let expected = try await answers(
                from: LocalExecutor(model: ToyModel()), to: items,
                conditioning: toyConditioning(9))
            #expect(next == expected)
        }
    }

    @Test("one text that cannot be answered ends the questions of all of them")
    func severalTextsFailing() async throws {
        try await withCluster([ToyModel(.unsuitable)]) { coordinator, _, _ in
            await #expect(throws: JobFailure.self) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 200, texts: 6),
                    conditioning: toyConditioning(), others: Self.others)
            }
        }
    }

    @Test("a worker lost among questions of several texts changes no answer")
    func severalTextsLoss() async throws {
        let gate = Gate()
        let models = [ToyModel(.held(gate)), ToyModel()]
        try await withCluster(models, first: gate) { coordinator, network, peers in
            let items = toyItems(step: 1, count: 9, texts: 3)
            async let remote = answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning(),
                others: Self.others)
            try await gate.arrival()
            network.disconnect(peers[0])
            let found = try await remote
            let expected = try await answers(
                from: LocalExecutor(model: ToyModel()), to: items, conditioning: toyConditioning(),
                others: Self.others)
            #expect(found == expected)
            gate.open()
        }
    }

    @Test(
        "answers that are not finite are refused, and the job fails with the evidence",
        arguments: [1, 2])
    func notANumber(workers: Int) async throws {
        let models = (0..<workers).map { _ in ToyModel(.notANumber) }
        try await withCluster(models, limits: patient(for: workers)) { coordinator, _, _ in
            let error = await #expect(throws: JobFailure.self) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 3),
                    conditioning: toyConditioning())
            }
            guard case .taskFailed(_, let evidence)? = error else {
                Issue.record("\(error as (any Error)?)")
                return
            }
            #expect(evidence.allSatisfy { $0.failure.code == .notFinite })
            #expect(coordinator.liveWorkers == workers, "nobody was turned away for it")
        }
    }

    @Test(
        "workers that find no finite picture in a tile end the job, naming the tile",
        arguments: [1, 2])
    func notFiniteTile(workers: Int) async throws {
        let models = (0..<workers).map { _ in ToyModel(.notANumber) }
        try await withCluster(models, limits: patient(for: workers)) { coordinator, _, _ in
            let error = await #expect(throws: ComputeError.self) {
                _ = try await answers(
                    from: coordinator.executor, to: Array(toyTiles(count: 5)[3...]),
                    conditioning: toyConditioning())
            }
            guard case .notFinite(let index, let reason)? = error else {
                Issue.record("\(error as (any Error)?)")
                return
            }
            #expect((3...4).contains(index), "the tile's own number, not that in its batch")
            for number in 0..<workers { #expect(reason.contains("w\(number)"), "\(reason)") }
        }
    }

    @Test("one worker with wrong answers does not spoil the picture", arguments: [false, true])
    func oneBadWorker(isDecoding: Bool) async throws {
        try await withCluster([ToyModel(.notANumber), ToyModel()], limits: patient(for: 2)) {
            coordinator, _, _ in
            let items = isDecoding ? toyTiles(count: 12) : toyItems(step: 0, count: 12)
            let remote = try await answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            #expect(try await local(items) == remote)
        }
    }

    @Test("a worker that fails the known questions computes nothing; the others do it all")
    func knownAnswers() async throws {
        let liar = ToyModel(.lying(from: 1))
        let refusal = Gate()
        refusal.open()
        try await withCluster([liar, ToyModel()], first: refusal) { coordinator, _, _ in
            var known: [KnownAnswer] = []
            for question in toyItems(step: 5, count: 1) + toyTiles(count: 1) {
                for answer in try await local([question]).values {
                    known.append(KnownAnswer(item: question, answer: answer))
                }
            }
            let items = toyItems(step: 0, count: 12)
            let executor = coordinator.executor(known: known)
            async let remote = answers(
                from: executor, to: items, conditioning: toyConditioning())
            let rejections = coordinator.workerEvents.compactMap { event in
                if case .rejected(_, let rejection) = event { rejection } else { nil }
            }
            let rejection = try #require(await rejections.first { _ in true })
            #expect(rejection.code == .knownAnswer)
            #expect("\(rejection)".contains("1 of 256 numbers"))
            try await refusal.pass()
            let found = try await remote
            #expect(try await local(items) == found)
            #expect(liar.answerCount <= 2)
        }
    }

    @Test("a worker that begins to answer wrongly is outvoted where answers are confirmed")
    func outvoted() async throws {
        let models = [ToyModel(.lying(from: 3)), ToyModel(), ToyModel()]
        try await withCluster(models, confirmedPercent: 100) { coordinator, _, _ in
            // One that is alone is believed.
            _ = await coordinator.workerEvents.first { _ in coordinator.liveWorkers == 3 }
            for step in 0..<4 {
                let items = toyItems(step: step, count: 9)
                let remote = try await answers(
                    from: coordinator.executor, to: items, conditioning: toyConditioning())
                #expect(try await local(items) == remote)
            }
            #expect(coordinator.counters.confirmed == 36)
        }
    }

    @Test("matrix 19: an answer to another question is refused, whatever name it bears")
    func anotherQuestion() async throws {
        let network = InMemoryNetwork()
        let coordinator = Coordinator(
            transport: network.coordinatorTransport(), expected: toyIdentity, version: "test",
            limits: quickLimits(), logger: quietLogger)
        let impostor = network.workerTransport()
        let sound = Worker(
            transport: network.workerTransport(), name: "sound", identity: toyIdentity,
            model: ToyModel(), version: "test", limits: quickLimits(), logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (lies, lied) = AsyncStream<Void>.makeStream()
            group.addTask { try await coordinator.run() }
            group.addTask {
                // Else it might have done all before the other was there.
                for await _ in lies { break }
                try? await sound.run()
            }
            group.addTask { try? await impostor.run(tickInterval: .seconds(1)) {} }
            group.addTask {
                try await Self.answerWithAnother(impostor, onAnswer: { lied.yield() })
            }
            let items = toyItems(step: 0, count: 12)
            let remote = try await answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            #expect(try await local(items) == remote)
            #expect(coordinator.counters.unsound > 0)
            coordinator.shutdown()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    /// A worker whose every answer has the right name and shape, and belongs to another question.
    private static func answerWithAnother(
        _ transport: InMemoryWorkerTransport, onAnswer: () -> Void
    ) async throws {
        let model = ToyModel()
        let conditioning = toyConditioning()
        try await model.prepare(conditioning)
        let wrong = toyItems(step: 7, count: 1)[0]
        let answer = try await model.compute(wrong, conditioning: conditioning.fingerprint)
        let header = WireHeader(sequence: 1, life: .unknown, incarnation: 5)
        func send(_ message: WireMessage) throws {
            transport.send(
                try WireCodec.encode(message, header: header), expendable: false)
        }
        let worker = WorkerID(name: "impostor", incarnation: 5)
        try send(
            .hello(Hello(worker: worker, slots: 1, identity: toyIdentity, version: "test")))
        for await frames in transport.inbound {
            switch try WireCodec.decode(frames).message {
            case .openJob(let job, _): try send(.jobReady(job, problem: nil))
            case .task(let attempt, _, _):
                try send(
                    .result(
                        attempt, answer, question: ContentDigest(wrong.fingerprint),
                        computeTime: .milliseconds(1)))
                onAnswer()
            case .goodbye, .reject: return
            default: break
            }
        }
    }

    @Test("a worker that always fails does not stop the others")
    func oneFailingWorker() async throws {
        let models = [ToyModel(.failing), ToyModel()]
        try await withCluster(models, limits: patient(for: 2)) { coordinator, _, _ in
            let items = toyItems(step: 0, count: 12)
            let remote = try await answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            #expect(try await local(items) == remote)
        }
    }

    @Test("what fails everywhere fails the job with each worker's reason")
    func poison() async throws {
        let models = [ToyModel(.failing), ToyModel(.failing)]
        try await withCluster(models, limits: patient(for: 2)) { coordinator, _, _ in
            let error = await #expect(throws: JobFailure.self) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 1),
                    conditioning: toyConditioning())
            }
            guard case .taskFailed(_, let evidence)? = error else {
                Issue.record("not the expected failure: \(String(describing: error))")
                return
            }
            // More where the second worker came late.
            #expect((4...8).contains(evidence.count))
            #expect(Set(evidence.map(\.worker.name)) == ["w0", "w1"])
            #expect(evidence.allSatisfy { $0.failure.reason == "the toy broke" })
        }
    }

    @Test("an item that does not fit the model is one sentence")
    func unsuitable() async throws {
        try await withCluster([ToyModel(.unsuitable)]) { coordinator, _, _ in
            let error = await #expect(throws: JobFailure.self) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 1),
                    conditioning: toyConditioning())
            }
            #expect(error?.description.contains("the toy takes no such item") == true)
        }
    }

    @Test("an item too large to travel is refused before anything is asked")
    func oversize() async throws {
        try await withCluster([]) { coordinator, _, _ in
            let view = ViewInput(
                sample: Latent(zeros: 1, height: 1, width: 1),
                microConditioning: MicroConditioning(timeIDs: [0, 0, 0, 0, 0, 0]))
            let task = DenoiseTask(
                index: 0, step: 0, timestep: 1, guidanceScale: 1,
                views: Array(repeating: view, count: 65))
            await #expect(throws: WireError.self) {
                try await coordinator.executor.execute(
                    WorkList([.denoise(task)]), conditionings: [toyConditioning()]
                ) { _, _ in }
            }
        }
    }

    @Test("a loop that stops taking answers, or throws, ends its job and not the coordinator")
    func throwingLoop() async throws {
        try await withCluster([ToyModel()]) { coordinator, _, _ in
            await #expect(throws: ToyFailure.self) {
                try await coordinator.executor.execute(
                    WorkList(toyItems(step: 0, count: 5)), conditionings: [toyConditioning()]
                ) { _, _ in throw ToyFailure() }
            }
            let items = toyItems(step: 0, count: 5)
            let remote = try await answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            #expect(try await local(items) == remote)
        }
    }

    @Test("cancelling the loop cancels its job")
    func cancelledLoop() async throws {
        let gate = Gate()
        try await withCluster([ToyModel(.held(gate))]) { coordinator, _, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        _ = try await answers(
                            from: coordinator.executor, to: toyItems(step: 0, count: 5),
                            conditioning: toyConditioning())
                    }
                }
                try await gate.arrival()
                group.cancelAll()
            }
            gate.open()
        }
    }

    @Test("shutting down fails what is open with a typed error")
    func shutdown() async throws {
        let gate = Gate()
        try await withCluster([ToyModel(.held(gate))]) { coordinator, _, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: JobFailure.shutdown) {
                        _ = try await answers(
                            from: coordinator.executor, to: toyItems(step: 0, count: 5),
                            conditioning: toyConditioning())
                    }
                }
                try await gate.arrival()
                coordinator.shutdown()
                gate.open()
            }
            await #expect(throws: JobFailure.shutdown) {
                _ = try await answers(
                    from: coordinator.executor, to: toyItems(step: 0, count: 1),
                    conditioning: toyConditioning())
            }
        }
    }
}

@Suite("Worker service", .watched, .timeLimit(.minutes(10)))
struct WorkerServiceTests {
    @Test("a drained worker finishes its task, hands the rest back, and run() returns")
    func drain() async throws {
        let gate = Gate()
        let network = InMemoryNetwork()
        let limits = quickLimits()
        let coordinator = Coordinator(
            transport: network.coordinatorTransport(), expected: toyIdentity, version: "test",
            limits: limits, logger: quietLogger)
        let leaving = Worker(
            transport: network.workerTransport(), name: "leaving", identity: toyIdentity,
            model: ToyModel(.held(gate)), version: "test", limits: limits, logger: quietLogger)
        let staying = Worker(
            transport: network.workerTransport(), name: "staying", identity: toyIdentity,
            model: ToyModel(), version: "test", limits: limits, logger: quietLogger)
        let items = toyItems(step: 0, count: 4)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await coordinator.run() }
            async let remote = answers(
                from: coordinator.executor, to: items, conditioning: toyConditioning())
            try await withThrowingTaskGroup(of: Void.self) { inner in
                inner.addTask { try await leaving.run() }
                try await gate.arrival()
                leaving.drain()
                gate.open()
                try await inner.waitForAll()
            }
            group.addTask { try await staying.run() }
            let expected = try await answers(
                from: LocalExecutor(model: ToyModel()), to: items, conditioning: toyConditioning())
            let found = try await remote
            #expect(found == expected)
            coordinator.shutdown()
            try await group.waitForAll()
        }
        var events: [WorkerEvent] = []
        for await event in coordinator.workerEvents { events.append(event) }
        #expect(
            events.contains {
                if case .left(let worker, _) = $0 { worker.name == "leaving" } else { false }
            })
        #expect(!events.contains { if case .lost = $0 { true } else { false } })
    }

    @Test("heartbeats go on, with the model's counter, while it computes")
    func heartbeats() async throws {
        let gate = Gate()
        let network = InMemoryNetwork()
        let hub = network.coordinatorTransport()
        let counter = Atomic<UInt64>(0)
        let worker = Worker(
            transport: network.workerTransport(), name: "w", identity: toyIdentity,
            model: ToyModel(.held(gate)),
            progress: { counter.add(1, ordering: .relaxed).newValue },
            version: "test", limits: quickLimits(), logger: quietLogger)
        let item = toyItems(step: 0, count: 1)[0]
        let conditioning = toyConditioning()
        let digest = ContentDigest(conditioning.fingerprint)
        let job = JobID(1)
        let attempt = AttemptID(
            task: TaskID(job: job, round: 1, step: 0, index: 0, kind: .denoise), number: 1)
        let header = WireHeader(
            sequence: 1, life: CoordinatorLife(realm: Realm(1), epoch: Epoch(1)), incarnation: 0)
        func send(_ message: WireMessage, to peer: PeerID) throws {
            hub.send(try WireCodec.encode(message, header: header), to: peer)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run() }
            var seen: [Heartbeat] = []
            for await event in hub.inbound {
                guard case .received(let frames, let peer) = event else { break }
                switch try WireCodec.decode(frames).message {
                case .hello:
                    try send(
                        .welcome(
                            Welcome(
                                heartbeatInterval: .milliseconds(20), credits: 2, version: "t")),
                        to: peer)
                    try send(.openJob(job, conditioning: digest), to: peer)
                case .assetRequest: try send(.asset(conditioning), to: peer)
                case .jobReady: try send(.task(attempt, item, conditioning: digest), to: peer)
                case .heartbeat(let beat) where beat.inHand == [attempt]:
                    seen.append(beat)
                    if seen.count == 5 {
                        gate.open()
                        try send(.goodbye(.leaving), to: peer)
                    }
                default: break
                }
            }
            try await group.waitForAll()
            let numbers = seen.map { $0.progress ?? 0 }
            #expect(numbers.count >= 5)
            #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 })
        }
    }
}
