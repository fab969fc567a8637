/// The ways to bring an image to another size. Pixels are areas: the corners of the first image
/// lie on those of the second, as in `torch.nn.functional.interpolate` with `align_corners=False`.
package enum ResamplingFilter: String, Hashable, Sendable, CaseIterable {
    /// Keys' cubic convolution with a = −0.75 over four input elements, whatever the sizes:
    /// `mode="bicubic"`. Making smaller, it skips elements. Overshoots by up to about a fifth of
    /// an edge.
    case bicubic
    /// A triangle, as wide as two output elements where the output is smaller: `mode="bilinear",
    /// antialias=True`.
    case antialiasedBilinear = "antialiased-bilinear"
    /// Linear between two input elements a side, whatever the sizes: `mode="bilinear"`. Making smaller
    /// by more than two, it skips elements.
    case bilinear
    /// One input element each: `mode="nearest"`.
    case nearest

    /// The weights of one axis.
    func axis(from inputs: Int, to outputs: Int) -> AxisFilter {
        precondition(outputs > 0, "an image has a positive extent")
        return switch self {
        case .bicubic: .bicubic(from: inputs, to: outputs)
        case .antialiasedBilinear: .antialiasedBilinear(from: inputs, to: outputs)
        case .bilinear: .bilinear(from: inputs, to: outputs)
        case .nearest: .nearest(from: inputs, to: outputs)
        }
    }
}
