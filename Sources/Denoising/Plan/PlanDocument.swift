internal import Sampling
internal import Tensors

/// A plan for other programs: what `tessera plan --format json` prints.
///
/// One object: `request`, `latent` (height, width, channels), `noise` (the extents of the noise
/// that it starts from), `method`, `fingerprint`, `view_count` and `phases`. Each phase works on a
/// canvas, of its latent's extents or, where lattices or the network need multiples, a little
/// larger to the right and downwards: there it begins again from the opposite side, (y mod height,
/// x mod width), and what the phase leaves is its top left corner. A phase has `name`, `latent`,
/// `canvas`, `entry` and `steps`.
///
/// `entry` makes the latent out of what the phase before left, operation by operation, by its
/// `kind`. A first phase without any starts from the noise times `initial_noise_sigma`; one that
/// begins with `picture` is made of that, the one of `request.image`'s digest.
/// - `picture`: that of `height` and `width` in pixels, from 0 to 1;
/// - `pad_picture`: its last column and row are repeated up to `height` and `width` in pixels;
/// - `decode`: in tiles of `tile` cells, `rows` and `columns` where they begin; each fades in over
///   its left and upper neighbours along a linear ramp; clamped to 0 ... 1;
/// - `resize_picture`: to `height` and `width` in pixels, corners not aligned, clamped; `filter` is
///   `bicubic` (a = −0.75), `antialiased-bilinear` or `nearest` (⌊i · old / new⌋);
/// - `sharpen_picture`: x ← x + `factor` · (x − G), clamped to 0 ... 1, G being the picture convolved
///   with a Gaussian of 3 pixels and deviation 1, mirrored at the edges;
/// - `encode`: likewise in tiles; the autoencoder's mean times its scaling factor;
/// - `boost`: x ← L + `factor` · (x − L), L being x reduced to `low` (bilinear with antialiasing)
///   and enlarged again (bilinear);
/// - `resample`: to `height` and `width` in latents, by the same filter;
/// - `keep`: x, continued to the canvas once it has the phase's extents, reduced to `low` likewise, is
///   kept as `name`;
/// - `keep_band`: of x, continued to the canvas, half the sum of every 2×2 block is kept as `name`
///   (the low band of a Haar wavelet; last rows and columns of odd sides count twice);
/// - `take_low`: x ← x + (K − x) reduced to `low` and enlarged again likewise, K being what was kept
///   as `name`, enlarged to x (bicubic); it is not kept any longer;
/// - `renoise`: noise is added up to the `sigma` of the first step: to x·√ᾱ + √(1−ᾱ)·noise, or to
///   x + sigma·noise under euler; the noise is drawn with `purpose`, `step` and the number of
///   channel and row together, or, without them, that which the run starts from.
///
/// `exit`, where a phase has it, is what happens to the canvas behind its last step:
/// `restore_moments`: x is shifted and scaled so that mean and deviation over all channels and the
/// phase's `latent` are those of what was kept as `name`.
///
/// A step that arrives above its own noise level inverts: it is taken as the others are, upwards.
/// Each step has `index`, `timestep`, `sigma`, `next_sigma`, `alpha_cumprod`,
/// `next_alpha_cumprod`, `guidance_scale`, `before`, `after`, `view_count` and, expanded, `views`.
/// `before` changes the canvas at the step's start: `mix_anchor`: x ← x + `weight` · (N − x), N
/// being what was kept as `name`, enlarged to the phase's `latent` (bicubic), under noise as
/// `renoise` adds it, up to `sigma`, and padded as the canvas is.
/// `after` changes the clean x̂₀ that the prediction means, before the sampler's step:
/// `hold_low`: x̂₀ ← x̂₀ + `weight` (1 where it has none) · (what was kept as `name` − x̂₀ reduced to
/// its extents), the difference enlarged (bilinear).
///
/// `swap_band`: the mean of every 2×2 block becomes half of what was kept as `name`.
///
/// `inject_noise` changes the noise ε that the prediction means: to sin((1−s)θ)/sin θ · ε +
/// sin(sθ)/sin θ · n, s being `factor`, n drawn with `purpose`, `step` and the number of channel and
/// row together for the phase's `latent` and padded as the canvas is, and θ the angle between ε in
/// the `latent` and n.
///
/// The prediction for the canvas is the weighted mean of the views'. A step of several groups of
/// views, or of views of something else than the canvas, has `groups`, and its views say which they
/// belong to (`group`, from 0): each group's weighted mean counts by its `share`, and its views are
/// cut out of its `source`, the `canvas` or, `blurred`, the canvas convolved with a Gaussian of
/// `kernel_size` cells and deviation `sigma`, cut off and normalised, mirrored at the edges (which
/// are not repeated), then shifted and scaled to the canvas's mean and deviation.
/// `guidance_scale` and `band_split` of such a step are the first group's.
///
/// Guidance with a `band_split` is ε_u + `guidance_scale` · L + `high_scale` · (D − L) for each view, D
/// being ε_c − ε_u and L that reduced to the extents `low` and enlarged again (both bilinear, without
/// antialiasing).
///
/// Where regions of the picture have prompts of their own, a step has a group for each, which says
/// its `prompt` (from 1, in `request.regions`' order, in pixels; 0 is the request's) and `region`,
/// the only part of the canvas where it counts, in latents; the group with `elsewhere` counts where
/// no region is. Where regions overlap, each counts alike: the shares of a position's groups are 1
/// over their number. A single group has neither.
///
/// A view is
/// - `kind: "window"` with `y`, `x`, `height`, `width`: a rectangle of the canvas; one that `wraps`
///   goes on behind the canvas's last row and column with its first;
/// - `kind: "lattice"` with `row`, `column`, `stride` (and `column_stride` where the axes differ):
///   its element (i, j) is canvas element (i·stride + row, j·column_stride + column). With an
///   interaction it has `permutation`: for each of its positions, row-major (and for each channel
///   first, under a per-channel interaction), the number row·column_stride + column of the phase
///   that the element is read from *instead*, and that the prediction is written back to;
///
/// and has `weight`, `feather` unless uniform (with `row_weights` and `column_weights`, whose
/// product times `weight` is the weight of a position), `time_ids` and `task`. All numbers are
/// latents but `request.width`, `request.height`, `time_ids` and those of `picture`,
/// `pad_picture` and `resize_picture`, which are pixels. An infinite `sigma` (zero terminal SNR) is the string "Infinity", as JSON has no
/// number for it.
package struct PlanDocument: Encodable {
    package let plan: DenoisingPlan
    /// Whether every view is written out.
    package let isExpanded: Bool

    package init(_ plan: DenoisingPlan, expanded: Bool) {
        self.plan = plan
        self.isExpanded = expanded
    }

    /// A key made of any text.
    struct Key: CodingKey, ExpressibleByStringLiteral {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringLiteral value: String) { stringValue = value }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    package func encode(to encoder: any Encoder) throws {
        var document = encoder.container(keyedBy: Key.self)
        try document.encode(plan.method, forKey: "method")
        try document.encode(plan.fingerprint.description, forKey: "fingerprint")
        try document.encode(plan.forwardCount, forKey: "view_count")
        var latent = document.nestedContainer(keyedBy: Key.self, forKey: "latent")
        try latent.encode(plan.latent.height, forKey: "height")
        try latent.encode(plan.latent.width, forKey: "width")
        try latent.encode(plan.request.model.channels, forKey: "channels")
        try document.encode(plan.noise, forKey: "noise")
        try encodeRequest(document.superEncoder(forKey: "request"))
        var phases = document.nestedUnkeyedContainer(forKey: "phases")
        for number in plan.phases.indices { try encode(phase: number, to: phases.superEncoder()) }
    }

    private func encode(phase number: Int, to encoder: any Encoder) throws {
        let phase = plan.phases[number]
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(phase.name, forKey: "name")
        try fields.encode(phase.latent, forKey: "latent")
        try fields.encode(phase.canvas, forKey: "canvas")
        var entry = fields.nestedUnkeyedContainer(forKey: "entry")
        for operation in phase.entry {
            for record in plan.records(of: operation, inPhase: number) { try entry.encode(record) }
        }
        if !phase.exit.isEmpty {
            try fields.encode(
                phase.exit.flatMap { plan.records(of: $0, inPhase: number) }, forKey: "exit")
        }
        var steps = fields.nestedUnkeyedContainer(forKey: "steps")
        for index in plan.steps(ofPhase: number) {
            try encode(plan.step(at: index), to: steps.superEncoder())
        }
    }

    private func encodeRequest(_ encoder: any Encoder) throws {
        let (request, schedule) = (plan.request, plan.phases[0].schedule)
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(plan.method, forKey: "method")
        try fields.encode(request.width, forKey: "width")
        try fields.encode(request.height, forKey: "height")
        try fields.encode(request.steps, forKey: "steps")
        try fields.encode(request.seed, forKey: "seed")
        try fields.encode(schedule.name, forKey: "scheduler")
        try fields.encode(schedule.predictionType, forKey: "prediction_type")
        try fields.encode(schedule.initialNoiseSigma, forKey: "initial_noise_sigma")
        try fields.encode(request.guidanceScale, forKey: "guidance_scale")
        try fields.encodeIfPresent(
            request.refinementGuidanceScale, forKey: "refinement_guidance_scale")
        try fields.encode(request.guidanceRescale, forKey: "guidance_rescale")
        try fields.encodeIfPresent(request.structureSteps, forKey: "structure_steps")
        try fields.encodeIfPresent(request.stride, forKey: "stride")
        try fields.encodeIfPresent(request.jitter, forKey: "jitter")
        try fields.encodeIfPresent(request.windowCrops, forKey: "window_crops")
        try fields.encodeIfPresent(request.sizeConditioning, forKey: "size_conditioning")
        try fields.encodeIfPresent(request.interaction, forKey: "interaction")
        try fields.encode(request.feather ?? .uniform, forKey: "feather")
        if let image = request.image {
            var record = fields.nestedContainer(keyedBy: Key.self, forKey: "image")
            try record.encode(image.digest, forKey: "digest")
            try record.encode(image.extent.height, forKey: "height")
            try record.encode(image.extent.width, forKey: "width")
            try record.encodeIfPresent(image.strength, forKey: "strength")
        }
        if !request.regions.isEmpty { try fields.encode(request.regions, forKey: "regions") }
        if request.panorama { try fields.encode(true, forKey: "panorama") }
        try fields.encodeIfPresent(request.compatibility, forKey: "compat")
        try fields.encode(request.viewsPerTask, forKey: "views_per_task")
        try fields.encode(request.model.nativeSide, forKey: "native_window")
        try fields.encode(request.model.scaleFactor, forKey: "scale_factor")
    }

    private func encode(_ step: StepPlan, to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(step.number, forKey: "index")
        try fields.encode(step.timestep.value, forKey: "timestep")
        try encodeLevel(step.timestep.sigma, prefix: "", in: &fields)
        try encodeLevel(step.arrival, prefix: "next_", in: &fields)
        try fields.encode(step.groups[0].guidanceScale, forKey: "guidance_scale")
        try fields.encodeIfPresent(
            step.groups[0].bandSplit.map(BandSplitRecord.init), forKey: "band_split")
        try fields.encode(step.views.count, forKey: "view_count")
        let before = step.before.flatMap { plan.records(of: $0, inPhase: step.phase, step: step) }
        try fields.encode(before, forKey: "before")
        try fields.encode(
            step.after.map { OperationRecord($0, at: step.place, step: step.number) },
            forKey: "after")
        if !step.isPlain {
            try fields.encode(step.groups.map(GroupRecord.init), forKey: "groups")
        }
        guard isExpanded else { return }
        var views = fields.nestedUnkeyedContainer(forKey: "views")
        let canvas = plan.phases[step.phase].canvas
        for (number, group) in step.groups.enumerated() {
            let table = plan.interactionTable(at: step.number, group: number)
            for view in group.views {
                var fields = views.nestedContainer(keyedBy: Key.self)
                try encode(view, on: canvas, table: table, to: &fields)
                if !step.isPlain { try fields.encode(number, forKey: "group") }
            }
        }
    }

    private func encodeLevel(
        _ sigma: Double, prefix: String, in fields: inout KeyedEncodingContainer<Key>
    ) throws {
        let (name, alpha) = (Key(stringLiteral: prefix + "sigma"), prefix + "alpha_cumprod")
        try fields.encode(PrintedSigma(sigma), forKey: name)
        try fields.encode(1 / (1 + sigma * sigma), forKey: Key(stringLiteral: alpha))
    }

    private func encode(
        _ planned: PlannedView, on canvas: Extent, table: InteractionTable?,
        to fields: inout KeyedEncodingContainer<Key>
    ) throws {
        switch planned.view {
        case .window(let window), .wrapped(let window):
            try fields.encode("window", forKey: "kind")
            try fields.encode(window.y, forKey: "y")
            try fields.encode(window.x, forKey: "x")
            try fields.encode(window.height, forKey: "height")
            try fields.encode(window.width, forKey: "width")
            if case .wrapped = planned.view { try fields.encode(true, forKey: "wraps") }
        case .lattice(let lattice):
            try fields.encode("lattice", forKey: "kind")
            try fields.encode(lattice.row, forKey: "row")
            try fields.encode(lattice.column, forKey: "column")
            try fields.encode(lattice.rowStride, forKey: "stride")
            if lattice.columnStride != lattice.rowStride {
                try fields.encode(lattice.columnStride, forKey: "column_stride")
            }
            if let table {
                try fields.encode(
                    Array(table.sources(ofPatch: lattice.patch)), forKey: "permutation")
            }
        }
        try fields.encode(planned.weight, forKey: "weight")
        if planned.feather != .uniform {
            let extent = planned.view.extent(on: canvas)
            try fields.encode(planned.feather, forKey: "feather")
            try fields.encode(planned.feather.profile(extent.height), forKey: "row_weights")
            try fields.encode(planned.feather.profile(extent.width), forKey: "column_weights")
        }
        try fields.encode(planned.microConditioning.timeIDs, forKey: "time_ids")
        try fields.encode(planned.task, forKey: "task")
    }
}

extension StepPlan {
    /// Whether it has one group, of the canvas: what documents and fingerprints need no groups for.
    var isPlain: Bool {
        groups.count == 1 && groups[0].source == .canvas && groups[0].prompt == 0
    }
}

/// A group of views in a ``PlanDocument``.
private struct GroupRecord: Encodable {
    /// `canvas` or `blurred`.
    var source = "canvas"
    var kernelSize: Int?
    var sigma: Double?
    let share: Double
    let guidanceScale: Double
    let bandSplit: BandSplitRecord?
    let viewCount: Int
    var prompt: Int?
    var region: Rectangle?
    var elsewhere: Bool?

    enum CodingKeys: String, CodingKey {
        case source
        case kernelSize = "kernel_size"
        case sigma
        case share
        case guidanceScale = "guidance_scale"
        case bandSplit = "band_split"
        case viewCount = "view_count"
        case prompt, region, elsewhere
    }

    init(_ group: GroupPlan) {
        (share, guidanceScale) = (group.share, group.guidanceScale)
        bandSplit = group.bandSplit.map(BandSplitRecord.init)
        viewCount = group.views.count
        if case .blurred(let kernelSize, let sigma) = group.source {
            source = "blurred"
            (self.kernelSize, self.sigma) = (kernelSize, sigma)
        }
        if group.prompt > 0 { prompt = group.prompt }
        guard let mask = group.mask else { return }
        if let number = mask.region { region = mask.regions[number] } else { elsewhere = true }
    }
}

/// Guidance in two bands in a ``PlanDocument``.
private struct BandSplitRecord: Encodable {
    let highScale: Double
    let low: Extent

    enum CodingKeys: String, CodingKey {
        case highScale = "high_scale"
        case low
    }

    init(_ bands: BandSplit) { (highScale, low) = (bands.highScale, bands.low) }
}
