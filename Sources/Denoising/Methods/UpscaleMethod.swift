internal import Sampling

/// Upscale and refine: a picture of about native size, then phase by phase twice the side. Each
/// phase decodes what there is, enlarges the picture, encodes it, adds a little noise and takes it
/// away again in native windows ("SDEdit", Meng et al. 2021, arXiv 2108.01073, in a cascade).
///
/// What keeps the scene together: the low half-band of every prediction is held to the enlarged
/// picture's (the structure guidance of ScaleDiff, with constant weight and a wider band), and
/// windows are told their place in a picture of at most four native sides. At native size this is
/// the plain sampler.
package struct UpscaleMethod: DenoisingMethod {
    package let name = "upscale"
    package let summary = "a native picture, enlarged and refined in turn: one scene at any size"

    /// Contrast of what the enlarged latent has above half its resolution: enlarging loses some.
    private static let boost = 1.2

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.checkCommon()
        try request.refuse(
            [
                ("a number of structure steps", request.structureSteps != nil),
                ("pixel interaction", request.interaction != nil),
                ("compatibility with published code", request.compatibility != nil),
            ], method: name)
        let sizes = Self.sizes(for: request)
        var resolved = request
        resolved.refinementGuidanceScale = request.refinementGuidanceScale ?? request.guidanceScale
        resolved.sizeConditioning = request.sizeConditioning ?? .native
        resolved.stride = try request.checkedStride(
            default: max(1, request.model.nativeSide * 3 / 4))
        resolved.jitter = request.jitter ?? true
        resolved.windowCrops = request.windowCrops ?? true
        resolved.feather = request.feather == .uniform ? .cosine : request.feather
        if sizes.count == 1 {
            (resolved.stride, resolved.jitter, resolved.windowCrops) = (nil, nil, nil)
            resolved.refinementGuidanceScale = nil
            resolved.feather = request.feather
        }
        var phases = [try resolved.wholePhase(named: "base", of: sizes[0])]
        for (number, size) in sizes.enumerated().dropFirst() {
            phases.append(try refinement(number, to: size, for: resolved))
        }
        return DenoisingPlan(method: name, request: resolved, phases: phases)
    }

    private func refinement(
        _ number: Int, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let model = request.model
        let multiple = model.sizeMultiple
        let window = Extent(
            height: min(model.nativeSide, latent.height.roundedUp(toMultipleOf: multiple)),
            width: min(model.nativeSide, latent.width.roundedUp(toMultipleOf: multiple)))
        let canvas = Extent(
            height: max(latent.height, window.height), width: max(latent.width, window.width))
        let grid = WindowGrid(
            canvas: canvas, window: window,
            stride: min(request.stride ?? model.nativeSide, window.height, window.width),
            moving: request.jitter ?? false ? .together : .none)
        guard grid.count <= PlanLimits.viewsPerStep else {
            throw .tooManyViews(grid.count, limit: PlanLimits.viewsPerStep)
        }
        let schedule = try Self.schedule(to: latent, for: request)
        let low = Extent(height: max(1, latent.height / 2), width: max(1, latent.width / 2))
        let stage = PlanStage(
            name: "refinement", steps: 0..<schedule.count, geometry: .windows(grid),
            conditioning: request.windowCrops ?? false ? .cappedCrop : request.viewConditioning,
            guidanceScale: request.refinementGuidanceScale ?? request.guidanceScale,
            feather: request.feather, after: [.holdLow("low")])
        return PlanPhase(
            name: "enlargement \(number)", latent: latent, canvas: canvas,
            entry: [
                .redraw(
                    picture: Extent(
                        height: latent.height * model.scaleFactor,
                        width: latent.width * model.scaleFactor)),
                .boost(factor: Self.boost, low: low),
                .keep("low", low: low),
                .renoise,
            ],
            schedule: schedule, stages: [stage])
    }

    /// Extents of every phase's latent: from about native area to the picture's, each side growing
    /// by the same factor of at most two from phase to phase.
    static func sizes(for request: PlanRequest) -> [Extent] {
        let (latent, native) = (request.latent, request.model.nativeSide)
        var enlargements = 0
        while native * native << (2 * enlargements) < latent.area { enlargements += 1 }
        guard enlargements > 0 else { return [latent] }
        let growth = Double(latent.area) / Double(native * native)
        let logarithm = Elementary.logarithm(growth) / Double(2 * enlargements)
        return (0...enlargements).map { number in
            if number == enlargements { return latent }
            if number == 0 { return nativeSize(like: latent, model: request.model) }
            let scale = Elementary.exponential(logarithm * Double(enlargements - number))
            return Extent(
                height: max(1, Int((Double(latent.height) / scale).rounded())),
                width: max(1, Int((Double(latent.width) / scale).rounded())))
        }
    }

    /// About native area in the shape of a latent, in multiples of what the network takes.
    private static func nativeSize(like latent: Extent, model: ModelGeometry) -> Extent {
        let multiple = model.sizeMultiple
        func side(_ side: Int, by other: Int) -> Int {
            let length = Double(model.nativeSide) * (Double(side) / Double(other)).squareRoot()
            return max(1, Int((length / Double(multiple)).rounded())) * multiple
        }
        return Extent(
            height: side(latent.height, by: latent.width),
            width: side(latent.width, by: latent.height))
    }

    /// The last steps of a schedule: about a quarter of those from noise to picture, over the
    /// lower part of the noise: the larger the picture, the less of it may still change.
    private static func schedule(
        to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PhaseSchedule {
        let native = request.model.nativeSide * request.model.nativeSide
        let strength =
            latent.area <= 64 * native ? 0.4 : latent.area <= 256 * native ? 0.28 : 0.2
        let count = max(1, Int((Double(request.steps) * 0.24).rounded()))
        let limit = request.sampler.configuration.trainTimesteps ?? 1000
        let length = min(Int((Double(count) / strength).rounded()), max(count, limit))
        return try request.sampler.schedule(length: length, last: count)
    }
}
