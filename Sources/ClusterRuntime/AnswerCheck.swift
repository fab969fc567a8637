internal import ClusterCore
internal import Denoising
internal import Tensors

/// Judges whether an answer can be one to its question: a worker's bytes are not trusted with
/// the picture.
enum AnswerCheck {
    /// What is wrong with the answer, nil when it is sound.
    static func problem(of answer: WorkAnswer, to item: WorkItem) -> TaskFailure? {
        switch (item, answer) {
        case (.denoise(let task), .denoise(let predictions)):
            problem(of: predictions, to: task)
        case (.decode(let task), .decode(let pixels)) where task.format == .bytes:
            problem(of: Extent(height: pixels.height, width: pixels.width), to: task)
        case (.decode(let task), .pixels(let pixels)) where task.format == .floats:
            problem(of: Extent(height: pixels.height, width: pixels.width), to: task)
                ?? finiteness(of: pixels, called: "the picture")
        case (.encode(let task), .encode(let latent)):
            problem(of: latent, to: task)
        default: unsound("the answer is of another kind than the question")
        }
    }

    /// Equal for equal answers. By the standard library's hash, whose seed is this process's
    /// secret: a worker cannot make another answer of the same digest.
    static func digest(of answer: WorkAnswer) -> ContentDigest {
        var hasher = Hasher()
        switch answer {
        case .denoise(let predictions):
            for latent in predictions {
                unsafe latent.values.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
            }
        case .decode(let tile):
            unsafe tile.bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        case .pixels(let picture):
            unsafe picture.values.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        case .encode(let latent):
            unsafe latent.values.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        }
        return ContentDigest(UInt64(bitPattern: Int64(hasher.finalize())))
    }

    static func unsound(_ reason: String) -> TaskFailure {
        TaskFailure(code: .unsound, reason: reason)
    }

    private static func problem(
        of predictions: [Latent], to task: DenoiseTask
    ) -> TaskFailure? {
        guard predictions.count == task.views.count else {
            return unsound("\(predictions.count) predictions for \(task.views.count) views")
        }
        for (prediction, view) in zip(predictions, task.views) {
            guard prediction.hasSameExtents(as: view.sample) else {
                return unsound(
                    "a prediction of shape \(prediction.shape) for a view of shape "
                        + "\(view.sample.shape)")
            }
            if let problem = finiteness(of: prediction, called: "the prediction") {
                return problem
            }
        }
        return nil
    }

    private static func problem(of pixels: Extent, to task: DecodeTask) -> TaskFailure? {
        let tile = task.tile
        guard fit(pixels, Extent(height: tile.height, width: tile.width)) else {
            return unsound(
                "\(pixels.height)×\(pixels.width) pixels for a \(tile.height)×\(tile.width) tile")
        }
        return nil
    }

    private static func problem(of latent: Latent, to task: EncodeTask) -> TaskFailure? {
        let pixels = task.pixels
        guard
            fit(
                Extent(height: pixels.height, width: pixels.width),
                Extent(height: latent.height, width: latent.width))
        else {
            return unsound(
                "a latent of \(latent.height)×\(latent.width) for \(pixels.height)×"
                    + "\(pixels.width) pixels")
        }
        return finiteness(of: latent, called: "the latent")
    }

    /// The autoencoder's factor is the model's business; that it is whole and the same both ways
    /// is everybody's.
    private static func fit(_ pixels: Extent, _ latent: Extent) -> Bool {
        pixels.height % latent.height == 0
            && pixels.height / latent.height * latent.width == pixels.width
    }

    private static func finiteness(of answer: some Planar, called name: String) -> TaskFailure? {
        guard answer.values.allSatisfy(\.isFinite) else {
            return TaskFailure(
                code: .notFinite, reason: "\(name) contains values that are not finite")
        }
        return nil
    }
}
