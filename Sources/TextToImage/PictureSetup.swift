internal import Denoising
package import DiffusionModels
internal import Tensors

/// A request worked out for a model: everything that can be wrong with it is found here.
package struct PictureSetup: Sendable {
    package let model: ModelFolder
    package let picture: PicturePlan
    /// Of unit variance, for the first phase.
    let noise: Latent
    /// The picture that it starts from.
    let image: PictureFile?

    /// Throws what is wrong with the request, or with the noise of `inputs`.
    package init(
        request: GenerationRequest, inputs: PictureInputs, model: ModelFolder
    ) throws {
        self.model = model
        image = inputs.image
        picture = try PicturePlan(request: request, model: model)
        noise = try picture.initialNoise(from: inputs.initialLatents)
    }

    /// The first phase whose canvas is made of a picture; nil when none is.
    var autoencoderPhase: Int? {
        picture.plan.phases.indices.first(where: picture.plan.encodes(inPhase:))
    }
}

extension PicturePlan {
    /// Says so when the prompt or the negative prompt has no part in any step.
    package var ignoredPrompt: [String] {
        let isCovered = !plan.groups.contains { $0.prompt == 0 }
        return (isCovered ? [Self.coveredNote] : []) + ignoredNegativePrompt
    }

    private static let coveredNote =
        "the prompt has no effect: regions with texts of their own cover the picture"

    private var ignoredNegativePrompt: [String] {
        let isUsed = plan.groups.contains(where: \.isGuided)
        guard !isUsed, request.negativePrompt?.isEmpty == false else { return [] }
        return [
            "the negative prompt has no effect with --guidance-scale \(request.guidanceScale): "
                + "only above 1 it takes part"
        ]
    }
}
