/// What the methods have in common that begin with a picture of native size and refine it in windows,
/// phase by phase.
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

    /// The guidance of what is finer than the picture before, where none is asked for and something keeps
    /// the scene as it is: detail comes of it. None where there is none.
    var guidanceOfDetails: Double { guidanceScale <= 1 ? guidanceScale : guidanceScale * 7 / 3 }

    /// Windows of a phase that refines, by the request's crops and, unless it is given, guidance.
    func refiningGroup(
        _ grid: WindowGrid, share: StepWeight = .one, guidanceScale: Double? = nil,
        bandSplit: BandSplit? = nil
    ) -> ViewGroup {
        ViewGroup(
            geometry: .windows(grid),
            conditioning: windowCrops ?? false ? .cappedCrop : viewConditioning,
            guidanceScale: guidanceScale ?? refinementGuidanceScale ?? self.guidanceScale,
            bandSplit: bandSplit, feather: feather ?? .uniform, share: share)
    }

    /// Likewise, one group for each region of the picture and what is outside of them.
    func refiningGroups(
        _ grid: WindowGrid, within latent: Extent, guidanceScale: Double? = nil,
        bandSplit: BandSplit? = nil
    ) -> [ViewGroup] {
        split(
            refiningGroup(grid, guidanceScale: guidanceScale, bandSplit: bandSplit),
            on: grid.canvas, within: latent)
    }

    /// The plan of a method with no choices of its own but its sizes, its windows' weights and its
    /// enlargements, which are made of what the request is resolved to.
    func cascade(
        by method: some DenoisingMethod, through sizes: KeyPath<PlanRequest, [Extent]>,
        feather: Feather? = nil,
        _ enlargement: (PlanRequest, String, Extent, Extent) throws(PlanningError) -> PlanPhase
    ) throws(PlanningError) -> DenoisingPlan {
        try check(for: method)
        let sizes = self[keyPath: sizes]
        let resolved = try resolvedForWindows(isPlain: sizes.count == 1, feather: feather)
        return try resolved.cascade(of: method.name, through: sizes) {
            name, before, size throws(PlanningError) in
            try enlargement(resolved, name, before, size)
        }
    }

    /// The plain sampler on the first of `sizes`, then an enlargement to each other one, made by its
    /// name, the size before and its own.
    func cascade(
        of method: String, through sizes: [Extent],
        _ enlargement: (String, Extent, Extent) throws(PlanningError) -> PlanPhase
    ) throws(PlanningError) -> DenoisingPlan {
        var phases = [try wholePhase(named: "base", of: sizes[0])]
        for (before, size) in zip(sizes, sizes.dropFirst()) {
            phases.append(try enlargement("enlargement \(phases.count)", before, size))
        }
        return DenoisingPlan(method: method, request: self, phases: phases)
    }

    /// Extents in pixels of the picture that a latent decodes to.
    func pixels(of latent: Extent) -> Extent {
        Extent(
            height: latent.height * model.scaleFactor, width: latent.width * model.scaleFactor)
    }

    /// The request with every choice filled in, for a method whose first phase is the plain sampler
    /// and whose others have windows; with nothing of those where there are no others. `stride` nil
    /// is half the native window, `refinementGuidanceScale` nil the request's guidance.
    func resolvedForWindows(
        isPlain: Bool, stride: Int? = nil, feather: Feather? = nil,
        refinementGuidanceScale: Double? = nil
    ) throws(PlanningError) -> PlanRequest {
        var resolved = self
        resolved.sizeConditioning = sizeConditioning ?? .native
        resolved.stride = try checkedStride(default: stride)
        resolved.jitter = jitter ?? true
        resolved.windowCrops = windowCrops ?? true
        resolved.refinementGuidanceScale =
            self.refinementGuidanceScale ?? refinementGuidanceScale ?? guidanceScale
        resolved.feather = self.feather ?? feather
        guard isPlain else { return resolved }
        (resolved.stride, resolved.jitter, resolved.windowCrops) = (nil, nil, nil)
        resolved.refinementGuidanceScale = nil
        resolved.feather = self.feather
        return resolved
    }
}
