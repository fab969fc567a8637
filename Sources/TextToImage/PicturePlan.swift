package import Denoising
package import DiffusionModels
internal import Sampling
package import Tensors

/// A request worked out for a model: the plan and the tiles.
package struct PicturePlan: Sendable {
    package let request: GenerationRequest
    package let plan: DenoisingPlan
    /// The plan's, which takes a walk over every view of every step: taken once.
    package let fingerprint: Fingerprint
    /// How the finished latent is decoded.
    package let tiles: TileGrid

    /// Throws `SamplingError`, `PlanningError` and ``RequestError`` for what cannot be done.
    package init(request: GenerationRequest, model: ModelFolder) throws {
        let geometry = try ModelGeometry(of: model)
        let entry = try Schedulers.entry(
            named: request.scheduler, configuration: model.scheduler)
        guard request.steps > 0 else { throw PlanningError.noSteps(request.steps) }
        let method = try DenoisingMethods.method(named: request.method)
        let planRequest = PlanRequest(
            height: request.height,
            width: request.width,
            model: geometry,
            sampler: Sampler(name: entry.name, configuration: model.scheduler),
            steps: request.steps,
            seed: request.seed,
            guidanceScale: request.guidanceScale,
            refinementGuidanceScale: request.refinementGuidanceScale,
            guidanceRescale: request.guidanceRescale ?? 0,
            structureSteps: request.structureSteps,
            stride: request.stride,
            jitter: request.jitter,
            windowCrops: request.windowCrops,
            sizeConditioning: request.sizeConditioning,
            interaction: request.interaction,
            feather: request.feather,
            image: try Self.image(of: request),
            regions: request.regions.map(\.rectangle),
            panorama: request.panorama ?? false,
            compatibility: request.compatibility,
            viewsPerTask: Self.viewsPerTask(nativeSide: geometry.nativeSide)
        )
        self.request = request
        plan = try method.plan(for: planRequest)
        try plan.validate()
        fingerprint = plan.fingerprint
        tiles = TileGrid(
            latent: plan.latent, tile: geometry.nativeSide, scaleFactor: geometry.scaleFactor,
            isRing: plan.request.panorama)
    }

    /// The noise that the request starts from: what the file holds, or what is drawn. Throws
    /// ``RequestError/latentExtents(expected:found:)`` when the file's does not fit.
    package func initialNoise(from file: Latent?) throws(RequestError) -> Latent {
        let (channels, latent) = (plan.request.model.channels, plan.noise)
        guard let file else {
            return request.rng.latent(
                channels: channels, height: latent.height, width: latent.width,
                seed: request.seed)
        }
        let expected = Shape(1, channels, latent.height, latent.width)
        guard file.shape == expected else {
            throw .latentExtents(expected: expected, found: file.shape)
        }
        return file
    }

    private static func image(of request: GenerationRequest) throws(RequestError) -> StartImage? {
        guard let digest = request.image else {
            guard request.strength == nil else { throw .strengthWithoutImage }
            return nil
        }
        guard let extent = request.imageExtent else { throw .imageWithoutExtents }
        return StartImage(extent: extent, digest: digest, strength: request.strength)
    }

    /// Views of small models travel in company, so that a task is worth its journey. The number
    /// depends on the model only: never on who computes.
    private static func viewsPerTask(nativeSide: Int) -> Int {
        max(1, min(8, 2048 / (nativeSide * nativeSide)))
    }
}

extension ModelGeometry {
    /// Throws ``RequestError/oddNativeSide(path:side:multiple:)``.
    init(of model: ModelFolder) throws(RequestError) {
        let multiple = 1 << (model.unet.blockOutChannels.count - 1)
        let side = model.nativeLatentSide
        guard side % multiple == 0, side >= 2 else {
            throw .oddNativeSide(path: model.path, side: side, multiple: multiple)
        }
        self.init(
            nativeSide: side, scaleFactor: model.vae.scaleFactor,
            channels: model.vae.latentChannels, sizeMultiple: multiple)
    }
}

/// Why a request does not fit the model or the files that came with it.
package enum RequestError: Error, Equatable, CustomStringConvertible {
    /// The file of `--initial-latents` has another shape than the first latent.
    case latentExtents(expected: Shape, found: Shape)
    /// A strength, and no picture that it could be of.
    case strengthWithoutImage
    /// The size of the picture to start from was not said.
    case imageWithoutExtents
    /// The picture that is asked for has another shape than the one to start from.
    case shape(asked: Extent, image: Extent)
    /// What should say a region and what it shows does not.
    case region(String)
    /// The model's own side cannot pass its own downsamplings.
    case oddNativeSide(path: String, side: Int, multiple: Int)

    package var description: String {
        switch self {
        case .latentExtents(let expected, let found):
            "the initial latents should have the shape \(expected) for this size, model and "
                + "method, found \(found)"
        case .strengthWithoutImage:
            "--strength says how much of --image may change, and there is no --image; name the "
                + "picture to start from, or leave --strength out"
        case .imageWithoutExtents:
            "the request names a picture to start from and not its width and height; say them"
        case .shape(let asked, let image):
            "--size \(asked.width)x\(asked.height) is of another shape than --image, which has "
                + "\(image) pixels; ask for "
                + Self.sizes(like: image, near: asked).joined(separator: " or ")
                + ", or for 2x, twice its sides"
        case .region(let text):
            "a region is x,y,width,height:text, in whole pixels from the top left corner, such as "
                + "\"0,0,512,512:a full moon\", got \"\(text.prefix(80))\""
        case .oddNativeSide(let path, let side, let multiple):
            "\(path)/unet/config.json: sample_size should be a multiple of \(multiple) for this "
                + "number of blocks, found \(side)"
        }
    }

    /// Sizes of a picture's shape with one side of those that were asked for.
    private static func sizes(like image: Extent, near asked: Extent) -> [String] {
        func side(_ side: Int, _ own: Int, of other: Int) -> Int {
            max(1, Int((Double(side) * Double(own) / Double(other)).rounded()))
        }
        let height = side(asked.width, image.height, of: image.width)
        let width = side(asked.height, image.width, of: image.height)
        return ["\(asked.width)x\(height)", "\(width)x\(asked.height)"]
    }
}
