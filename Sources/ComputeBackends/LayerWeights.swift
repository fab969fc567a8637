internal import Tensors

/// When a layer's matrix is brought into the form that its kernels multiply with.
package enum Preparation: Sendable {
    /// Once, into memory of its own.
    case ahead
    /// Every time it is used, from what is stored. The answers are the same bytes.
    case onTheWay
}

/// A layer's matrix: as it is stored and, where memory was spent on it, prepared.
struct LayerMatrix: Sendable {
    let stored: StoredTensor
    var prepared: DeviceTensor?
}

/// The weights of a linear layer, in the form that the backend which prepared them wants.
package struct LinearWeights: Sendable {
    /// As its file spells it, `mid_block.resnets.0.time_emb_proj`; empty for layers without a file.
    package let name: String
    /// Channels of what comes in.
    package let inputs: Int
    /// Channels of what goes out.
    package let outputs: Int
    /// (outputs, inputs)
    let matrix: LayerMatrix
    /// (outputs)
    let bias: DeviceTensor?
}

/// The weights of a convolution, in the form that the backend which prepared them wants.
package struct ConvolutionWeights: Sendable {
    /// As its file spells it, `conv_in`; empty for layers without a file.
    package let name: String
    /// Channels of what comes in.
    package let inputs: Int
    /// Channels of what goes out.
    package let outputs: Int
    /// Rows of the kernel.
    package let kernelHeight: Int
    /// Columns of the kernel.
    package let kernelWidth: Int
    /// Rows and columns of the input from one output to the next.
    package let stride: Int
    /// (outputs, inputs, kernel height, kernel width)
    let matrix: LayerMatrix
    /// (outputs)
    let bias: DeviceTensor?
}

/// Scale and shift per channel, (channels) each, of a normalisation.
package struct NormWeights: Sendable {
    let scale: DeviceTensor
    let shift: DeviceTensor

    /// Traps unless both are (channels).
    package init(scale: DeviceTensor, shift: DeviceTensor) {
        precondition(scale.shape.rank == 1 && scale.shape == shift.shape, "(channels) wanted")
        self.scale = scale
        self.shift = shift
    }

    /// Channels of what is normalised.
    package var channels: Int { scale.shape.count }
}

/// What a layer does to each of its outputs last.
package enum Activation: Sendable, CaseIterable {
    case none
    /// x·σ(x)
    case silu
    /// x·Φ(x), exact
    case gelu
    /// x·σ(1.702x)
    case quickGELU
}

/// Zeros around an image.
package struct Padding: Hashable, Sendable {
    /// Rows above the image.
    package let top: Int
    /// Columns before it.
    package let left: Int
    /// Rows below it.
    package let bottom: Int
    /// Columns after it.
    package let right: Int

    /// Traps on a negative extent.
    package init(top: Int, left: Int, bottom: Int, right: Int) {
        precondition(min(top, left, bottom, right) >= 0, "padding is not negative")
        self.top = top
        self.left = left
        self.bottom = bottom
        self.right = right
    }

    /// The same on all four sides.
    package init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }

    /// Extents of what a convolution makes of a `height`×`width` image.
    func outputExtents(
        height: Int,
        width: Int,
        weights: ConvolutionWeights
    ) -> (height: Int, width: Int) {
        let rows = height + top + bottom - weights.kernelHeight
        let columns = width + left + right - weights.kernelWidth
        let stride = weights.stride
        precondition(
            rows >= 0 && columns >= 0 && top < weights.kernelHeight
                && left < weights.kernelWidth,
            "a \(height)×\(width) image does not fit the kernel")
        return (rows / stride + 1, columns / stride + 1)
    }
}
