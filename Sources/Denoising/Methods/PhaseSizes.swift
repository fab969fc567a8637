internal import Sampling

/// The sizes through which methods that begin at native size come to the picture's. All latents
/// have the picture's shape.
extension PlanRequest {
    /// Extents of every phase's latent: from about native area to the picture's, each side growing
    /// by the same factor of at most two from phase to phase.
    var doublingSizes: [Extent] {
        let native = model.nativeSide
        var enlargements = 0
        while native * native << (2 * enlargements) < latent.area { enlargements += 1 }
        guard enlargements > 0 else { return [latent] }
        let growth = Double(latent.area) / Double(native * native)
        let logarithm = Elementary.logarithm(growth) / Double(2 * enlargements)
        return [nativeLatent]
            + (1..<enlargements).map {
                reduced(by: Elementary.exponential(logarithm * Double(enlargements - $0)))
            } + [latent]
    }

    /// Extents of every phase's latent: of once, four, nine … times about native area, as long as
    /// that is less than the picture's, and the picture's.
    var multipleSizes: [Extent] {
        let native = model.nativeSide
        guard latent.area > native * native else { return [latent] }
        let growth = (Double(latent.area) / Double(native * native)).squareRoot()
        let between = (2...).prefix { $0 * $0 * native * native < latent.area }
        return [nativeLatent] + between.map { reduced(by: growth / Double($0)) } + [latent]
    }

    private func reduced(by scale: Double) -> Extent {
        Extent(
            height: max(1, Int((Double(latent.height) / scale).rounded())),
            width: max(1, Int((Double(latent.width) / scale).rounded())))
    }

    /// About native area in the picture's shape, in multiples of what the network takes.
    private var nativeLatent: Extent {
        let multiple = model.sizeMultiple
        func side(_ side: Int, by other: Int) -> Int {
            let length = Double(model.nativeSide) * (Double(side) / Double(other)).squareRoot()
            return max(1, Int((length / Double(multiple)).rounded())) * multiple
        }
        return Extent(
            height: side(latent.height, by: latent.width),
            width: side(latent.width, by: latent.height))
    }
}

extension PlanRequest {
    /// Windows over a latent that may be narrower than a native one, on a canvas whose sides are
    /// multiples of `unit`. Throws when there would be too many.
    func windows(
        over latent: Extent, moving: JitterRule, unit: Int = 1
    ) throws(PlanningError) -> WindowGrid {
        let multiple = model.sizeMultiple
        let window = Extent(
            height: min(model.nativeSide, latent.height.roundedUp(toMultipleOf: multiple)),
            width: min(model.nativeSide, latent.width.roundedUp(toMultipleOf: multiple)))
        let canvas = Extent(
            height: max(latent.height, window.height).roundedUp(toMultipleOf: unit),
            width: max(latent.width, window.width).roundedUp(toMultipleOf: unit))
        let grid = WindowGrid(
            canvas: canvas, window: window,
            stride: min(try checkedStride(), window.height, window.width),
            moving: jitter ?? false ? moving : .none)
        guard grid.count <= PlanLimits.viewsPerStep else {
            throw .tooManyViews(grid.count, limit: PlanLimits.viewsPerStep)
        }
        return grid
    }

    /// Windows of a phase that refines, by the request's crops and guidance.
    func refiningGroup(_ grid: WindowGrid, share: StepWeight = .one) -> ViewGroup {
        ViewGroup(
            geometry: .windows(grid),
            conditioning: windowCrops ?? false ? .cappedCrop : viewConditioning,
            guidanceScale: refinementGuidanceScale ?? guidanceScale, feather: feather,
            share: share)
    }

    /// Extents in pixels of the picture that a latent decodes to.
    func pixels(of latent: Extent) -> Extent {
        Extent(
            height: latent.height * model.scaleFactor, width: latent.width * model.scaleFactor)
    }

    /// The request with every choice filled in, for a method whose first phase is the plain sampler
    /// and whose others have windows; with nothing of those where there are no others. `stride` nil
    /// is half the native window.
    func resolvedForWindows(
        isPlain: Bool, stride: Int? = nil, feather: Feather? = nil
    ) throws(PlanningError) -> PlanRequest {
        var resolved = self
        resolved.sizeConditioning = sizeConditioning ?? .native
        resolved.stride = try checkedStride(default: stride)
        resolved.jitter = jitter ?? true
        resolved.windowCrops = windowCrops ?? true
        resolved.refinementGuidanceScale = refinementGuidanceScale ?? guidanceScale
        if self.feather == .uniform, let feather { resolved.feather = feather }
        guard isPlain else { return resolved }
        (resolved.stride, resolved.jitter, resolved.windowCrops) = (nil, nil, nil)
        resolved.refinementGuidanceScale = nil
        resolved.feather = self.feather
        return resolved
    }
}
