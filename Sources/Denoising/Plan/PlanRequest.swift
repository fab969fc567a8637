/// What a plan needs to know about the model.
package struct ModelGeometry: Hashable, Sendable {
    /// Side of the picture the model was trained on, in latents: `sample_size` of the UNet.
    package var nativeSide: Int
    /// Pixels per latent.
    package var scaleFactor: Int
    /// Latent channels.
    package var channels: Int
    /// What both sides of a view must be multiples of: 2 to the power of the UNet's downsamplings.
    package var sizeMultiple: Int

    /// Traps unless all are positive and the native side is a multiple of `sizeMultiple`.
    package init(nativeSide: Int, scaleFactor: Int, channels: Int, sizeMultiple: Int) {
        precondition(
            nativeSide > 0 && scaleFactor > 0 && channels > 0 && sizeMultiple > 0,
            "a model's geometry is positive")
        precondition(nativeSide % sizeMultiple == 0, "a native window fits the network")
        self.nativeSide = nativeSide
        self.scaleFactor = scaleFactor
        self.channels = channels
        self.sizeMultiple = sizeMultiple
    }

    /// Native side in pixels.
    package var nativePixels: Int { nativeSide * scaleFactor }
}

/// Published code whose choices are reproduced, known oddities included.
package enum Compatibility: String, Codable, Hashable, Sendable, CaseIterable {
    /// arXiv 2404.15141's code: half the steps in stage one, lattices stretched to the picture's
    /// aspect ratio, an exchange per channel, windows jittered over an edge of zeros, crops in
    /// padded coordinates. (Not its scheduler index, which runs ahead within a step.)
    case cutDiffusion = "cutdiffusion"
}

/// What a view without a place of its own is told about its size.
package enum SizeConditioning: String, Codable, Hashable, Sendable, CaseIterable {
    /// A whole picture of native size: (k, k, 0, 0, k, k) in pixels.
    case native
    /// A whole picture of the requested size: (H, W, 0, 0, H, W).
    case picture
}

/// A picture that a plan starts from, instead of noise alone.
package struct StartImage: Hashable, Sendable {
    /// In pixels.
    package let extent: Extent
    /// Digest of its pixels.
    package let digest: String
    /// How much noise its first phase adds, as a part of the steps from noise to picture: above 0,
    /// where little of it changes, to 1, where nothing but the noise is left. Nil is the method's.
    package var strength: Double?

    package init(extent: Extent, digest: String, strength: Double? = nil) {
        self.extent = extent
        self.digest = digest
        self.strength = strength
    }
}

/// Everything that decides a plan. Nil leaves a choice to the method, whose plan's `request` says
/// what it took; a choice that a method does not have stays nil there.
package struct PlanRequest: Equatable, Sendable {
    /// Picture height in pixels.
    package var height: Int
    /// Picture width in pixels.
    package var width: Int
    package var model: ModelGeometry
    package var sampler: Sampler
    /// Sampling steps from noise to picture, T.
    package var steps: Int
    /// Key of every random number of the plan.
    package var seed: UInt64
    /// Classifier-free guidance weight.
    package var guidanceScale: Double
    /// Guidance weight where native windows refine, of their details alone for FreCaS; nil is
    /// `guidanceScale`, and more for RectifiedHR and FreCaS.
    package var refinementGuidanceScale: Double?
    /// φ of guidance rescale, 0 ... 1.
    package var guidanceRescale: Double
    /// Steps of CutDiffusion's stage one, 0 ... steps; nil is 30 %, rounded (50 % as published).
    package var structureSteps: Int?
    /// Distance of neighbouring windows in latents, 1 ... native side; nil is half of it.
    package var stride: Int?
    /// Shifts windows at random in every step; nil is on for CutDiffusion, off for MultiDiffusion.
    package var jitter: Bool?
    /// Tells windows where in the picture they lie; nil is on for CutDiffusion, off for
    /// MultiDiffusion.
    package var windowCrops: Bool?
    /// What the other views are told; nil is `native` (`picture` as published).
    package var sizeConditioning: SizeConditioning?
    /// CutDiffusion's exchange between patches; nil is `position` (`perChannel` as published).
    package var interaction: InteractionMode?
    /// Weights of a window's positions in the average; nil is `uniform`, `cosine` for upscale.
    package var feather: Feather?
    /// The picture to start from; nil starts from noise alone.
    package var image: StartImage?
    /// Parts of the picture, in pixels, that have prompts of their own, number 1 and on.
    package var regions: [Rectangle]
    /// Whether the picture's left and right side join, as those of a full turn do.
    package var panorama: Bool
    /// Nil is the corrected method.
    package var compatibility: Compatibility?
    /// How many views of a step one task carries; part of the plan, never of the cluster.
    package var viewsPerTask: Int

    package init(
        height: Int,
        width: Int,
        model: ModelGeometry,
        sampler: Sampler,
        steps: Int,
        seed: UInt64,
        guidanceScale: Double,
        refinementGuidanceScale: Double? = nil,
        guidanceRescale: Double = 0,
        structureSteps: Int? = nil,
        stride: Int? = nil,
        jitter: Bool? = nil,
        windowCrops: Bool? = nil,
        sizeConditioning: SizeConditioning? = nil,
        interaction: InteractionMode? = nil,
        feather: Feather? = nil,
        image: StartImage? = nil,
        regions: [Rectangle] = [],
        panorama: Bool = false,
        compatibility: Compatibility? = nil,
        viewsPerTask: Int = 1
    ) {
        self.height = height
        self.width = width
        self.model = model
        self.sampler = sampler
        self.steps = steps
        self.seed = seed
        self.guidanceScale = guidanceScale
        self.refinementGuidanceScale = refinementGuidanceScale
        self.guidanceRescale = guidanceRescale
        self.structureSteps = structureSteps
        self.stride = stride
        self.jitter = jitter
        self.windowCrops = windowCrops
        self.sizeConditioning = sizeConditioning
        self.interaction = interaction
        self.feather = feather
        self.image = image
        self.regions = regions
        self.panorama = panorama
        self.compatibility = compatibility
        self.viewsPerTask = viewsPerTask
    }

    /// The schedule of all its steps. Throws ``PlanningError/unsampled(_:)``.
    package func schedule() throws(PlanningError) -> PhaseSchedule {
        try sampler.schedule(length: steps)
    }

    /// Extents of the picture's latent: pixels over the scale factor, rounded up.
    package var latent: Extent {
        Extent(
            height: (height + model.scaleFactor - 1) / model.scaleFactor,
            width: (width + model.scaleFactor - 1) / model.scaleFactor)
    }

    /// A native window.
    package var window: Extent {
        Extent(height: model.nativeSide, width: model.nativeSide)
    }
}
