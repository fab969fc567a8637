import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import Sampling
import Tensors
import TextToImage

/// A request worked out for a model: everything that can be wrong with it is found here.
struct PictureSetup: Sendable {
    let picture: PicturePlan
    let noise: Latent
    /// The picture that it starts from.
    let image: PictureFile?

    /// Throws what is wrong with the request, or with the noise of `initialLatents`.
    init(
        request: GenerationRequest, initialLatents: Latent?, image: PictureFile? = nil,
        model: ModelFolder
    ) throws {
        self.image = image
        picture = try PicturePlan(request: request, model: model)
        noise = try picture.initialNoise(from: initialLatents)
    }

    /// What the picture will say about itself.
    func provenance(weights: Fingerprint, backend: CPUBackend) -> Provenance {
        Provenance(
            request: picture.request, plan: picture.fingerprint, weights: weights,
            computeClass: "\(backend.computeClass)")
    }

    /// The weights that decide the latents and not the picture made of them; nil where pictures on
    /// the way decide the latents, too, so that another autoencoder makes another picture.
    func latentWeights(of model: ModelFolder) throws -> Fingerprint? {
        picture.plan.encodes ? nil : try model.latentFingerprint()
    }

    /// Encodes the prompt. Throws `WeightsError`, also when what comes out is no finite numbers.
    func prepared(with model: ModelFolder, backend: CPUBackend) throws -> PreparedPicture {
        let request = picture.request
        let encoded = try PromptEncoder(model: model, backend: backend)
            .encode(prompt: request.prompt, negativePrompt: request.negativePrompt)
        guard encoded.conditioning.isFinite else {
            throw WeightsError.malformed(
                path: model.path,
                reason: "its text encoders make no finite numbers of the prompt; "
                    + "`tessera doctor` looks for damaged weights")
        }
        return PreparedPicture(
            generator: ImageGenerator(
                picture: picture, conditioning: encoded.conditioning,
                openPicture: image?.opening),
            notes: encoded.truncations.map { "\($0)" } + picture.ignoredPrompt)
    }
}

extension PicturePlan {
    /// Says so when the negative prompt has no part in any step.
    var ignoredPrompt: [String] {
        let isUsed = plan.stages.contains {
            ClassifierFreeGuidance(scale: $0.guidanceScale).isActive
        }
        guard !isUsed, request.negativePrompt?.isEmpty == false else { return [] }
        return [
            "the negative prompt has no effect with --guidance-scale \(request.guidanceScale): "
                + "only above 1 it takes part"
        ]
    }
}

/// A picture that only waits for somebody to compute it.
struct PreparedPicture: Sendable {
    let generator: ImageGenerator
    /// What of the prompts has no effect, in sentences.
    let notes: [String]

    /// What every worker has to answer before it may compute: see ``KnownAnswer``. Throws
    /// `WeightsError` when the answers are not finite.
    func knownAnswers(
        of model: ModelFolder, backend: CPUBackend
    ) async throws -> [KnownAnswer] {
        // Nothing is prepared ahead for two small questions.
        let host = ModelHost(
            model: try LoadedModel(
                folder: model, backend: backend, memoryBudget: MemoryBudget(bytes: 0)))
        try await host.prepare(generator.conditioning)
        var answers: [KnownAnswer] = []
        do {
            for item in generator.picture.trialQuestions(seed: .random(in: 0...UInt64.max)) {
                let answer = try await abandonable { [generator] in
                    try await host.compute(
                        item, conditioning: generator.conditioning.fingerprint)
                }
                answers.append(KnownAnswer(item: item, answer: answer))
            }
        } catch ComputeError.notFinite(_, let reason) {
            // No worker would do better; nothing is lost yet.
            throw WeightsError.malformed(
                path: model.path,
                reason: "\(reason), asked a question before anything else; `tessera doctor` finds "
                    + "damaged weights")
        }
        return answers
    }
}
