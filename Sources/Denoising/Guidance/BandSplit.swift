/// Guidance of another strength for details: a prediction's low band keeps the task's own weight, what
/// is left has one of its own (frequency-aware guidance of FreCaS, arXiv 2410.18410, section 3.3;
/// guidance in bands of HiWave, arXiv 2506.20452). Together:
/// ε = Σ_band [ε_u + w_band·(ε_c − ε_u)].
package struct BandSplit: Hashable, Sendable {
    /// The weight of what is finer than ``low``.
    package let highScale: Double
    /// Extents to which a view's low band is reduced, and enlarged again, by bilinear interpolation
    /// without antialiasing, as published; at most the view's.
    package let low: Extent

    package init(highScale: Double, low: Extent) {
        self.highScale = highScale
        self.low = low
    }

    /// Whether a view of these extents has such a low band.
    package func fits(_ view: Extent) -> Bool {
        low.height <= view.height && low.width <= view.width
    }
}
