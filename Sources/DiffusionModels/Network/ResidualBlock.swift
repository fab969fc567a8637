internal import ComputeBackends
internal import Tensors

/// Two 3×3 convolutions, each after group normalisation and SiLU, around which the input is
/// carried (He et al. 2015, arXiv 1512.03385): diffusers' `ResnetBlock2D`.
struct ResidualBlock: Sendable {
    private let norm1: NormWeights
    private let convolution1: ConvolutionWeights
    private let timeProjection: LinearWeights?
    private let norm2: NormWeights
    private let convolution2: ConvolutionWeights
    private let shortcut: LinearWeights?
    private let groups: Int
    private let epsilon: Double

    /// `embedding` is the width of the timestep embedding, 0 for blocks without one.
    init(
        _ loader: LayerLoader,
        _ name: String,
        _ layout: ResidualLayout,
        embedding: Int,
        groups: Int,
        epsilon: Double
    ) throws(WeightsError) {
        let (input, output) = (layout.input, layout.output)
        norm1 = try loader.norm("\(name).norm1", input)
        convolution1 = try loader.convolution("\(name).conv1", input, output, size: 3)
        timeProjection =
            embedding > 0 ? try loader.linear("\(name).time_emb_proj", embedding, output) : nil
        norm2 = try loader.norm("\(name).norm2", output)
        convolution2 = try loader.convolution("\(name).conv2", output, output, size: 3)
        shortcut =
            input == output ? nil : try loader.pointwise("\(name).conv_shortcut", input, output)
        self.groups = groups
        self.epsilon = epsilon
    }

    /// (items, h, w, input) to (items, h, w, output); `embedding` (items, 1, width) is SiLU'd.
    func apply(
        _ x: DeviceTensor,
        embedding: DeviceTensor? = nil,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        var bias: DeviceTensor?
        if let timeProjection, let embedding {
            bias = backend.linear(embedding, timeProjection)
                .reshaped(to: Shape(x.items, timeProjection.outputs))
        }
        // First, because nobody wants a wide input any more after it and the normalisation.
        let carried = shortcut.map { backend.linear(x, $0) } ?? x
        var hidden = backend.groupNorm(x, norm1, groups: groups, epsilon: epsilon, silu: true)
        hidden = backend.convolution(
            hidden, convolution1, padding: Padding(1), itemBias: bias, residual: nil)
        hidden = backend.groupNorm(
            hidden, norm2, groups: groups, epsilon: epsilon, silu: true)
        return backend.convolution(
            hidden, convolution2, padding: Padding(1), residual: carried)
    }
}

/// A 3×3 convolution with stride 2: diffusers' `Downsample2D`.
struct Downsampler: Sendable {
    private let convolution: ConvolutionWeights

    init(_ loader: LayerLoader, _ name: String, channels: Int) throws(WeightsError) {
        convolution = try loader.convolution(
            "\(name).conv", channels, channels, size: 3, stride: 2)
    }

    /// (items, h, w, c) to (items, ⌈h/2⌉, ⌈w/2⌉, c), with the usual padding.
    func apply(
        _ x: DeviceTensor,
        padding: Padding = Padding(1),
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        backend.convolution(x, convolution, padding: padding)
    }
}

/// Nearest neighbours, then a 3×3 convolution: diffusers' `Upsample2D`.
struct Upsampler: Sendable {
    private let convolution: ConvolutionWeights

    init(_ loader: LayerLoader, _ name: String, channels: Int) throws(WeightsError) {
        convolution = try loader.convolution("\(name).conv", channels, channels, size: 3)
    }

    /// (items, h, w, c) to (items, height, width, c).
    func apply(
        _ x: DeviceTensor,
        height: Int,
        width: Int,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let larger = backend.upsampleNearest(x, height: height, width: width)
        return backend.convolution(larger, convolution, padding: Padding(1))
    }
}
