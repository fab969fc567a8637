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
        let geometry = try Self.geometry(of: model)
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
            structureSteps: request.structureSteps,
            stride: request.stride,
            jitter: request.jitter,
            windowCrops: request.windowCrops,
            sizeConditioning: request.sizeConditioning,
            interaction: request.interaction,
            compatibility: request.compatibility,
            viewsPerTask: Self.viewsPerTask(nativeSide: geometry.nativeSide)
        )
        self.request = request
        plan = try method.plan(for: planRequest)
        try plan.validate()
        fingerprint = plan.fingerprint
        tiles = TileGrid(
            latent: plan.latent, tile: geometry.nativeSide, scaleFactor: geometry.scaleFactor)
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

    private static func geometry(of model: ModelFolder) throws(RequestError) -> ModelGeometry {
        let multiple = 1 << (model.unet.blockOutChannels.count - 1)
        let side = model.nativeLatentSide
        guard side % multiple == 0, side >= 2 else {
            throw .oddNativeSide(path: model.path, side: side, multiple: multiple)
        }
        return ModelGeometry(
            nativeSide: side,
            scaleFactor: model.vae.scaleFactor,
            channels: model.vae.latentChannels,
            sizeMultiple: multiple
        )
    }

    /// Views of small models travel in company, so that a task is worth its journey. The number
    /// depends on the model only: never on who computes.
    private static func viewsPerTask(nativeSide: Int) -> Int {
        max(1, min(8, 2048 / (nativeSide * nativeSide)))
    }
}

/// Why a request does not fit the model or the files that came with it.
package enum RequestError: Error, Equatable, CustomStringConvertible {
    /// The file of `--initial-latents` has another shape than the first latent.
    case latentExtents(expected: Shape, found: Shape)
    /// The model's own side cannot pass its own downsamplings.
    case oddNativeSide(path: String, side: Int, multiple: Int)

    package var description: String {
        switch self {
        case .latentExtents(let expected, let found):
            "the initial latents should have the shape \(expected) for this size, model and "
                + "method, found \(found)"
        case .oddNativeSide(let path, let side, let multiple):
            "\(path)/unet/config.json: sample_size should be a multiple of \(multiple) for this "
                + "number of blocks, found \(side)"
        }
    }
}
