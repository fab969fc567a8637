import ClusterCore
import Denoising
import Tensors
import WireCodec

let header = WireHeader(
    sequence: 17, life: CoordinatorLife(realm: Realm(0x0102_0304_0506_0708), epoch: Epoch(3)),
    incarnation: 0xfeed_beef_0123_4567)

let attempt = AttemptID(
    task: TaskID(job: JobID(0x1122_3344_5566_7788), round: 4, step: 21, index: 3, kind: .denoise),
    number: 2)

func latent(_ channels: Int, _ height: Int, _ width: Int, scale: Float = 1) -> Latent {
    Latent(
        channels: channels, height: height, width: width,
        values: (0..<channels * height * width).map { Float($0 % 251) * scale - 3 })
}

func conditioning(pooled: Bool = true) -> Conditioning {
    func embedding(_ value: Float) -> PromptEmbedding {
        PromptEmbedding(
            hiddenStates: Tensor(
                shape: Shape(3, 4), elements: (0..<12).map { Float($0) * value }),
            pooled: pooled ? Tensor(shape: Shape(5), elements: [value, 2, 3, 4, 5]) : nil)
    }
    return Conditioning(prompt: embedding(0.5), negative: embedding(-1))
}

func denoise(
    views: Int, size: Int = 3, scale: Float = 1, bandSplit: BandSplit? = nil
) -> WorkItem {
    .denoise(
        DenoiseTask(
            index: 9, step: 21, timestep: 951.25, guidanceScale: 7.5, guidanceRescale: 0.7,
            bandSplit: bandSplit,
            views: (0..<views).map {
                ViewInput(
                    sample: latent(4, size, size + 1, scale: scale),
                    microConditioning: MicroConditioning(
                        timeIDs: [1024, 1024, $0 * 8, -5, 2048, 4096]))
            }))
}

let decodeAttempt = AttemptID(
    task: TaskID(job: JobID(7), round: 5, step: 0, index: 1, kind: .decode), number: 1)

func picture(_ height: Int, _ width: Int) -> RGBImage {
    RGBImage(height: height, width: width, values: latent(3, height, width).values)
}

let encodeAttempt = AttemptID(
    task: TaskID(job: JobID(7), round: 6, step: 0, index: 1, kind: .encode), number: 1)

/// One of every message, and of every form that a message has.
let everyMessage: [WireMessage] = [
    .hello(
        Hello(
            worker: WorkerID(name: "węzeł-3", incarnation: header.incarnation), slots: 2,
            identity: ModelIdentity(
                weights: ContentDigest(0xabcd_ef01_2345_6789),
                computeClass: MachineClass(
                    backend: "cpu", instructionSet: "avx512", blasCore: "SkylakeX",
                    precision: "f32")),
            version: "0.1.0")),
    .welcome(Welcome(heartbeatInterval: .seconds(1), credits: 4, version: "0.1.0")),
    .reject(Rejection(code: .weights, reason: "other weights")),
    .openJob(JobID(77), conditioning: ContentDigest(88)),
    .assetRequest(ContentDigest(88)),
    .asset(conditioning()),
    .asset(conditioning(pooled: false)),
    .jobReady(JobID(77), problem: nil),
    .jobReady(JobID(77), problem: "too wide"),
    .closeJob(JobID(77)),
    .task(attempt, denoise(views: 3), conditioning: ContentDigest(88)),
    .task(
        attempt,
        denoise(
            views: 2,
            bandSplit: BandSplit(highScale: 35, low: Extent(height: 1, width: 2))),
        conditioning: ContentDigest(88)),
    .task(
        decodeAttempt, .decode(DecodeTask(index: 4, tile: latent(4, 5, 6))),
        conditioning: ContentDigest(0)),
    .task(
        decodeAttempt, .decode(DecodeTask(index: 4, tile: latent(4, 5, 6), format: .floats)),
        conditioning: ContentDigest(0)),
    .task(
        encodeAttempt, .encode(EncodeTask(index: 5, pixels: picture(16, 8))),
        conditioning: ContentDigest(0)),
    .result(
        attempt, .denoise([latent(4, 3, 4), latent(4, 3, 4)]), question: ContentDigest(0xfeed),
        computeTime: .milliseconds(1234)),
    .result(
        decodeAttempt,
        .decode(RGBTile(height: 5, width: 7, bytes: (0..<105).map { UInt8($0) })),
        question: ContentDigest(0), computeTime: .zero),
    .result(
        decodeAttempt, .pixels(picture(5, 7)), question: ContentDigest(0), computeTime: .zero),
    .result(
        encodeAttempt, .encode(latent(4, 2, 1)), question: ContentDigest(0), computeTime: .zero),
    .failure(attempt, TaskFailure(code: .compute, reason: "no memory")),
    .cancel(attempt),
    .heartbeat(Heartbeat(number: 5, inHand: [attempt, decodeAttempt], progress: 123_456)),
    .heartbeat(Heartbeat(number: 6, inHand: [], progress: nil)),
    .heartbeatAck(5),
    .goodbye(.draining),
    .goodbye(.leaving),
    .goodbye(.returning),
    .drain,
    .controlRequest(
        ControlRequest(
            number: 1, question: .submit(id: "lake", order: Array("{\"size\":\"4x\"}".utf8)))),
    .controlRequest(ControlRequest(number: 2, question: .submit(id: "", order: []))),
    .controlRequest(ControlRequest(number: 3, question: .status(id: nil))),
    .controlRequest(ControlRequest(number: 4, question: .status(id: "lake"))),
    .controlRequest(ControlRequest(number: 5, question: .cancel(id: "lake"))),
    .controlRequest(ControlRequest(number: 6, question: .workers)),
    .controlRequest(ControlRequest(number: .max, question: .drain(name: "węzeł-3"))),
    .controlReply(ControlReply(number: 1, answer: .jobs([]))),
    .controlReply(
        ControlReply(
            number: 2,
            answer: .jobs(
                JobPhase.allCases.map { phase in
                    JobStatus(
                        id: "\(phase)", phase: phase, done: 3, total: 25, reason: "because",
                        exitCode: phase == .failed ? 65 : 0, output: "/tmp/lake.png")
                }))),
    .controlReply(
        ControlReply(
            number: 3,
            answer: .workers(
                WorkerActivity.allCases.map { activity in
                    WorkerStatus(
                        name: "\(activity)", activity: activity, attemptsInHand: 2,
                        denoiseTime: .microseconds(1234), decodeTime: .zero,
                        quarantine: .milliseconds(29_001), quarantines: 1)
                }))),
    .controlReply(
        ControlReply(number: 4, answer: .refused(ControlRefusal(.full, "64 jobs are waiting")))),
]
