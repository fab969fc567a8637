internal import Sampling
internal import Tensors

/// A plan for other programs: what `tessera plan --format json` prints.
///
/// The state is a canvas, of the latent's extents or, where lattices or the network need multiples,
/// a little larger to the right and downwards: its initial noise at (y, x) is the latent's at
/// (y mod height, x mod width), and the finished latent is its top left corner.
///
/// One object: `request`, `latent` (height, width, channels), `canvas` (height, width), `method`,
/// `fingerprint` and `steps`, each with `index`, `timestep`, `sigma`, `next_sigma`,
/// `alpha_cumprod`, `next_alpha_cumprod`, `guidance_scale`, `view_count` and, expanded, `views`.
/// A view is
/// - `kind: "window"` with `y`, `x`, `height`, `width`: a rectangle of the canvas;
/// - `kind: "lattice"` with `row`, `column`, `stride` (and `column_stride` where the axes differ):
///   its element (i, j) is canvas element (i·stride + row, j·column_stride + column). With an
///   interaction it has `permutation`: for each of its positions, row-major (and for each channel
///   first, under a per-channel interaction), the number row·column_stride + column of the phase
///   that the element is read from *instead*, and that the prediction is written back to;
///
/// and has `weight`, `feather` unless uniform (with `row_weights` and `column_weights`, whose
/// product times `weight` is the weight of a position), `time_ids` and `task`. All numbers are
/// latents but `request.width`, `request.height` and `time_ids`, which are pixels. An infinite
/// `sigma` (zero terminal SNR) is the string "Infinity", as JSON has no number for it.
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
        try document.encode(plan.canvas, forKey: "canvas")
        try encodeRequest(document.superEncoder(forKey: "request"))
        var steps = document.nestedUnkeyedContainer(forKey: "steps")
        for index in 0..<plan.stepCount {
            try encode(plan.step(at: index), to: steps.superEncoder())
        }
    }

    private func encodeRequest(_ encoder: any Encoder) throws {
        let request = plan.request
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(plan.method, forKey: "method")
        try fields.encode(request.width, forKey: "width")
        try fields.encode(request.height, forKey: "height")
        try fields.encode(plan.stepCount, forKey: "steps")
        try fields.encode(request.seed, forKey: "seed")
        try fields.encode(request.schedule.scheduler, forKey: "scheduler")
        try fields.encode(request.schedule.predictionType, forKey: "prediction_type")
        try fields.encode(request.schedule.initialNoiseSigma, forKey: "initial_noise_sigma")
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
        try fields.encode(request.feather, forKey: "feather")
        try fields.encodeIfPresent(request.compatibility, forKey: "compat")
        try fields.encode(request.viewsPerTask, forKey: "views_per_task")
        try fields.encode(request.model.nativeSide, forKey: "native_window")
        try fields.encode(request.model.scaleFactor, forKey: "scale_factor")
    }

    private func encode(_ step: StepPlan, to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(step.index.value, forKey: "index")
        try fields.encode(step.timestep.value, forKey: "timestep")
        try encodeLevel(step.timestep.sigma, prefix: "", in: &fields)
        try encodeLevel(step.arrival, prefix: "next_", in: &fields)
        try fields.encode(step.guidanceScale, forKey: "guidance_scale")
        try fields.encode(step.views.count, forKey: "view_count")
        guard isExpanded else { return }
        let table = plan.interactionTable(at: step.index.value)
        var views = fields.nestedUnkeyedContainer(forKey: "views")
        for view in step.views {
            try encode(view, table: table, to: views.superEncoder())
        }
    }

    private func encodeLevel(
        _ sigma: Double, prefix: String, in fields: inout KeyedEncodingContainer<Key>
    ) throws {
        let (name, alpha) = (Key(stringLiteral: prefix + "sigma"), prefix + "alpha_cumprod")
        if sigma.isFinite {
            try fields.encode(sigma, forKey: name)
        } else {
            try fields.encode("Infinity", forKey: name)
        }
        try fields.encode(1 / (1 + sigma * sigma), forKey: Key(stringLiteral: alpha))
    }

    private func encode(
        _ planned: PlannedView, table: InteractionTable?, to encoder: any Encoder
    ) throws {
        var fields = encoder.container(keyedBy: Key.self)
        switch planned.view {
        case .window(let window):
            try fields.encode("window", forKey: "kind")
            try fields.encode(window.y, forKey: "y")
            try fields.encode(window.x, forKey: "x")
            try fields.encode(window.height, forKey: "height")
            try fields.encode(window.width, forKey: "width")
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
            let extent = planned.view.extent(on: plan.canvas)
            try fields.encode(planned.feather, forKey: "feather")
            try fields.encode(planned.feather.profile(extent.height), forKey: "row_weights")
            try fields.encode(planned.feather.profile(extent.width), forKey: "column_weights")
        }
        try fields.encode(planned.microConditioning.timeIDs, forKey: "time_ids")
        try fields.encode(planned.task, forKey: "task")
    }
}
