/// The operations that the networks are made of. Shapes are the caller's promise: an operation
/// traps on operands that do not fit each other.
///
/// Every operation returns a new tensor, and an item's answer never depends on the items beside
/// it nor on how many threads compute. Operations may be called from any thread; they run one at
/// a time and block the calling thread until done.
package protocol ComputeBackend: AnyObject, Sendable {
    /// Two machines of the same class compute the same bytes.
    var computeClass: ComputeClass { get }

    /// Moves on with every operation.
    var progress: ProgressCounter { get }

    // MARK: Weights

    /// Makes a linear layer from torch's layout: `weight` (outputs, inputs), `bias` (outputs).
    func linearWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        preparation: Preparation,
        name: String
    ) -> LinearWeights

    /// Makes a convolution from torch's layout: `weight` (outputs, inputs, height, width), `bias`
    /// (outputs). Small or unusual ones are prepared whatever is wished.
    func convolutionWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        stride: Int,
        preparation: Preparation,
        name: String
    ) -> ConvolutionWeights

    // MARK: Products

    /// activation(x·Wᵀ + bias + residual): x (items, …, inputs) to (items, …, outputs);
    /// `residual` has the result's shape.
    func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor?,
        activation: Activation
    ) -> DeviceTensor

    /// Convolution with zero padding, plus bias, plus `itemBias` (items, outputs), plus
    /// `residual` of the result's shape: x (items, h, w, inputs) to (items, h′, w′, outputs).
    func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        padding: Padding,
        itemBias: DeviceTensor?,
        residual: DeviceTensor?
    ) -> DeviceTensor

    /// softmax(q·kᵀ/√size)·v per head: queries (items, …, heads·size), keys and values
    /// (key items, …, heads·size). The key items divide the items; each serves that many
    /// consecutive items. With `causal`, position i sees keys 0…i only.
    func attention(
        queries: DeviceTensor,
        keys: DeviceTensor,
        values: DeviceTensor,
        heads: Int,
        causal: Bool
    ) -> DeviceTensor

    /// geglu(x·Wᵀ + bias), without a residual: x (items, …, inputs) to (items, …, outputs/2).
    func linearGEGLU(_ x: DeviceTensor, _ weights: LinearWeights) -> DeviceTensor

    // MARK: Normalisation

    /// Normalises each item over its positions and each of `groups` groups of channels, applies
    /// scale and shift, then SiLU where asked (Wu & He 2018, arXiv 1803.08494).
    func groupNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        groups: Int,
        epsilon: Double,
        silu: Bool
    ) -> DeviceTensor

    /// Normalises every row of channels, applies scale and shift (Ba et al. 2016, arXiv
    /// 1607.06450).
    func layerNorm(_ x: DeviceTensor, _ weights: NormWeights, epsilon: Double) -> DeviceTensor

    // MARK: Element by element

    /// The function of every element; the shape stays.
    func activation(_ x: DeviceTensor, _ activation: Activation) -> DeviceTensor

    /// a + b, of one shape.
    func add(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor

    /// x[…, :c]·gelu(x[…, c:]): (…, 2c) to (…, c) (Shazeer 2020, arXiv 2002.05202).
    func geglu(_ x: DeviceTensor) -> DeviceTensor

    // MARK: Rearrangement

    /// The channels of `a` followed by those of `b`, all other extents equal.
    func concatenateChannels(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor

    /// Nearest neighbour: (items, h, w, c) to (items, height, width, c).
    func upsampleNearest(_ x: DeviceTensor, height: Int, width: Int) -> DeviceTensor

    /// (items, c, h, w) to (items, h, w, c).
    func channelsLast(_ x: DeviceTensor) -> DeviceTensor

    /// (items, h, w, c) to (items, c, h, w).
    func channelsFirst(_ x: DeviceTensor) -> DeviceTensor

    /// Chosen rows of a table: (rows, width) to (1, indices, width). Indices are in range.
    func gatherRows(_ table: DeviceTensor, _ indices: [Int]) -> DeviceTensor

    /// clamp(x/2 + 0.5)·255 rounded, halves to even: pixels in [−1, 1] to 8 bits. Nil when one of
    /// them is an infinity or no number.
    func bytes(_ x: DeviceTensor) -> [UInt8]?

    // MARK: Plans

    /// Records a network for this backend; nil for backends that only compute at once.
    func recorder() -> PlanRecorder?
}

extension ComputeBackend {
    /// A layer that comes from no file, prepared ahead: `weight` (outputs, inputs).
    package func linearWeights(_ weight: DeviceTensor, bias: DeviceTensor?) -> LinearWeights {
        linearWeights(StoredTensor(weight), bias: bias, preparation: .ahead, name: "")
    }

    /// A layer that comes from no file, prepared ahead: `weight` (outputs, inputs, height, width).
    package func convolutionWeights(
        _ weight: DeviceTensor,
        bias: DeviceTensor?,
        stride: Int = 1
    ) -> ConvolutionWeights {
        convolutionWeights(
            StoredTensor(weight), bias: bias, stride: stride, preparation: .ahead, name: "")
    }

    package func linearGEGLU(_ x: DeviceTensor, _ weights: LinearWeights) -> DeviceTensor {
        geglu(linear(x, weights))
    }

    package func recorder() -> PlanRecorder? { nil }

    /// x·Wᵀ + bias + residual.
    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor? = nil
    ) -> DeviceTensor {
        linear(x, weights, residual: residual, activation: .none)
    }

    /// activation(x·Wᵀ + bias).
    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        activation: Activation
    ) -> DeviceTensor {
        linear(x, weights, residual: nil, activation: activation)
    }

    /// Convolution plus bias and residual.
    package func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        padding: Padding,
        residual: DeviceTensor? = nil
    ) -> DeviceTensor {
        convolution(
            x, weights, padding: padding, itemBias: nil, residual: residual)
    }
}
