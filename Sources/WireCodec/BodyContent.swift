internal import ClusterCore
internal import Denoising
internal import Tensors

/// What a body says before its tensors are added.
enum BodyContent: Sendable {
    enum Question: Sendable {
        case denoise(
            timestep: Double, guidanceScale: Double, guidanceRescale: Double,
            bandSplit: BandSplit?, micro: [MicroConditioning])
        case decode(PixelFormat)
        case encode
    }

    /// A message without tensors.
    case complete(WireMessage)
    case asset(ContentDigest)
    case task(AttemptID, item: Int, conditioning: ContentDigest, Question)
    case result(AttemptID, question: ContentDigest, computeTime: Duration)

    /// The whole message, or why body and tensors do not belong together.
    func message(with tensors: [WireTensor], header: WireHeader) throws(WireError) -> WireMessage {
        switch self {
        case .complete(let message):
            guard tensors.isEmpty else {
                throw .malformed("\(tensors.count) tensors with a message that has none")
            }
            return message
        case .asset(let digest):
            let conditioning = try Conditioning(tensors: tensors)
            guard ContentDigest(conditioning.fingerprint) == digest else {
                throw .malformed(
                    "conditioning announced as \(digest) is \(conditioning.fingerprint)")
            }
            return .asset(conditioning)
        case .task(let attempt, let item, let conditioning, let question):
            let item = try Self.item(question, item, attempt.task, tensors)
            return .task(attempt, item, conditioning: conditioning)
        case .result(let attempt, let question, let time):
            let answer = try WorkAnswer(kind: attempt.task.kind, tensors: tensors)
            return .result(attempt, answer, question: question, computeTime: time)
        }
    }

    private static func item(
        _ question: Question,
        _ index: Int,
        _ task: TaskID,
        _ tensors: [WireTensor]
    ) throws(WireError) -> WorkItem {
        switch (question, task.kind) {
        case (.denoise(let timestep, let scale, let rescale, let bands, let micro), .denoise):
            guard micro.count == tensors.count, !micro.isEmpty else {
                throw .malformed("a task of \(micro.count) views came with \(tensors.count)")
            }
            var views: [ViewInput] = []
            for (position, micro) in micro.enumerated() {
                let sample = try tensors[position].latent(named: "view.\(position)")
                if let bands, !bands.fits(Extent(height: sample.height, width: sample.width)) {
                    throw .malformed("a low band of \(bands.low) in a view of \(sample.shape)")
                }
                views.append(ViewInput(sample: sample, microConditioning: micro))
            }
            return .denoise(
                DenoiseTask(
                    index: index, step: Int(task.step), timestep: timestep, guidanceScale: scale,
                    guidanceRescale: rescale, bandSplit: bands, views: views))
        case (.decode(let format), .decode):
            guard tensors.count == 1 else {
                throw .malformed("a decode task has one tile, \(tensors.count) came")
            }
            return .decode(
                DecodeTask(
                    index: index, tile: try tensors[0].latent(named: "tile"), format: format))
        case (.encode, .encode):
            guard tensors.count == 1 else {
                throw .malformed("an encode task has one tile, \(tensors.count) came")
            }
            return .encode(
                EncodeTask(index: index, pixels: try tensors[0].picture(named: "pixels")))
        default:
            throw .malformed("\(task) came with the question of another kind")
        }
    }
}
