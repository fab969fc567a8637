import ClusterCore

/// SplitMix64 (Steele, Lea & Flood 2014): small, seeded, good enough to shake a cluster.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

let identity = ModelIdentity(
    weights: ContentDigest(7),
    computeClass: MachineClass(
        backend: "cpu", instructionSet: "avx2", blasCore: "Haswell", precision: "f32"))
let digest = ContentDigest(99)
let job = JobID(5)
let presentLife = CoordinatorLife(realm: Realm(11), epoch: Epoch(3))

func seconds(_ value: Double) -> Instant { Instant(sinceStart: .seconds(value)) }

func peer(_ number: UInt8) -> PeerID { PeerID(bytes: [number]) }

func hello(
    _ name: String,
    incarnation: UInt64 = 1,
    slots: Int = 1,
    identity: ModelIdentity = identity
) -> Hello {
    Hello(
        worker: WorkerID(name: name, incarnation: incarnation), slots: slots, identity: identity,
        version: "test")
}

func tasks(_ count: Int, round: UInt32 = 1) -> [TaskID] {
    (0..<count).map {
        TaskID(job: job, round: round, step: round, index: UInt32($0), kind: .denoise)
    }
}

extension [CoordinatorEffect] {
    /// Attempts handed to anybody, in order.
    var handedOut: [AttemptID] {
        compactMap { if case .send(.task(let attempt), _) = $0 { attempt } else { nil } }
    }

    func handedOut(to peer: PeerID) -> [AttemptID] {
        compactMap { effect in
            guard case .send(.task(let attempt), peer) = effect else { return nil }
            return attempt
        }
    }

    /// Tasks handed out, and to whom.
    var assignments: [(attempt: AttemptID, holder: PeerID)] {
        compactMap {
            if case .send(.task(let attempt), let holder) = $0 { (attempt, holder) } else { nil }
        }
    }

    var delivered: [AttemptID] {
        compactMap { if case .deliver(let attempt) = $0 { attempt } else { nil } }
    }

    var failure: JobFailure? {
        for case .fail(_, let failure) in self { return failure }
        return nil
    }

    var workerEvents: [WorkerEvent] {
        compactMap { if case .worker(let event) = $0 { event } else { nil } }
    }

    func sent(to peer: PeerID) -> [CoordinatorMessage] {
        compactMap { effect in
            guard case .send(let message, peer) = effect else { return nil }
            return message
        }
    }

    /// Why a peer was turned away, when that was the first thing it was told.
    func rejection(of peer: PeerID) -> Rejection? {
        if case .reject(let rejection)? = sent(to: peer).first { rejection } else { nil }
    }
}

extension CoordinatorState {
    /// A coordinator with one open job.
    static func withOpenJob(
        limits: Limits = .standard,
        trial: [TaskKind] = [],
        confirmedPercent: Double = 0
    ) -> CoordinatorState {
        var state = CoordinatorState(
            CoordinatorSetup(
                expected: identity, life: presentLife, version: "test", limits: limits,
                confirmation: Confirmation(percent: confirmedPercent, salt: 1)))
        _ = state.handle(.open(job, conditioning: digest, trial: trial), at: seconds(0))
        return state
    }

    /// Says hello and reports ready.
    mutating func join(_ peer: PeerID, _ hello: Hello, at now: Instant) -> [CoordinatorEffect] {
        handle(.received(.hello(hello), from: peer), at: now)
            + handle(.received(.jobReady(job, problem: nil), from: peer), at: now)
    }

    mutating func answer(
        _ attempt: AttemptID,
        from peer: PeerID,
        after time: Duration = .seconds(1),
        at now: Instant
    ) -> [CoordinatorEffect] {
        handle(.received(.result(attempt, computeTime: time), from: peer), at: now)
    }

    mutating func fail(
        _ attempt: AttemptID,
        at peer: PeerID,
        _ code: FailureCode = .compute,
        now: Instant
    ) -> [CoordinatorEffect] {
        handle(
            .received(.failure(attempt, TaskFailure(code: code, reason: "broke")), from: peer),
            at: now)
    }

    mutating func beat(
        _ peer: PeerID,
        naming attempts: [AttemptID] = [],
        progress: UInt64? = nil,
        at now: Instant
    ) -> [CoordinatorEffect] {
        let beat = Heartbeat(number: 1, inHand: attempts, progress: progress)
        return handle(.received(.heartbeat(beat), from: peer), at: now)
    }
}
