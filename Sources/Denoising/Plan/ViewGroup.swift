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
        case ring(RingGrid)

        /// What each view may see of the canvas, in parts; nil for what is no fixed windows.
        var reaches: [[Rectangle]]? {
            switch self {
            case .windows(let grid): grid.reaches.map { [$0] }
            case .ring(let grid): grid.reaches
            case .lattices, .shifted: nil
            }
        }
    }

    package let geometry: Geometry
    package let source: ViewSource
    package let conditioning: ConditioningRule
    /// Classifier-free guidance weight.
    package let guidanceScale: Double
    /// Guidance of another strength for what is finer than a band; nil for one strength.
    package let bandSplit: BandSplit?
    /// How the positions of a window count; lattices meet nowhere.
    package let feather: Feather
    /// What it counts beside the other groups; those of a stage add up to 1 in every step, or are 1
    /// each and masked.
    package let share: StepWeight
    /// Number of the prompt that its views are asked with: 0 is the request's, the others are its
    /// regions', counted from 1.
    package let prompt: Int
    /// Where on the canvas it counts; nil is everywhere. Windows that never reach there are not
    /// asked.
    package let mask: RegionMask?
    /// Numbers of the windows that are asked, among the geometry's; nil is all.
    private let asked: [Int]?

    /// Traps when what is masked is no windows.
    package init(
        geometry: Geometry, source: ViewSource = .canvas, conditioning: ConditioningRule,
        guidanceScale: Double, bandSplit: BandSplit? = nil, feather: Feather = .uniform,
        share: StepWeight = .one, prompt: Int = 0, mask: RegionMask? = nil
    ) {
        self.geometry = geometry
        self.source = source
        self.conditioning = conditioning
        self.guidanceScale = guidanceScale
        self.bandSplit = bandSplit
        self.feather = feather
        self.share = share
        self.prompt = prompt
        self.mask = mask
        asked = mask.map { mask in
            guard let reaches = geometry.reaches else {
                preconditionFailure("only windows are masked")
            }
            return reaches.indices.filter { reaches[$0].contains(where: mask.counts) }
        }
    }

    /// Whether its views are evaluated without the prompt, too.
    package var isGuided: Bool { TaskGuidance(scale: guidanceScale, bands: bandSplit).isActive }

    /// Views per step.
    package var viewCount: Int { asked?.count ?? wholeCount }

    private var wholeCount: Int {
        switch geometry {
        case .windows(let grid): grid.count
        case .lattices(let grid, _): grid.count
        case .shifted(let grid): grid.count
        case .ring(let grid): grid.count
        }
    }

    /// Extents of every view, in latents.
    package var viewExtent: Extent {
        switch geometry {
        case .windows(let grid): grid.window
        case .lattices(let grid, _): grid.patch
        case .shifted(let grid): grid.window
        case .ring(let grid): grid.window
        }
    }

    /// The views of one step, in the order in which they are merged.
    func views(seed: UInt64, step: Int) -> [LatentView] {
        let all = allViews(seed: seed, step: step)
        return asked.map { asked in asked.map { all[$0] } } ?? all
    }

    private func allViews(seed: UInt64, step: Int) -> [LatentView] {
        switch geometry {
        case .windows(let grid): grid.windows(seed: seed, step: step).map { .window($0) }
        case .lattices(let grid, _): grid.lattices.map { .lattice($0) }
        case .shifted(let grid): grid.windows(seed: seed, step: step).map { .wrapped($0) }
        case .ring(let grid): grid.windows.map { .wrapped($0) }
        }
    }

    /// The exchange between its lattices in one step; nil without one.
    func interaction(seed: UInt64, step: Int) -> PixelInteraction? {
        guard case .lattices(let grid, let mode) = geometry, mode != .off, grid.count > 1
        else { return nil }
        return PixelInteraction(seed: seed, step: step, mode: mode)
    }
}

// MARK: - Regions

extension ViewGroup {
    /// The same windows for each of several regions of a canvas, and for what is outside of them.
    /// Regions and prompts are numbered alike, the background's being 0; what counts nowhere is left
    /// out, and what counts everywhere needs no mask.
    func split(by regions: [Rectangle], on canvas: Extent) -> [ViewGroup] {
        let masks = RegionMask.all(of: regions, on: canvas)
        return masks.map { mask in
            ViewGroup(
                geometry: geometry, source: source, conditioning: conditioning,
                guidanceScale: guidanceScale, bandSplit: bandSplit, feather: feather, share: share,
                prompt: mask.region.map { $0 + 1 } ?? 0, mask: masks.count > 1 ? mask : nil)
        }
    }

    /// Whether the views of a step are those of the windows that count, of windows that cover the
    /// canvas. Those of a ring see the same in every step: what counts was chosen by that.
    func isSound(_ views: [LatentView], seed: UInt64, step: Int) -> Bool {
        guard let mask, case .windows(let grid) = geometry else { return true }
        let windows = grid.windows(seed: seed, step: step)
        let asked = Set(views)
        return grid.firstMisplaced(of: windows) == nil
            && windows.allSatisfy { asked.contains(.window($0)) || !mask.counts(in: $0.rectangle) }
    }
}

extension Window {
    /// Of the canvas, where it does not hang over.
    fileprivate var rectangle: Rectangle { Rectangle(x: x, y: y, width: width, height: height) }
}
