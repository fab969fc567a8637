internal import Sampling

/// Upscale and refine: a picture of about native size, then phase by phase twice the side. Each
/// phase decodes what there is, enlarges the picture, encodes it, adds a little noise and takes it
/// away again in native windows ("SDEdit", Meng et al. 2021, arXiv 2108.01073, in a cascade).
///
/// What keeps the scene together: the low half-band of every prediction is held to the enlarged
/// picture's (the structure guidance of ScaleDiff, with constant weight and a wider band), and
/// windows are told their place in a picture of at most four native sides. At native size this is
/// the plain sampler.
///
/// Where the request brings a picture, the first phase is made of that instead of noise: at about
/// native size, or, where the picture has that already, at its first enlargement.
package struct UpscaleMethod: DenoisingMethod {
    package let name = "upscale"
    package let summary = "a native picture, enlarged and refined in turn: one scene at any size"
    package let options: [MethodOption] = [.image] + MethodOption.ofRefiningWindows + [.regions]

    /// Contrast of what the enlarged latent has above half its resolution: enlarging loses some. More,
    /// be it in the last phase alone, makes glints that are taken for suns.
    private static let boost = 1.2

    package init() {}

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try request.check(for: self)
        let sizes = Self.sizes(for: request)
        let isPlain = sizes.count == 1 && (request.image == nil || request.isWhole(sizes[0]))
        var resolved = try request.resolvedForWindows(
            isPlain: isPlain, stride: max(1, request.model.nativeSide * 3 / 4), feather: .cosine,
            refinementGuidanceScale: request.guidanceOfDetails)
        resolved.image?.strength = try Self.strength(of: request.image)
        func refining(to size: Extent) -> PlanRequest {
            guard !isPlain else { return resolved }
            var own = resolved
            own.refinementGuidanceScale =
                request.refinementGuidanceScale ?? Self.refinementGuidance(to: size, for: request)
            return own
        }
        var phases: [PlanPhase]
        if let image = resolved.image {
            phases = [try start(from: image, at: sizes[0], for: refining(to: sizes[0]))]
        } else {
            phases = [try resolved.wholePhase(named: "base", of: sizes[0])]
        }
        for (number, size) in sizes.enumerated().dropFirst() {
            phases.append(try enlargement(number, to: size, for: refining(to: size)))
        }
        return DenoisingPlan(method: name, request: resolved, phases: phases)
    }

    /// The guidance of a refinement where none is asked for: that of details up to four native sides,
    /// less of it to eight, none beyond. What is fine there has been drawn by the phases before, and
    /// more would break suns to shards.
    private static func refinementGuidance(to latent: Extent, for request: PlanRequest) -> Double {
        let native = request.model.nativeSide * request.model.nativeSide
        let (base, details) = (request.guidanceScale, request.guidanceOfDetails)
        return latent.area <= 16 * native
            ? details : latent.area <= 64 * native ? (base + 2 * details) / 3 : base
    }

    /// A phase that goes on from what the one before it leaves.
    private func enlargement(
        _ number: Int, to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        try refinement(
            named: "enlargement \(number)", of: latent,
            madeBy: .redraw(picture: request.pixels(of: latent)), isEnlarged: true, isWhole: false,
            schedule: try Self.schedule(to: latent, for: request),
            for: request)
    }

    /// A latent of which some is noise, refined, in one view when `isWhole`. What is larger than
    /// two of its cells is held where windows do not see the whole, and where the picture
    /// `isEnlarged` from fewer pixels.
    private func refinement(
        named name: String, of latent: Extent, madeBy source: CanvasOperation, isEnlarged: Bool,
        isWhole: Bool, schedule: PhaseSchedule, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let grid =
            isWhole
            ? request.wholeGrid(of: latent)
            : try request.windows(over: latent, moving: .together)
        let isHeld = isEnlarged || !isWhole
        var entry = [source]
        if isEnlarged { entry.append(.boost(factor: Self.boost, low: latent.halved)) }
        if isHeld { entry.append(.keep("low", low: grid.canvas.halved)) }
        let group =
            isWhole
            ? ViewGroup(
                geometry: .windows(grid), conditioning: request.viewConditioning,
                guidanceScale: request.refinementGuidanceScale ?? request.guidanceScale)
            : request.refiningGroup(grid)
        let stage = PlanStage(
            name: "refinement", steps: 0..<schedule.count,
            groups: request.split(group, on: grid.canvas, within: latent),
            after: isHeld ? [.holdLow("low")] : [])
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas, entry: entry + [.renoise],
            schedule: schedule, stages: [stage])
    }

    /// Extents of every phase's latent: from about native area to the picture's, or from the picture
    /// to start from. All of its have the shape; where it has native area its own size is none of
    /// them.
    private static func sizes(for request: PlanRequest) -> [Extent] {
        guard let cells = request.imageCells else { return request.doublingSizes }
        let native = Double(request.model.nativeSide * request.model.nativeSide)
        let (start, area) = (max(native, cells), Double(request.latent.area))
        var enlargements = 0
        while start * Double(1 << (2 * enlargements)) < area { enlargements += 1 }
        guard enlargements > 0 else { return [request.latent] }
        let logarithm = Elementary.logarithm(area / start) / Double(2 * enlargements)
        return ((cells >= native ? 1 : 0)..<enlargements).map { number in
            request.reduced(by: Elementary.exponential(logarithm * Double(enlargements - number)))
        } + [request.latent]
    }

    /// The last steps of a schedule: about a quarter of those from noise to picture, over the
    /// lower part of the noise: the larger the picture, the less of it may still change, and never
    /// more than of the picture that it is made of.
    private static func schedule(
        to latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PhaseSchedule {
        let native = request.model.nativeSide * request.model.nativeSide
        let usual =
            latent.area <= 64 * native ? 0.4 : latent.area <= 256 * native ? 0.28 : 0.2
        let strength = min(usual, request.image?.strength ?? usual)
        let count = max(1, Int((Double(request.steps) * 0.24).rounded()))
        let length = min(
            Int((Double(count) / strength).rounded()), max(count, request.sampler.trainTimesteps))
        return try request.sampler.schedule(length: length, last: count)
    }
}

// MARK: - From a picture

extension UpscaleMethod {
    /// How much of a picture changes unless somebody says otherwise: less leaves more of it and more
    /// contrast than detail, more costs likeness, and no window's border shows.
    package static let usualStrength = 0.2

    private static func strength(of image: StartImage?) throws(PlanningError) -> Double {
        let strength = image?.strength ?? usualStrength
        guard strength > 0, strength <= 1 else {
            throw .invalidNumber("strength", value: strength, expected: "above 0 and at most 1")
        }
        return strength
    }

    /// The first phase of a plan that starts from a picture.
    private func start(
        from image: StartImage, at latent: Extent, for request: PlanRequest
    ) throws(PlanningError) -> PlanPhase {
        let strength = try Self.strength(of: image)
        let count = max(1, Int((Double(request.steps) * strength).rounded()))
        let size = request.imagePixels(of: latent)
        return try refinement(
            named: "picture", of: latent, madeBy: .encode(source: image.extent, size: size),
            isEnlarged: size.area > image.extent.area, isWhole: request.isWhole(latent),
            schedule: try request.sampler.schedule(length: request.steps, last: count),
            for: request)
    }
}

extension PlanRequest {
    /// The area that the picture to start from has in cells of the latent that is asked for.
    fileprivate var imageCells: Double? {
        image.map { Double(latent.area) * Double($0.extent.area) / Double(height * width) }
    }

    /// Whether a latent is of native area, but for what rounds its sides: the network sees it as a
    /// whole.
    fileprivate func isWhole(_ latent: Extent) -> Bool {
        let native = model.nativeSide * model.nativeSide
        return latent.area <= native + (latent.height + latent.width) / 2
    }

    /// The pixels of a latent that are the picture's: all but those that fill its last cells, to
    /// whatever size it is reduced.
    fileprivate func imagePixels(of latent: Extent) -> Extent {
        func side(_ pixels: Int, _ cells: Int, of whole: Int) -> Int {
            let side = Double(pixels) * Double(cells) / Double(whole)
            return min(max(1, Int(side.rounded())), cells * model.scaleFactor)
        }
        return Extent(
            height: side(height, latent.height, of: self.latent.height),
            width: side(width, latent.width, of: self.latent.width))
    }
}

extension Extent {
    /// Half of it, rounded down.
    fileprivate var halved: Extent { Extent(height: max(1, height / 2), width: max(1, width / 2)) }
}
