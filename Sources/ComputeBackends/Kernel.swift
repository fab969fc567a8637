internal import CKernels

/// One call into `CKernels` with everything it needs but where its operands lie: the only place
/// that knows the kernels' signatures.
enum Kernel: Sendable {
    /// x
    case linearGEGLU(tsr_linear_shape, LinearWeights)
    /// x, residual
    case linear(tsr_linear_shape, LinearWeights, tsr_activation)
    /// x, a bias per item, residual
    case convolution(tsr_convolution_shape, ConvolutionWeights)
    /// queries, keys, values
    case attention(tsr_attention_shape)
    /// x
    case groupNorm(tsr_group_norm_shape, NormWeights)
    /// x
    case layerNorm(rows: Int, channels: Int, epsilon: Float, NormWeights)
    /// x
    case activation(count: Int, tsr_activation)
    /// a, b
    case add(count: Int)
    /// x
    case geglu(rows: Int, channels: Int)
    /// a, b
    case concatenate(rows: Int, left: Int, right: Int)
    /// x
    case upsample(tsr_upsample_shape)
    /// x
    case transpose(items: Int, rows: Int, columns: Int)
    /// table
    case gather(indices: [Int], width: Int)
}

/// Where a kernel's operands lie, in the order that ``Kernel`` names them.
@unsafe
struct KernelPointers {
    let first: UnsafePointer<Float>
    let second: UnsafePointer<Float>?
    let third: UnsafePointer<Float>?
    /// Room for what ``Kernel/workspace(on:)`` asks for, 64-byte aligned.
    let workspace: UnsafeMutablePointer<Float>
    let output: UnsafeMutablePointer<Float>
}

extension Kernel {
    /// Floats of scratch memory that ``run(on:_:)`` wants.
    func workspace(on engine: OpaquePointer) -> Int {
        switch self {
        case .linear(var shape, let weights, _):
            unsafe tsr_linear_workspace(engine, &shape, weights.matrix.isPrepared)
        case .linearGEGLU(var shape, let weights):
            unsafe tsr_linear_geglu_workspace(engine, &shape, weights.matrix.isPrepared)
        case .convolution(var shape, let weights):
            unsafe tsr_convolution_workspace(engine, &shape, weights.matrix.isPrepared)
        case .attention(var shape): unsafe tsr_attention_workspace(engine, &shape)
        case .groupNorm(var shape, _): unsafe tsr_group_norm_workspace(&shape)
        default: 0
        }
    }

    /// Whether the output may lie where the first operand does.
    var mayOverwriteFirst: Bool {
        switch self {
        case .groupNorm, .layerNorm, .activation, .add: true
        default: false
        }
    }

    /// Computes. Allocates nothing.
    func run(on engine: OpaquePointer, _ at: KernelPointers) {
        switch self {
        case .linear(var shape, let weights, let activation):
            var matrix = unsafe weights.matrix.code
            unsafe tsr_linear(
                engine, &shape, at.first, &matrix, weights.bias?.base, at.second, activation,
                at.workspace, at.output)
        case .linearGEGLU(var shape, let weights):
            var matrix = unsafe weights.matrix.code
            unsafe tsr_linear_geglu(
                engine, &shape, at.first, &matrix, weights.bias?.base, at.workspace, at.output)
        case .convolution(var shape, let weights):
            var matrix = unsafe weights.matrix.code
            unsafe tsr_convolution(
                engine, &shape, at.first, &matrix, weights.bias?.base, at.second, at.third,
                at.workspace, at.output)
        case .attention(var shape):
            guard let keys = unsafe at.second, let values = unsafe at.third else {
                preconditionFailure("attention has keys and values")
            }
            unsafe tsr_attention(
                engine, &shape, at.first, keys, values, at.workspace, at.output)
        case .groupNorm(var shape, let weights):
            unsafe tsr_group_norm(
                engine, &shape, at.first, weights.scale.base, weights.shift.base, at.workspace,
                at.output)
        case .layerNorm(let rows, let channels, let epsilon, let weights):
            unsafe tsr_layer_norm(
                engine, rows, channels, epsilon, at.first, weights.scale.base,
                weights.shift.base, at.output)
        case .activation(let count, let activation):
            unsafe tsr_activate(engine, count, activation, at.first, at.output)
        case .add(let count):
            unsafe tsr_add(engine, count, at.first, at.second, at.output)
        case .geglu(let rows, let channels):
            unsafe tsr_geglu(engine, rows, channels, at.first, at.output)
        case .concatenate(let rows, let left, let right):
            unsafe tsr_concatenate(engine, rows, left, right, at.first, at.second, at.output)
        case .upsample(var shape):
            unsafe tsr_upsample(engine, &shape, at.first, at.output)
        case .transpose(let items, let rows, let columns):
            unsafe tsr_transpose(engine, items, rows, columns, at.first, at.output)
        case .gather(let indices, let width):
            for row in indices.indices {
                unsafe (at.output + row * width).update(
                    from: at.first + indices[row] * width, count: width)
            }
        }
    }
}

extension LayerMatrix {
    var isPrepared: Bool { prepared != nil }

    var code: tsr_weights {
        unsafe tsr_weights(
            stored: stored.bytes, type: stored.type.code, prepared: prepared?.base)
    }
}

extension Activation {
    var code: tsr_activation {
        switch self {
        case .none: TSR_ACTIVATION_NONE
        case .silu: TSR_ACTIVATION_SILU
        case .gelu: TSR_ACTIVATION_GELU
        case .quickGELU: TSR_ACTIVATION_QUICK_GELU
        }
    }
}
