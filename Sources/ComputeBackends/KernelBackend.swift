internal import CKernels
internal import Tensors

/// A tensor that one kernel makes of others.
package struct KernelRequest: Sendable {
    let kernel: Kernel
    /// The operands that ``Kernel`` names, in its order.
    let first: DeviceTensor
    let second: DeviceTensor?
    let third: DeviceTensor?
    /// Of the tensor to make.
    let shape: Shape

    init(
        _ kernel: Kernel,
        _ first: DeviceTensor,
        _ second: DeviceTensor? = nil,
        _ third: DeviceTensor? = nil,
        makes shape: Shape
    ) {
        self.kernel = kernel
        self.first = first
        self.second = second
        self.third = third
        self.shape = shape
    }
}

/// A backend whose operations are one kernel each: it checks that the operands fit each other,
/// and then either computes or records.
package protocol KernelBackend: ComputeBackend {
    /// The tensor that was asked for.
    func make(_ request: KernelRequest) -> DeviceTensor
}

// MARK: - Products

extension KernelBackend {
    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor?,
        activation: Activation
    ) -> DeviceTensor {
        precondition(x.channels == weights.inputs, "\(x.shape) has not \(weights.inputs) channels")
        let result = x.shape(channels: weights.outputs)
        precondition(residual == nil || residual?.shape == result, "residual of another shape")
        let shape = tsr_linear_shape(
            items: x.items, rows: x.positions, inputs: weights.inputs, outputs: weights.outputs)
        return make(
            KernelRequest(.linear(shape, weights, activation.code), x, residual, makes: result))
    }

    package func linearGEGLU(_ x: DeviceTensor, _ weights: LinearWeights) -> DeviceTensor {
        precondition(
            x.channels == weights.inputs && weights.outputs % 2 == 0,
            "\(x.shape), \(weights.inputs) inputs and \(weights.outputs) outputs do not fit")
        let shape = tsr_linear_shape(
            items: x.items, rows: x.positions, inputs: weights.inputs, outputs: weights.outputs)
        return make(
            KernelRequest(
                .linearGEGLU(shape, weights), x, makes: x.shape(channels: weights.outputs / 2)))
    }

    package func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        padding: Padding,
        itemBias: DeviceTensor?,
        residual: DeviceTensor?
    ) -> DeviceTensor {
        precondition(
            x.shape.rank == 4 && x.channels == weights.inputs,
            "\(x.shape) is no image of \(weights.inputs) channels")
        let extents = padding.outputExtents(
            height: x.height, width: x.width, weights: weights)
        let result = Shape(x.items, extents.height, extents.width, weights.outputs)
        precondition(residual == nil || residual?.shape == result, "residual of another shape")
        precondition(
            itemBias == nil || itemBias?.shape == Shape(x.items, weights.outputs),
            "a bias per item and output wanted")
        let filter = tsr_filter_shape(
            inputs: weights.inputs, outputs: weights.outputs, height: weights.kernelHeight,
            width: weights.kernelWidth, stride: weights.stride)
        let shape = tsr_convolution_shape(
            filter: filter, items: x.items, height: x.height, width: x.width,
            out_height: extents.height, out_width: extents.width,
            pad_top: padding.top, pad_left: padding.left)
        return make(
            KernelRequest(.convolution(shape, weights), x, itemBias, residual, makes: result))
    }

    package func attention(
        queries: DeviceTensor,
        keys: DeviceTensor,
        values: DeviceTensor,
        heads: Int,
        causal: Bool
    ) -> DeviceTensor {
        precondition(
            keys.shape == values.shape && queries.items % keys.items == 0
                && keys.channels == queries.channels && heads > 0
                && queries.channels % heads == 0,
            "queries \(queries.shape), keys \(keys.shape), values \(values.shape) and \(heads) "
                + "heads do not fit")
        let shape = tsr_attention_shape(
            items: queries.items, queries: queries.positions,
            key_items: keys.items, keys: keys.positions,
            heads: heads, head_size: queries.channels / heads, causal: causal)
        return make(KernelRequest(.attention(shape), queries, keys, values, makes: queries.shape))
    }
}

// MARK: - Normalisation

extension KernelBackend {
    package func groupNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        groups: Int,
        epsilon: Double,
        silu: Bool
    ) -> DeviceTensor {
        precondition(
            x.channels == weights.channels && groups > 0 && x.channels % groups == 0,
            "\(x.shape), \(weights.channels) weights and \(groups) groups do not fit")
        let shape = tsr_group_norm_shape(
            items: x.items, positions: x.positions, channels: x.channels, groups: groups,
            epsilon: Float(epsilon), silu: silu)
        return make(KernelRequest(.groupNorm(shape, weights), x, makes: x.shape))
    }

    package func layerNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        epsilon: Double
    ) -> DeviceTensor {
        precondition(x.channels == weights.channels, "\(x.shape): other count of weights")
        let kernel = Kernel.layerNorm(
            rows: x.items * x.positions, channels: x.channels, epsilon: Float(epsilon), weights)
        return make(KernelRequest(kernel, x, makes: x.shape))
    }
}

// MARK: - Element by element

extension KernelBackend {
    package func activation(_ x: DeviceTensor, _ activation: Activation) -> DeviceTensor {
        let kernel = Kernel.activation(count: x.shape.count, activation.code)
        return make(KernelRequest(kernel, x, makes: x.shape))
    }

    package func add(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        precondition(a.shape == b.shape, "\(a.shape) and \(b.shape) cannot be added")
        return make(KernelRequest(.add(count: a.shape.count), a, b, makes: a.shape))
    }

    package func geglu(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.channels % 2 == 0, "\(x.shape) has no two halves")
        let channels = x.channels / 2
        let kernel = Kernel.geglu(rows: x.items * x.positions, channels: channels)
        return make(KernelRequest(kernel, x, makes: x.shape(channels: channels)))
    }
}

// MARK: - Rearrangement

extension KernelBackend {
    package func concatenateChannels(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        precondition(
            a.shape(channels: 1) == b.shape(channels: 1), "\(a.shape) beside \(b.shape)")
        let kernel = Kernel.concatenate(
            rows: a.items * a.positions, left: a.channels, right: b.channels)
        return make(
            KernelRequest(kernel, a, b, makes: a.shape(channels: a.channels + b.channels)))
    }

    package func upsampleNearest(_ x: DeviceTensor, height: Int, width: Int) -> DeviceTensor {
        precondition(x.shape.rank == 4 && height > 0 && width > 0, "\(x.shape) is no image")
        let shape = tsr_upsample_shape(
            items: x.items, height: x.height, width: x.width, channels: x.channels,
            out_height: height, out_width: width)
        return make(
            KernelRequest(.upsample(shape), x, makes: Shape(x.items, height, width, x.channels)))
    }

    package func channelsLast(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.shape.rank == 4, "\(x.shape) is no image")
        let kernel = Kernel.transpose(
            items: x.items, rows: x.shape[1], columns: x.shape[2] * x.shape[3])
        let shape = Shape(x.items, x.shape[2], x.shape[3], x.shape[1])
        return make(KernelRequest(kernel, x, makes: shape))
    }

    package func channelsFirst(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.shape.rank == 4, "\(x.shape) is no image")
        let kernel = Kernel.transpose(items: x.items, rows: x.positions, columns: x.channels)
        let shape = Shape(x.items, x.channels, x.height, x.width)
        return make(KernelRequest(kernel, x, makes: shape))
    }

    package func gatherRows(_ table: DeviceTensor, _ indices: [Int]) -> DeviceTensor {
        precondition(table.shape.rank == 2, "\(table.shape) is no table")
        precondition(
            indices.allSatisfy { (0..<table.items).contains($0) }, "an index beyond the table")
        let kernel = Kernel.gather(indices: indices, width: table.channels)
        return make(
            KernelRequest(kernel, table, makes: Shape(1, indices.count, table.channels)))
    }
}
