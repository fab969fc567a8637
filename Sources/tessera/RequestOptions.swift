import ArgumentParser
import Denoising
import DiffusionModels
import Sampling
import Tensors
import TextToImage

/// The flags that decide the picture: the same for `generate` and `plan`.
struct RequestOptions: ParsableArguments {
    @Option(
        help: """
            What the picture shows. Text beyond the encoder's 77 tokens is cut, and said. "" is \
            the empty text.
            """
    )
    var prompt: String?

    @Option(
        name: .customLong("region"),
        help: ArgumentHelp(
            """
            A part of the picture that shows something else than --prompt does, in pixels from the \
            top left corner. Can be given up to \(PlanLimits.regions) times; where regions overlap \
            they are mixed. Windows that lie in several parts are evaluated for each of them.
            """,
            valueName: "x,y,w,h:text"
        ),
        transform: { text throws in try PromptRegion(text) }
    )
    var regions: [PromptRegion] = []

    @Option(
        help: """
            What the picture should not show. Left out, models that say so use zeros instead of \
            an encoded empty text; "" encodes the empty text.
            """
    )
    var negativePrompt: String?

    @Option(
        help: ArgumentHelp(
            """
            Pixels as WxH, or Nx for N times the sides of what it starts from: of a square of the \
            model's native side, or of --image, whose shape it has either way.
            """,
            valueName: "size"
        ),
        transform: PictureSize.argument
    )
    var size: PictureSize = .times(2)

    @Option(
        help: ArgumentHelp(
            """
            Start from this picture, a PNG, instead of noise alone: enlarge it (--size 4x), or \
            refine it at its size (--size 1x). The prompt says what it shows. One that is smaller \
            than the model's native side is enlarged to that first.
            """,
            valueName: "file"
        )
    )
    var image: String?

    @Option(
        help: ArgumentHelp(
            """
            How much of --image may change: above 0, where nearly all of it stays, to 1, where \
            what is coarse is kept at most. It is the part of the steps that is done again, and \
            costs as much. \(UpscaleMethod.usualStrength) if left out.
            """,
            valueName: "0...1"
        )
    )
    var strength: Double?

    @Option(help: "Denoising steps.")
    var steps = 25

    @Option(help: "Classifier-free guidance; 1 and less turns it off and halves the work.")
    var guidanceScale = 3.0

    @Option(
        help: """
            Classifier-free guidance where native windows refine; frecas: of details alone. \
            (default: --guidance-scale; frecas, and upscale up to four native sides: 2⅓ times that, \
            upscale up to eight: 1.9 times; rectifiedhr: 6 or 10 times)
            """
    )
    var refinementGuidanceScale: Double?

    @Option(
        help: """
            How far a guided prediction is brought back to the deviation of the unguided one, 0 to \
            1: against colours that are burnt out. (default: 0)
            """
    )
    var guidanceRescale: Double?

    @Option(
        help: ArgumentHelp(
            """
            Same seed, same request, same picture. random, or -1, draws one and says which; with \
            --state-dir it is drawn once for the picture that is kept there. (default: 0)
            """,
            valueName: "number|random"),
        transform: { text throws in try SeedOption(text) }
    )
    var seed: SeedOption = .number(0)

    @Option(
        help: """
            How a model makes pictures larger than it was trained on. The first holds one scene \
            together at any size, for few evaluations: \
            \(DenoisingMethods.all.map(\.name).formatted()).
            """
    )
    var method = DenoisingMethods.recommended

    @Option(
        help: """
            The sampler: \(Schedulers.all.map(\.name).formatted()). The model's own if left out.
            """
    )
    var scheduler: String?

    @Option(
        help: """
            Steps of CutDiffusion's stage one, on interleaved patches; the rest run on windows. \
            0 is MultiDiffusion. 30 % of the steps if left out.
            """
    )
    var structureSteps: Int?

    @Option(
        help: """
            Latent pixels between neighbouring windows, up to the native side; if left out three \
            quarters of it for upscale, half of it otherwise. Smaller is smoother and slower.
            """
    )
    var stride: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Shift the windows at random in every step. (default: off for multidiffusion)"
    )
    var jitter: Bool?

    @Flag(
        inversion: .prefixedNo,
        help: """
            Tell each window where in the picture it lies, as SDXL's crop conditioning has it. \
            (default: off for multidiffusion)
            """
    )
    var windowCrops: Bool?

    @Option(
        help: """
            What views without a place of their own are told about their size: \
            \(SizeConditioning.allCases.map(\.rawValue).formatted()), as a whole picture of the \
            native or of the requested size. The latter is what diffusers tells SDXL. (default: \
            native)
            """
    )
    var sizeConditioning: SizeConditioning?

    @Option(
        help: """
            How the positions of a window count where windows overlap: \
            \(Feather.allCases.map(\.rawValue).formatted()). (default: uniform; \
            upscale: cosine, pixelrush: gaussian)
            """
    )
    var feather: Feather?

    @Flag(
        help: """
            Make the picture's left and right side join: windows and tiles go all the way round.
            """
    )
    var panorama = false

    @Option(
        help: """
            Pixel interaction, in CutDiffusion's stage one and AccDiffusion's lattices: \
            \(InteractionMode.allCases.map(\.rawValue).formatted()).
            """
    )
    var interaction: InteractionMode?

    @Option(
        help: """
            Reproduce a published code, its known oddities included: cutdiffusion (zero padding, \
            crops in padded coordinates, permutation per channel).
            """
    )
    var compat: Compatibility?

    @Option(
        help: """
            Where the initial noise comes from: \
            \(InitialNoise.allCases.map(\.rawValue).formatted()). The torch ones equal \
            torch.Generator(device).manual_seed(seed).
            """
    )
    var rng: InitialNoise = .native

    @Option(
        help: ArgumentHelp(
            """
            Unit-variance noise to start from (with --image, to add to it): a safetensors file with one float32 tensor \
            "latents" of shape (1, C, h, w), as diffusers' latents= argument takes it.
            """,
            valueName: "file"
        )
    )
    var initialLatents: String?

    @OptionGroup var model: ModelOptions
}

extension RequestOptions {
    /// For the help of commands that take them: every method, and below each the options that not
    /// every one has.
    static let methodsHelp =
        "METHODS\n" + DenoisingMethods.all.map(\.help).joined(separator: "\n")

    /// The request for a model; what was left out becomes the defaults. Throws
    /// ``RequestError/shape(asked:image:)``.
    func request(
        for model: ModelFolder, seed: UInt64, inputs: PictureInputs
    ) throws(RequestError) -> GenerationRequest {
        try request(width: 0, height: 0, seed: seed)
            .resolved(size: size, with: inputs, nativeSide: model.nativeSide)
    }

    /// The request for a picture of given extents, without what files say.
    func request(width: Int, height: Int, seed: UInt64) -> GenerationRequest {
        var request = GenerationRequest(
            prompt: prompt ?? "",
            width: width,
            height: height,
            steps: steps,
            guidanceScale: guidanceScale,
            seed: seed,
            method: method,
            rng: rng
        )
        request.regions = regions
        request.negativePrompt = negativePrompt
        request.scheduler = scheduler
        request.refinementGuidanceScale = refinementGuidanceScale
        request.guidanceRescale = guidanceRescale
        request.structureSteps = structureSteps
        request.stride = stride
        request.jitter = jitter
        request.windowCrops = windowCrops
        request.sizeConditioning = sizeConditioning
        request.interaction = interaction
        request.feather = feather
        request.panorama = panorama ? true : nil
        request.compatibility = compat
        request.strength = strength
        return request
    }

    /// What `--initial-latents` and `--image` name. Where a run goes on with a picture that is kept,
    /// its file need not be there any more.
    func readInputs(kept: GenerationRequest? = nil) throws -> PictureInputs {
        try PictureInputs(initialLatents: initialLatents, image: image, kept: kept)
    }
}

extension PictureSize: CustomStringConvertible {
    /// The value of `--size`. Throws what was expected instead.
    static func argument(_ text: String) throws -> PictureSize {
        guard let size = PictureSize(text) else {
            throw ValidationError(
                "expected pixels, such as 4096x2048, or a number above 0 of native sides, or of the "
                    + "sides of --image, such as 4x")
        }
        return size
    }

    package var description: String {
        switch self {
        case .pixels(let width, let height): "\(width)x\(height)"
        case .times(let factor): factor == factor.rounded() ? "\(Int(factor))x" : "\(factor)x"
        }
    }
}

extension MethodOption {
    /// The option of the command line.
    fileprivate var flag: String {
        switch self {
        case .image: "--image"
        case .stride: "--stride"
        case .jitter: "--jitter"
        case .windowCrops: "--window-crops"
        case .refinementGuidance: "--refinement-guidance-scale"
        case .structureSteps: "--structure-steps"
        case .interaction: "--interaction"
        case .compatibility: "--compat"
        case .regions: "--region"
        case .panorama: "--panorama"
        }
    }
}

extension DenoisingMethod {
    /// For help: what it does, and the options that it has and others have not.
    fileprivate var help: String {
        var lines = ["  \(name): \(summary)"]
        for flag in options.map(\.flag) {
            // What is longer is broken anywhere.
            let last = lines[lines.count - 1] + " " + flag
            if lines.count > 1, last.count <= 80 {
                lines[lines.count - 1] = last
            } else {
                lines.append("      " + flag)
            }
        }
        return lines.joined(separator: "\n")
    }
}

extension InteractionMode: ExpressibleByArgument {}

extension Feather: ExpressibleByArgument {}

extension Compatibility: ExpressibleByArgument {}

extension SizeConditioning: ExpressibleByArgument {}

extension InitialNoise: ExpressibleByArgument {}

extension [String] {
    /// `a, b or c`
    func formatted() -> String {
        guard let last, count > 1 else { return first ?? "" }
        return dropLast().joined(separator: ", ") + " or " + last
    }
}
