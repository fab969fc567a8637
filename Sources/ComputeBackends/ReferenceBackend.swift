internal import Glibc
internal import Tensors

/// The operations written as their formulas say, in double precision, one element at a time: the
/// oracle that other backends are compared with, and the template for a new one. Far too slow
/// for a real model.
package final class ReferenceBackend: ComputeBackend {
    package let computeClass = ComputeClass(
        backend: "reference", instructionSet: "none", blasCore: "none")
    package let progress = ProgressCounter()

    package init() {}

    /// A tensor whose elements `value` gives, by their row-major number.
    private func make(_ shape: Shape, _ value: (Int) -> Double) -> DeviceTensor {
        defer { progress.advance() }
        return DeviceTensor(
            Tensor(shape: shape, elements: (0..<shape.count).map { Float(value($0)) }))
    }

    /// The value at (item, row, column, channel) of an image.
    private func pixel(
        _ x: DeviceTensor,
        _ elements: [Float],
        _ item: Int,
        _ row: Int,
        _ column: Int,
        _ channel: Int
    ) -> Double {
        Double(elements[((item * x.height + row) * x.width + column) * x.channels + channel])
    }
}

// MARK: - Weights and products

extension ReferenceBackend {
    package func linearWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        preparation: Preparation,
        name: String
    ) -> LinearWeights {
        LinearWeights(
            name: name, inputs: weight.shape[1], outputs: weight.shape[0],
            matrix: LayerMatrix(stored: weight, prepared: weight.widened), bias: bias)
    }

    package func convolutionWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        stride: Int,
        preparation: Preparation,
        name: String
    ) -> ConvolutionWeights {
        ConvolutionWeights(
            name: name, inputs: weight.shape[1], outputs: weight.shape[0],
            kernelHeight: weight.shape[2], kernelWidth: weight.shape[3], stride: stride,
            matrix: LayerMatrix(stored: weight, prepared: channelsLast(weight.widened)),
            bias: bias)
    }

    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor?,
        activation: Activation
    ) -> DeviceTensor {
        let (inputs, outputs) = (weights.inputs, weights.outputs)
        let (input, matrix) = (x.elements, weights.matrix.preparedElements)
        let (bias, carried) = (weights.bias?.elements, residual?.elements)
        return make(x.shape(channels: outputs)) { index in
            let (row, output) = index.quotientAndRemainder(dividingBy: outputs)
            var sum = Double(bias?[output] ?? 0) + Double(carried?[index] ?? 0)
            for depth in 0..<inputs {
                sum += Double(input[row * inputs + depth]) * Double(matrix[output * inputs + depth])
            }
            return activation.value(sum)
        }
    }

    package func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        padding: Padding,
        itemBias: DeviceTensor?,
        residual: DeviceTensor?
    ) -> DeviceTensor {
        let extents = padding.outputExtents(
            height: x.height, width: x.width, weights: weights)
        let stride = weights.stride
        let (input, kernel) = (x.elements, weights.matrix.preparedElements)
        let bias = weights.bias?.elements
        let (perItem, carried) = (itemBias?.elements, residual?.elements)
        let outputs = weights.outputs
        return make(Shape(x.items, extents.height, extents.width, outputs)) { index in
            let (position, output) = index.quotientAndRemainder(dividingBy: outputs)
            let column = position % extents.width
            let row = position / extents.width % extents.height
            let item = position / (extents.width * extents.height)
            var sum = Double(bias?[output] ?? 0) + Double(carried?[index] ?? 0)
            sum += Double(perItem?[item * outputs + output] ?? 0)
            for ky in 0..<weights.kernelHeight {
                for kx in 0..<weights.kernelWidth {
                    let y = row * stride + ky - padding.top
                    let x0 = column * stride + kx - padding.left
                    guard (0..<x.height).contains(y), (0..<x.width).contains(x0) else { continue }
                    let tap = (output * weights.kernelHeight + ky) * weights.kernelWidth + kx
                    for channel in 0..<weights.inputs {
                        sum +=
                            pixel(x, input, item, y, x0, channel)
                            * Double(kernel[tap * weights.inputs + channel])
                    }
                }
            }
            return sum
        }
    }

    package func attention(
        queries: DeviceTensor,
        keys: DeviceTensor,
        values: DeviceTensor,
        heads: Int,
        causal: Bool
    ) -> DeviceTensor {
        let (q, k, v) = (queries.elements, keys.elements, values.elements)
        let channels = queries.channels
        let size = channels / heads
        let served = queries.items / keys.items
        return make(queries.shape) { index in
            let (token, channel) = index.quotientAndRemainder(dividingBy: channels)
            let head = channel / size * size
            let position = token % queries.positions
            let source = token / queries.positions / served * keys.positions
            let visible = causal ? min(position + 1, keys.positions) : keys.positions
            let scores = (0..<visible).map { key in
                (0..<size).reduce(0.0) { sum, depth in
                    sum + Double(q[token * channels + head + depth])
                        * Double(k[(source + key) * channels + head + depth])
                } / Double(size).squareRoot()
            }
            let highest = scores.max() ?? 0
            let weights = scores.map { exp($0 - highest) }
            let total = weights.reduce(0, +)
            return weights.indices.reduce(0.0) { sum, key in
                sum + weights[key] / total * Double(v[(source + key) * channels + channel])
            }
        }
    }
}

// MARK: - Normalisation

extension ReferenceBackend {
    package func groupNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        groups: Int,
        epsilon: Double,
        silu: Bool
    ) -> DeviceTensor {
        let size = x.channels / groups
        let count = Double(size * x.positions)
        let elements = x.elements
        let (scale, shift) = (weights.scale.elements, weights.shift.elements)
        func group(of index: Int) -> Int {
            index / (x.positions * x.channels) * groups + index % x.channels / size
        }
        var means = Array(repeating: 0.0, count: x.items * groups)
        var variances = means
        for (index, value) in elements.enumerated() {
            means[group(of: index)] += Double(value) / count
        }
        for (index, value) in elements.enumerated() {
            let deviation = Double(value) - means[group(of: index)]
            variances[group(of: index)] += deviation * deviation / count
        }
        return make(x.shape) { index in
            let group = group(of: index)
            let normal =
                (Double(elements[index]) - means[group])
                / (variances[group] + epsilon).squareRoot()
            let channel = index % x.channels
            let value = normal * Double(scale[channel]) + Double(shift[channel])
            return silu ? Activation.silu.value(value) : value
        }
    }

    package func layerNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        epsilon: Double
    ) -> DeviceTensor {
        // Every row is an item of one position and one group.
        let rows = x.reshaped(to: Shape(x.items * x.positions, 1, x.channels))
        return groupNorm(rows, weights, groups: 1, epsilon: epsilon, silu: false)
            .reshaped(to: x.shape)
    }
}

// MARK: - Element by element

extension ReferenceBackend {
    package func activation(_ x: DeviceTensor, _ activation: Activation) -> DeviceTensor {
        let elements = x.elements
        return make(x.shape) { activation.value(Double(elements[$0])) }
    }

    package func add(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        let (first, second) = (a.elements, b.elements)
        return make(a.shape) { Double(first[$0]) + Double(second[$0]) }
    }

    package func geglu(_ x: DeviceTensor) -> DeviceTensor {
        let elements = x.elements
        let channels = x.channels / 2
        return make(x.shape(channels: channels)) { index in
            let start = index / channels * x.channels + index % channels
            return Double(elements[start])
                * Activation.gelu.value(Double(elements[start + channels]))
        }
    }

    package func bytes(_ x: DeviceTensor) -> [UInt8]? {
        progress.advance()
        guard x.elements.allSatisfy(\.isFinite) else { return nil }
        return x.elements.map { value in
            let level = min(max(value / 2 + 0.5, 0), 1) * 255
            return UInt8(level.rounded(.toNearestOrEven))
        }
    }
}

// MARK: - Rearrangement

extension ReferenceBackend {
    package func concatenateChannels(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        let (left, right) = (a.elements, b.elements)
        let channels = a.channels + b.channels
        return make(a.shape(channels: channels)) { index in
            let (row, channel) = index.quotientAndRemainder(dividingBy: channels)
            return channel < a.channels
                ? Double(left[row * a.channels + channel])
                : Double(right[row * b.channels + channel - a.channels])
        }
    }

    package func upsampleNearest(_ x: DeviceTensor, height: Int, width: Int) -> DeviceTensor {
        let elements = x.elements
        return make(Shape(x.items, height, width, x.channels)) { index in
            let (position, channel) = index.quotientAndRemainder(dividingBy: x.channels)
            return pixel(
                x, elements, position / (height * width),
                position / width % height * x.height / height,
                position % width * x.width / width, channel)
        }
    }

    package func channelsLast(_ x: DeviceTensor) -> DeviceTensor {
        let elements = x.elements
        let (channels, plane) = (x.shape[1], x.shape[2] * x.shape[3])
        return make(Shape(x.items, x.shape[2], x.shape[3], channels)) { index in
            let (position, channel) = index.quotientAndRemainder(dividingBy: channels)
            let (item, pixel) = position.quotientAndRemainder(dividingBy: plane)
            return Double(elements[(item * channels + channel) * plane + pixel])
        }
    }

    package func channelsFirst(_ x: DeviceTensor) -> DeviceTensor {
        let elements = x.elements
        let plane = x.positions
        return make(Shape(x.items, x.channels, x.height, x.width)) { index in
            let (row, pixel) = index.quotientAndRemainder(dividingBy: plane)
            let (item, channel) = row.quotientAndRemainder(dividingBy: x.channels)
            return Double(elements[(item * plane + pixel) * x.channels + channel])
        }
    }

    package func gatherRows(_ table: DeviceTensor, _ indices: [Int]) -> DeviceTensor {
        let elements = table.elements
        let width = table.channels
        return make(Shape(1, indices.count, width)) { index in
            Double(elements[indices[index / width] * width + index % width])
        }
    }
}

extension Activation {
    /// The function itself.
    fileprivate func value(_ x: Double) -> Double {
        switch self {
        case .none: x
        case .silu: x / (1 + exp(-x))
        case .gelu: x * (1 + erf(x / 2.0.squareRoot())) / 2
        case .quickGELU: x / (1 + exp(-1.702 * x))
        }
    }
}

extension LayerMatrix {
    /// This backend prepares every matrix.
    fileprivate var preparedElements: [Float] {
        guard let prepared else { preconditionFailure("weights of another backend") }
        return prepared.elements
    }
}
