internal import Synchronization
internal import Tensors

/// What one operation did, as a ``ProfilingBackend`` saw it.
package struct OperationRecord: Sendable {
    /// Which operation it was.
    package enum Kind: String, Sendable, CaseIterable {
        case linear
        case convolution
        case attention
        case groupNorm = "group-norm"
        case layerNorm = "layer-norm"
        case activation
        case add
        case geglu
        case concatenate
        case upsample
        case transpose
        case gather
        case bytes
    }

    package let kind: Kind
    /// The layer's, as its file spells it; empty where there are no weights from a file.
    package let name: String
    /// Extents of what went in and out, for people: `1×4096×640 → 640`.
    package let shape: String
    /// Wall time.
    package let duration: Duration
    /// Two for every multiplication with its addition, by the direct algorithm, whatever was done
    /// instead; nothing else is counted, so that it is 0 for operations without products.
    package let flops: Double
    /// Of the operands and the result, each read or written once, as float32.
    package let bytes: Double
}

/// Another backend that is watched: on demand, every operation is timed and its arithmetic
/// counted. The answers and the prepared weights are the other backend's.
package final class ProfilingBackend: ComputeBackend {
    private let base: any ComputeBackend
    /// Nil while nobody looks.
    private let records = Mutex<[OperationRecord]?>(nil)

    package var computeClass: ComputeClass { base.computeClass }
    package var progress: ProgressCounter { base.progress }

    /// Watches `base`.
    package init(_ base: any ComputeBackend) { self.base = base }

    /// Runs `body` and returns its answer with the operations that this backend did meanwhile, in
    /// their order. One call at a time.
    package func profile<Answer>(
        _ body: () -> Answer
    ) -> (answer: Answer, operations: [OperationRecord]) {
        records.withLock { $0 = [] }
        let answer = body()
        return (answer, records.withLock { $0.take() ?? [] })
    }

    /// Arithmetic and traffic of one operation.
    private struct Work {
        var shape: String
        var flops = 0.0
        var floats: Int
    }

    private func watch<Result>(
        _ kind: OperationRecord.Kind,
        named name: String = "",
        _ operation: () -> Result,
        work: (Result) -> Work
    ) -> Result {
        guard records.withLock({ $0 != nil }) else { return operation() }
        let start = ContinuousClock.now
        let result = operation()
        let duration = ContinuousClock.now - start
        let work = work(result)
        let record = OperationRecord(
            kind: kind, name: name, shape: work.shape, duration: duration, flops: work.flops,
            bytes: 4 * Double(work.floats))
        records.withLock { $0?.append(record) }
        return result
    }

    /// An operation without products.
    private func watch(
        _ kind: OperationRecord.Kind,
        _ operands: DeviceTensor...,
        operation: () -> DeviceTensor
    ) -> DeviceTensor {
        watch(kind, operation) { result in
            Work(
                shape: operands.map(\.shape.times).joined(separator: " + "),
                floats: operands.reduce(result.shape.count) { $0 + $1.shape.count })
        }
    }
}

extension Shape {
    /// `1×64×64×320`
    fileprivate var times: String { extents.map(String.init).joined(separator: "×") }
}

// MARK: - Weights

extension ProfilingBackend {
    package func linearWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        preparation: Preparation,
        name: String
    ) -> LinearWeights {
        base.linearWeights(weight, bias: bias, preparation: preparation, name: name)
    }

    package func convolutionWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        stride: Int,
        preparation: Preparation,
        name: String
    ) -> ConvolutionWeights {
        base.convolutionWeights(
            weight, bias: bias, stride: stride, preparation: preparation, name: name)
    }
}

// MARK: - Products

extension ProfilingBackend {
    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor?,
        activation: Activation
    ) -> DeviceTensor {
        watch(.linear, named: weights.name) {
            base.linear(x, weights, residual: residual, activation: activation)
        } work: { result in
            let matrix = weights.inputs * weights.outputs
            return Work(
                shape: "\(x.shape.times) → \(weights.outputs)",
                flops: 2 * Double(x.items * x.positions) * Double(matrix),
                floats: x.shape.count + matrix + result.shape.count
                    + (residual?.shape.count ?? 0))
        }
    }

    package func linearGEGLU(_ x: DeviceTensor, _ weights: LinearWeights) -> DeviceTensor {
        watch(.linear, named: weights.name) {
            base.linearGEGLU(x, weights)
        } work: { result in
            let matrix = weights.inputs * weights.outputs
            return Work(
                shape: "\(x.shape.times) → \(weights.outputs), gated",
                flops: 2 * Double(x.items * x.positions) * Double(matrix),
                floats: x.shape.count + matrix + result.shape.count)
        }
    }

    package func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        padding: Padding,
        itemBias: DeviceTensor?,
        residual: DeviceTensor?
    ) -> DeviceTensor {
        watch(.convolution, named: weights.name) {
            base.convolution(
                x, weights, padding: padding, itemBias: itemBias, residual: residual)
        } work: { result in
            let (rows, columns) = (weights.kernelHeight, weights.kernelWidth)
            let kernel = weights.inputs * weights.outputs * rows * columns
            return Work(
                shape: "\(x.shape.times) → \(weights.outputs), \(rows)×\(columns)"
                    + (weights.stride == 1 ? "" : " by \(weights.stride)"),
                flops: 2 * Double(result.items * result.positions) * Double(kernel),
                floats: x.shape.count + kernel + result.shape.count
                    + (residual?.shape.count ?? 0))
        }
    }

    package func attention(
        queries: DeviceTensor,
        keys: DeviceTensor,
        values: DeviceTensor,
        heads: Int,
        causal: Bool
    ) -> DeviceTensor {
        watch(.attention) {
            base.attention(
                queries: queries, keys: keys, values: values, heads: heads, causal: causal)
        } work: { result in
            // Position i of a causal text sees i + 1 keys.
            let (asking, seen) = (queries.positions, keys.positions)
            let pairs =
                causal
                ? (0..<asking).reduce(0) { $0 + min($1 + 1, seen) }
                : asking * seen
            return Work(
                shape: "\(queries.items)×\(asking) on \(seen), \(heads) heads of "
                    + "\(queries.channels / heads)",
                flops: 4 * Double(queries.items * pairs) * Double(queries.channels),
                floats: queries.shape.count + keys.shape.count + values.shape.count
                    + result.shape.count)
        }
    }
}

// MARK: - Normalisation, element by element, rearrangement

extension ProfilingBackend {
    package func groupNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        groups: Int,
        epsilon: Double,
        silu: Bool
    ) -> DeviceTensor {
        watch(.groupNorm, x) {
            base.groupNorm(x, weights, groups: groups, epsilon: epsilon, silu: silu)
        }
    }

    package func layerNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        epsilon: Double
    ) -> DeviceTensor {
        watch(.layerNorm, x) { base.layerNorm(x, weights, epsilon: epsilon) }
    }

    package func activation(_ x: DeviceTensor, _ activation: Activation) -> DeviceTensor {
        watch(.activation, x) { base.activation(x, activation) }
    }

    package func add(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        watch(.add, a, b) { base.add(a, b) }
    }

    package func geglu(_ x: DeviceTensor) -> DeviceTensor {
        watch(.geglu, x) { base.geglu(x) }
    }

    package func concatenateChannels(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        watch(.concatenate, a, b) { base.concatenateChannels(a, b) }
    }

    package func upsampleNearest(_ x: DeviceTensor, height: Int, width: Int) -> DeviceTensor {
        watch(.upsample, x) { base.upsampleNearest(x, height: height, width: width) }
    }

    package func channelsLast(_ x: DeviceTensor) -> DeviceTensor {
        watch(.transpose, x) { base.channelsLast(x) }
    }

    package func channelsFirst(_ x: DeviceTensor) -> DeviceTensor {
        watch(.transpose, x) { base.channelsFirst(x) }
    }

    package func gatherRows(_ table: DeviceTensor, _ indices: [Int]) -> DeviceTensor {
        watch(.gather) {
            base.gatherRows(table, indices)
        } work: { result in
            Work(
                shape: "\(indices.count) of \(table.shape.times)", floats: 2 * result.shape.count)
        }
    }

    package func bytes(_ x: DeviceTensor) -> [UInt8]? {
        watch(.bytes) {
            base.bytes(x)
        } work: { _ in
            // A byte for each float.
            Work(shape: x.shape.times, floats: x.shape.count + x.shape.count / 4)
        }
    }
}
