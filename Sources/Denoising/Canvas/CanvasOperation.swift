/// What happens to the whole canvas between phases: a pure function of the state, as a value.
package enum CanvasOperation: Hashable, Sendable {
    /// The picture that the plan starts from, of `source` pixels, is brought to `size` pixels and
    /// encoded to the phase's latent: see ``PictureEncoding``.
    case encode(source: Extent, size: Extent)
    /// The latent is decoded, the picture enlarged to so many pixels by bicubic interpolation and
    /// encoded to the phase's latent: see ``Redrawing``.
    case redraw(picture: Extent)
    /// x ← L + factor · (x − L), where L is what is left of x when it is reduced to `low` and
    /// enlarged again: more of what is finer than `low`.
    case boost(factor: Double, low: Extent)
    /// Keeps the canvas under a name, reduced to `low`.
    case keep(String, low: Extent)
    /// Noise is added up to the level of the phase's first step: in the first phase the noise that
    /// the run starts from, in each other one noise that is drawn for it.
    case renoise
}

/// What happens to the predicted clean canvas x̂₀ in a step, before the scheduler takes it.
package enum PredictionOperation: Hashable, Sendable {
    /// x̂₀ ← x̂₀ + K − L, where K is what was kept under the name, enlarged to the canvas, and L
    /// what is left of x̂₀ when it is reduced to the extents of what was kept and enlarged again:
    /// nothing larger than a cell of K may change.
    case holdLow(String)
}
