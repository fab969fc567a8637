package import ImageFilters

/// What happens to the whole canvas between phases and at the start of steps: a pure function of
/// the state, as a value.
package enum CanvasOperation: Hashable, Sendable {
    /// The picture that the plan starts from, of `source` pixels, is brought to `size` pixels and
    /// encoded to the phase's latent: see ``PictureEncoding``.
    case encode(source: Extent, size: Extent)
    /// The latent is decoded, the picture enlarged to so many pixels and encoded to the phase's
    /// latent: see ``Redrawing``. In a phase's entry alone, on what the phase before left. Before it
    /// is encoded the picture may be sharpened by an amount: see ``BandSharpener``.
    case redraw(picture: Extent, filter: ResamplingFilter = .bicubic, sharpening: Double = 0)
    /// The latent itself is brought to other extents by bicubic interpolation. In a phase's entry.
    case resample(to: Extent)
    /// x ← L + factor · (x − L), where L is what is left of x when it is reduced to `low` and
    /// enlarged again: more of what is finer than `low`. In a phase's entry.
    case boost(factor: Double, low: Extent)
    /// Keeps the latent under a name, reduced to `low`; once it has the phase's extents, as the canvas
    /// continues it. In a phase's entry.
    case keep(String, low: Extent)
    /// Keeps the low band of the canvas under a name: see ``HaarBands``. Its extents are half of the
    /// canvas's, rounded up. In a phase's entry.
    case keepBand(String, Extent)
    /// x ← x + L(K) − L(x), where K is what was kept under the name, enlarged by bicubic
    /// interpolation to x, and L what is left when something is reduced to `low` and enlarged
    /// again. What was kept is used up. In a phase's entry.
    case takeLow(of: String, low: Extent)
    /// Noise is added up to the level of the phase's first step: in the first phase the noise that
    /// the run starts from, in each other one noise that is drawn for it. In a phase's entry.
    case renoise
    /// x ← (1 − w)·x + w·N, where N is what was kept under the name, enlarged by bicubic
    /// interpolation to the phase's latent and under the noise that ``renoise`` draws, at the
    /// step's level (DemoFusion's skip residual, arXiv 2311.16973). At the start of a
    /// step. The noise is drawn anew each time, not kept.
    case mixAnchor(String, weight: StepWeight)
    /// Brings mean and deviation, over all channels and the phase's latent, to those of what was
    /// kept under the name. In a phase's exit.
    case restoreMoments(of: String)

    /// What it uses of what is kept while the phase's steps are taken.
    var used: String? {
        switch self {
        case .mixAnchor(let name, _), .restoreMoments(let name): name
        case .encode, .redraw, .resample, .boost, .keep, .keepBand, .takeLow, .renoise: nil
        }
    }
}

/// What happens to a step's prediction before the scheduler takes it: to the clean canvas x̂₀ that
/// it means, or to the noise.
package enum PredictionOperation: Hashable, Sendable {
    /// x̂₀ ← x̂₀ + w·(K − L), where K is what was kept under the name, enlarged to the canvas, and L
    /// what is left of x̂₀ when it is reduced to the extents of what was kept and enlarged again:
    /// at a weight of 1 nothing larger than a cell of K may change.
    case holdLow(String, weight: StepWeight = .one)
    /// The low band of x̂₀ gives way to what was kept under the name (DiffuseHigh's guidance by
    /// structure, arXiv 2406.18459, in the latent): see ``HaarBands``.
    case swapBand(String)
    /// The noise that x̂₀ leaves of the canvas is turned towards one that is drawn for the step:
    /// of the angle between the two it goes `share` of the way, 0 … 1, along the great circle
    /// (PixelRush's noise injection, arXiv 2602.12769, whose λ is 1 − `share`).
    case injectNoise(share: Double)

    /// What it uses of what is kept.
    var used: String? {
        switch self {
        case .holdLow(let name, _), .swapBand(let name): name
        case .injectNoise: nil
        }
    }
}
