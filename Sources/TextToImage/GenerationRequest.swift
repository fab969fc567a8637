package import Denoising
package import Sampling

/// Everything that decides a picture besides the model's weights and the compute class, and
/// nothing about machines. Written into the picture, it makes the picture again.
///
/// Nil leaves a choice to the method; see `PlanRequest` for what it then takes.
package struct GenerationRequest: Codable, Equatable, Sendable {
    private var prompts: Prompts
    /// Nil and empty differ: nil uses zeros where the model says so, empty is encoded.
    package var negativePrompt: String?
    /// Picture extents in pixels.
    package var width: Int
    package var height: Int
    package var steps: Int
    /// Classifier-free guidance weight; 1 and less means none.
    package var guidanceScale: Double
    /// The same where windows refine.
    package var refinementGuidanceScale: Double?
    /// φ of guidance rescale (arXiv 2305.08891), 0 … 1; nil is 0.
    package var guidanceRescale: Double?
    package var seed: UInt64
    /// A name out of `DenoisingMethods`.
    package var method: String
    /// A name out of `Schedulers`; nil means the model's own.
    package var scheduler: String?
    package var structureSteps: Int?
    /// Distance of neighbouring windows in latents.
    package var stride: Int?
    package var jitter: Bool?
    package var windowCrops: Bool?
    package var sizeConditioning: SizeConditioning?
    package var interaction: InteractionMode?
    package var feather: Feather?
    /// Whether the picture's left and right side join.
    package var panorama: Bool?
    package var compatibility: Compatibility?
    package var rng: InitialNoise
    /// Digest of the latent file that replaces the drawn noise.
    package var initialLatents: String?
    /// Digest of the picture to start from; nil starts from noise alone.
    package var image: String?
    /// Its extents in pixels.
    package var imageWidth: Int?
    package var imageHeight: Int?
    /// How much of it may change, above 0 and at most 1.
    package var strength: Double?

    enum CodingKeys: String, CodingKey {
        case prompts = "prompt"
        case negativePrompt = "negative_prompt"
        case width
        case height
        case steps
        case guidanceScale = "guidance_scale"
        case refinementGuidanceScale = "refinement_guidance_scale"
        case guidanceRescale = "guidance_rescale"
        case seed
        case method
        case scheduler
        case structureSteps = "structure_steps"
        case stride
        case jitter
        case windowCrops = "window_crops"
        case sizeConditioning = "size_conditioning"
        case interaction
        case feather
        case panorama
        case compatibility = "compat"
        case rng
        case initialLatents = "initial_latents"
        case image
        case imageWidth = "image_width"
        case imageHeight = "image_height"
        case strength
    }

    package init(
        prompt: String,
        width: Int,
        height: Int,
        steps: Int,
        guidanceScale: Double,
        seed: UInt64,
        method: String,
        rng: InitialNoise = .native
    ) {
        prompts = Prompts(prompt: prompt)
        self.width = width
        self.height = height
        self.steps = steps
        self.guidanceScale = guidanceScale
        self.seed = seed
        self.method = method
        self.rng = rng
    }

    /// What the picture shows, outside of its regions.
    package var prompt: String {
        get { prompts.prompt }
        set { prompts.prompt = newValue }
    }

    /// Parts of the picture that show something of their own.
    package var regions: [PromptRegion] {
        get { prompts.regions }
        set { prompts.regions = newValue }
    }

    /// Asks for the picture that this file holds; nil starts from noise alone.
    package mutating func start(from file: PictureFile?) {
        image = file?.digest
        imageWidth = file?.extent.width
        imageHeight = file?.extent.height
    }

    /// The extents of the picture to start from; nil without one, or with one that has none.
    package var imageExtent: Extent? {
        guard let imageWidth, let imageHeight, imageWidth > 0, imageHeight > 0 else { return nil }
        return Extent(height: imageHeight, width: imageWidth)
    }
}
