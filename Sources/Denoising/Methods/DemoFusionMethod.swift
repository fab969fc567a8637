/// DemoFusion (Du et al. 2024, arXiv 2311.16973): a picture of native size, then of two, three …
/// times the side, each sampled anew from noise. What keeps the scene: the enlarged picture, under
/// as much noise, is mixed in at the start of every step (skip residual), and beside overlapping
/// windows every step has a global path, interleaved lattices of the blurred canvas (dilated
/// sampling). All three fade along a cosine of the timestep.
///
/// Unlike the published code: windows stay inside the canvas and are told their true place;
/// canvases begin again from the opposite side where lattices need multiples, instead of in zeros,
/// and are blurred with their edges mirrored; noise is drawn anew instead of kept for all steps;
/// every view of a step is scaled for that step; any size is taken, from native area in the
/// picture's shape.
package struct DemoFusionMethod: DenoisingMethod {
    package let name: String
    package let summary: String
    package var options: [MethodOption] {
        MethodOption.ofRefiningWindows + (interaction == .off ? [] : [.interaction])
    }

    /// Exponents of c₁ (skip residual), c₂ (global path) and c₃ (blur): the paper's.
    private static let powers = (residual: 3.0, global: 1.0, blur: 1.0)
    /// Standard deviation of the blur at pure noise, in cells; a hundredth of it at the end.
    private static let sigma = 0.8

    private let hasGlobalPath: Bool
    /// What the lattices of the global path exchange.
    private let interaction: InteractionMode

    package init() { self.init(hasGlobalPath: true) }

    /// Without the global path (c₂ = 0): windows alone.
    init(hasGlobalPath: Bool) {
        self.init(
            name: "demofusion",
            summary: "native, then twice, three times … the side, each from the one before",
            hasGlobalPath: hasGlobalPath, interaction: .off)
    }

    /// A method that changes what lattices exchange.
    init(
        name: String, summary: String, hasGlobalPath: Bool = true, interaction: InteractionMode
    ) {
        self.name = name
        self.summary = summary
        self.hasGlobalPath = hasGlobalPath
        self.interaction = interaction
    }

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        let sizes = request.sidewiseSizes
        var resolved = try request.resolvedForWindows(isPlain: sizes.count == 1)
        resolved.interaction =
            interaction == .off || sizes.count == 1 ? nil : request.interaction ?? interaction
        return try resolved.cascade(of: name, through: sizes) {
            name, before, size throws(PlanningError) in
            try enlargement(name, of: before, to: size, for: resolved)
        }
    }

    private func enlargement(
        _ name: String, of previous: Extent, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let longer = max(latent.height, latent.width)
        let scale = LatticeGrid.isotropicScale(
            latent: Extent(height: longer, width: longer), window: request.model.nativeSide)
        let grid = try request.windows(
            over: latent, moving: .each, unit: request.model.sizeMultiple * scale)
        let schedule = try request.schedule()
        let stage = PlanStage(
            name: "denoising", steps: 0..<schedule.count,
            before: [
                .mixAnchor(
                    "previous", weight: .cosine(from: 1, to: 0, power: Self.powers.residual))
            ],
            groups: hasGlobalPath
                ? groups(grid, scale: scale, for: request) : [request.refiningGroup(grid)])
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas,
            entry: [.keep("previous", low: previous), .resample(to: latent), .renoise],
            exit: [.restoreMoments(of: "previous")], schedule: schedule, stages: [stage])
    }

    /// The global path and the windows, whose shares are c₂ and 1 − c₂.
    private func groups(
        _ grid: WindowGrid, scale: Int, for request: PlanRequest
    ) -> [ViewGroup] {
        let lattices = LatticeGrid(
            canvas: grid.canvas, rowStride: scale, columnStride: scale)
        let sigma = StepWeight.cosine(
            from: Self.sigma, to: Self.sigma / 100, power: Self.powers.blur)
        return [
            ViewGroup(
                geometry: .lattices(lattices, request.interaction ?? .off),
                source: scale == 1 ? .canvas : .blurred(kernelSize: 2 * scale - 1, sigma: sigma),
                conditioning: request.viewConditioning,
                guidanceScale: request.refinementGuidanceScale ?? request.guidanceScale,
                share: .cosine(from: 1, to: 0, power: Self.powers.global)),
            request.refiningGroup(
                grid, share: .cosine(from: 0, to: 1, power: Self.powers.global)),
        ]
    }
}
