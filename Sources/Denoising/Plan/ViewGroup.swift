/// What views are told about their size and place (SDXL's micro-conditioning).
package enum ConditioningRule: String, Hashable, Sendable {
    /// (k, k, 0, 0, k, k): every view is a whole picture of native size.
    case native
    /// (H, W, 0, 0, H, W): every view is a whole picture of the requested size.
    case picture
    /// (Hc, Wc, 8y, 8x, k, k): a native crop out of the whole canvas, at its true place. Hc and
    /// Wc are the canvas's pixels: the picture's, but for what padding adds.
    case crop
    /// As ``crop``, but on a canvas larger than four native sides the same place of one that is
    /// four: further away no model was shown crops, and windows draw what they like.
    case cappedCrop = "capped-crop"
    /// (H, W, 8(y+j), 8(x+j), H, W): as published, counted from the corner of the padded canvas.
    case paddedCrop = "padded-crop"
}

/// What the views of a group are cut out of.
package enum ViewSource: Hashable, Sendable {
    /// The canvas.
    case canvas
    /// The canvas convolved with a Gaussian of so many cells a side, mirrored at its edges, and
    /// brought back to the mean and the deviation that it had. The deviation of the Gaussian, in
    /// cells, may change from step to step and is positive.
    case blurred(kernelSize: Int, sigma: StepWeight)
}

/// Views that are merged by themselves in every step of a stage, and then mixed with what the
/// stage's other groups say.
package struct ViewGroup: Hashable, Sendable {
    /// Which views there are.
    package enum Geometry: Hashable, Sendable {
        case windows(WindowGrid)
        case lattices(LatticeGrid, InteractionMode)
        case shifted(ShiftedGrid)
    }

    package let geometry: Geometry
    package let source: ViewSource
    package let conditioning: ConditioningRule
    /// Classifier-free guidance weight.
    package let guidanceScale: Double
    /// How the positions of a window count; lattices meet nowhere.
    package let feather: Feather
    /// What it counts beside the other groups; those of a stage add up to 1 in every step.
    package let share: StepWeight

    package init(
        geometry: Geometry, source: ViewSource = .canvas, conditioning: ConditioningRule,
        guidanceScale: Double, feather: Feather = .uniform, share: StepWeight = .one
    ) {
        self.geometry = geometry
        self.source = source
        self.conditioning = conditioning
        self.guidanceScale = guidanceScale
        self.feather = feather
        self.share = share
    }

    /// Views per step.
    package var viewCount: Int {
        switch geometry {
        case .windows(let grid): grid.count
        case .lattices(let grid, _): grid.count
        case .shifted(let grid): grid.count
        }
    }

    /// Extents of every view, in latents.
    package var viewExtent: Extent {
        switch geometry {
        case .windows(let grid): grid.window
        case .lattices(let grid, _): grid.patch
        case .shifted(let grid): grid.window
        }
    }

    /// The views of one step, in the order in which they are merged.
    func views(seed: UInt64, step: Int) -> [LatentView] {
        switch geometry {
        case .windows(let grid): grid.windows(seed: seed, step: step).map { .window($0) }
        case .lattices(let grid, _): grid.lattices.map { .lattice($0) }
        case .shifted(let grid): grid.windows(seed: seed, step: step).map { .wrapped($0) }
        }
    }

    /// The exchange between its lattices in one step; nil without one.
    func interaction(seed: UInt64, step: Int) -> PixelInteraction? {
        guard case .lattices(let grid, let mode) = geometry, mode != .off, grid.count > 1
        else { return nil }
        return PixelInteraction(seed: seed, step: step, mode: mode)
    }
}
