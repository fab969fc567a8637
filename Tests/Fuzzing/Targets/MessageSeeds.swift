import ClusterCore
import Denoising
import Tensors
import WireCodec

/// Messages made by the project's own encoder: one of every kind and of every form a kind has.
enum MessageSeeds {
    static let identity = ModelIdentity(
        weights: ContentDigest(1),
        computeClass: MachineClass(
            backend: "cpu", instructionSet: "avx2", blasCore: "Haswell", precision: "f32"))

    static let conditioning = Conditioning(prompt: embedding(1), negative: embedding(2))

    private static func embedding(_ value: Float) -> PromptEmbedding {
        PromptEmbedding(
            hiddenStates: Tensor(shape: Shape(1, 2), elements: [value, 2]),
            pooled: Tensor(shape: Shape(1), elements: [value]))
    }

    static func hello(slots: Int = 1) -> WireMessage {
        .hello(
            Hello(
                worker: WorkerID(name: "w", incarnation: 7), slots: slots, identity: identity,
                version: "1"))
    }

    static func attempt(
        _ index: UInt32 = 0,
        kind: TaskKind = .denoise,
        job: UInt64 = 1,
        number: UInt32 = 1
    ) -> AttemptID {
        AttemptID(
            task: TaskID(job: JobID(job), round: 1, step: 0, index: index, kind: kind),
            number: number)
    }

    static let latent = Latent(channels: 1, height: 1, width: 2, values: [0.5, -1])

    static func item(_ index: Int, views: Int = 1, bandSplit: BandSplit? = nil) -> WorkItem {
        .denoise(
            DenoiseTask(
                index: index, step: 0, timestep: 951, guidanceScale: 7.5, bandSplit: bandSplit,
                views: Array(
                    repeating: ViewInput(
                        sample: latent,
                        microConditioning: MicroConditioning(timeIDs: [8, 8, 0, -4, 16, 16])),
                    count: views)))
    }

    static let tile = WorkItem.decode(DecodeTask(index: 0, tile: latent))
    static let digest = ContentDigest(conditioning.fingerprint)

    static func wire(
        _ message: WireMessage,
        epoch: UInt64 = 1,
        mode: UInt8 = WireInput.repaired
    ) -> [UInt8] {
        let header = WireHeader(
            sequence: 1, life: CoordinatorLife(realm: Realm(5), epoch: Epoch(epoch)),
            incarnation: 7)
        guard let frames = try? WireCodec.encode(message, header: header) else {
            broken("a seed cannot be encoded")
        }
        return WireInput.bytes(frames, mode: mode)
    }

    static let denoised = WorkAnswer.denoise([latent])
    static let painted = WorkAnswer.decode(
        RGBTile(height: 1, width: 2, bytes: [1, 2, 3, 4, 5, 6]))

    static var all: [String: [UInt8]] {
        let notANumber = Latent(channels: 1, height: 1, width: 2, values: [.nan, .infinity])
        let messages: [String: WireMessage] = [
            "hello": hello(),
            "welcome": .welcome(
                Welcome(heartbeatInterval: .seconds(1), credits: 2, version: "1")),
            "reject": .reject(Rejection(code: .weights, reason: "no")),
            "open-job": .openJob(JobID(1), conditioning: digest),
            "asset-request": .assetRequest(digest),
            "asset": .asset(conditioning),
            "job-ready": .jobReady(JobID(1), problem: nil),
            "job-refused": .jobReady(JobID(1), problem: "no"),
            "close-job": .closeJob(JobID(1)),
            "task-bands": .task(
                attempt(),
                item(0, bandSplit: BandSplit(highScale: 35, low: Extent(height: 1, width: 1))),
                conditioning: digest),
            "task-denoise": .task(attempt(), item(0, views: 2), conditioning: digest),
            "task-decode": .task(attempt(kind: .decode), tile, conditioning: digest),
            "result-denoise": .result(
                attempt(), denoised, question: ContentDigest(0), computeTime: .seconds(1)),
            "result-decode": .result(
                attempt(kind: .decode), painted, question: ContentDigest(0), computeTime: .zero),
            "result-nan": .result(
                attempt(), .denoise([notANumber]), question: ContentDigest(0), computeTime: .zero),
            "failure": .failure(attempt(), TaskFailure(code: .compute, reason: "no")),
            "cancel": .cancel(attempt()),
            "heartbeat": .heartbeat(
                Heartbeat(number: 1, inHand: [attempt(), attempt(1)], progress: 5)),
            "heartbeat-ack": .heartbeatAck(1),
            "goodbye": .goodbye(.leaving),
            "control-submit": .controlRequest(
                ControlRequest(
                    number: 1, question: .submit(id: "lake", order: Array("{}".utf8)))),
            "control-status": .controlRequest(
                ControlRequest(number: 2, question: .status(id: "lake"))),
            "control-drain": .controlRequest(
                ControlRequest(number: 3, question: .drain(name: "w"))),
            "control-jobs": .controlReply(
                ControlReply(
                    number: 1,
                    answer: .jobs([
                        JobStatus(
                            id: "lake", phase: .failed, done: 1, total: 2, reason: "no",
                            exitCode: 65, output: "a.png")
                    ]))),
            "control-workers": .controlReply(
                ControlReply(
                    number: 2,
                    answer: .workers([
                        WorkerStatus(
                            name: "w", activity: .quarantined, attemptsInHand: 1,
                            denoiseTime: .seconds(1), decodeTime: .zero, quarantine: .seconds(30),
                            quarantines: 1)
                    ]))),
            "control-refused": .controlReply(
                ControlReply(number: 3, answer: .refused(ControlRefusal(.full, "no")))),
        ]
        var seeds = messages.mapValues { wire($0) }
        // Once as it travels, checksum and all.
        seeds["preamble"] = wire(.heartbeatAck(1), mode: 0)
        return seeds
    }
}
