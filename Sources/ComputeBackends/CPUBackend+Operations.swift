internal import CKernels
internal import Tensors

// Each operation checks that its operands fit each other, then calls one kernel.

// MARK: - Weights

extension CPUBackend {
    package func linearWeights(_ weight: DeviceTensor, bias: DeviceTensor?) -> LinearWeights {
        precondition(weight.shape.rank == 2, "(outputs, inputs) wanted")
        let outputs = weight.shape[0]
        precondition(bias == nil || bias?.shape == Shape(outputs), "a bias per output wanted")
        return LinearWeights(
            inputs: weight.shape[1], outputs: outputs, matrix: weight, bias: bias)
    }

    package func convolutionWeights(
        _ weight: DeviceTensor,
        bias: DeviceTensor?
    ) -> ConvolutionWeights {
        precondition(weight.shape.rank == 4, "(outputs, inputs, height, width) wanted")
        let outputs = weight.shape[0]
        precondition(bias == nil || bias?.shape == Shape(outputs), "a bias per output wanted")
        return ConvolutionWeights(
            inputs: weight.shape[1], outputs: outputs,
            kernelHeight: weight.shape[2], kernelWidth: weight.shape[3],
            matrix: channelsLast(weight), bias: bias)
    }
}

// MARK: - Products

extension CPUBackend {
    package func linear(
        _ x: DeviceTensor,
        _ weights: LinearWeights,
        residual: DeviceTensor?,
        activation: Activation
    ) -> DeviceTensor {
        precondition(x.channels == weights.inputs, "\(x.shape) has not \(weights.inputs) channels")
        let result = x.shape(channels: weights.outputs)
        precondition(residual == nil || residual?.shape == result, "residual of another shape")
        var shape = tsr_linear_shape(
            items: x.items, rows: x.positions, inputs: weights.inputs, outputs: weights.outputs)
        return unsafe make(result) { engine, y in
            unsafe tsr_linear(
                engine.handle, &shape, x.base, weights.matrix.base,
                weights.bias?.base, residual?.base, activation.code, y)
        }
    }

    package func convolution(
        _ x: DeviceTensor,
        _ weights: ConvolutionWeights,
        stride: Int,
        padding: Padding,
        itemBias: DeviceTensor?,
        residual: DeviceTensor?
    ) -> DeviceTensor {
        precondition(
            x.shape.rank == 4 && x.channels == weights.inputs,
            "\(x.shape) is no image of \(weights.inputs) channels")
        let extents = padding.outputExtents(
            height: x.height, width: x.width, weights: weights, stride: stride)
        let result = Shape(x.items, extents.height, extents.width, weights.outputs)
        precondition(residual == nil || residual?.shape == result, "residual of another shape")
        precondition(
            itemBias == nil || itemBias?.shape == Shape(x.items, weights.outputs),
            "a bias per item and output wanted")
        var shape = tsr_convolution_shape(
            items: x.items, height: x.height, width: x.width, inputs: weights.inputs,
            out_height: extents.height, out_width: extents.width, outputs: weights.outputs,
            kernel_height: weights.kernelHeight, kernel_width: weights.kernelWidth,
            stride: stride, pad_top: padding.top, pad_left: padding.left)
        return unsafe make(result) { engine, y in
            let size = unsafe tsr_convolution_workspace(engine.handle, &shape)
            unsafe tsr_convolution(
                engine.handle, &shape, x.base, weights.matrix.base,
                weights.bias?.base, itemBias?.base, residual?.base,
                engine.workspace(size), y)
        }
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
        var shape = tsr_attention_shape(
            items: queries.items, queries: queries.positions,
            key_items: keys.items, keys: keys.positions,
            heads: heads, head_size: queries.channels / heads, causal: causal)
        return unsafe make(queries.shape) { engine, y in
            let size = unsafe tsr_attention_workspace(engine.handle, &shape)
            unsafe tsr_attention(
                engine.handle, &shape, queries.base, keys.base,
                values.base, engine.workspace(size), y)
        }
    }
}

// MARK: - Normalisation

extension CPUBackend {
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
        var shape = tsr_group_norm_shape(
            items: x.items, positions: x.positions, channels: x.channels, groups: groups,
            epsilon: Float(epsilon), silu: silu)
        return unsafe make(x.shape) { engine, y in
            let size = unsafe tsr_group_norm_workspace(&shape)
            unsafe tsr_group_norm(
                engine.handle, &shape, x.base, weights.scale.base,
                weights.shift.base, engine.workspace(size), y)
        }
    }

    package func layerNorm(
        _ x: DeviceTensor,
        _ weights: NormWeights,
        epsilon: Double
    ) -> DeviceTensor {
        precondition(x.channels == weights.channels, "\(x.shape): other count of weights")
        return unsafe make(x.shape) { engine, y in
            unsafe tsr_layer_norm(
                engine.handle, x.items * x.positions, x.channels, Float(epsilon), x.base,
                weights.scale.base, weights.shift.base, y)
        }
    }
}

// MARK: - Element by element

extension CPUBackend {
    package func activation(_ x: DeviceTensor, _ activation: Activation) -> DeviceTensor {
        unsafe make(x.shape) { engine, y in
            unsafe tsr_activate(
                engine.handle, x.shape.count, activation.code, x.base, y)
        }
    }

    package func add(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        precondition(a.shape == b.shape, "\(a.shape) and \(b.shape) cannot be added")
        return unsafe make(a.shape) { engine, y in
            unsafe tsr_add(engine.handle, a.shape.count, a.base, b.base, y)
        }
    }

    package func geglu(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.channels % 2 == 0, "\(x.shape) has no two halves")
        let channels = x.channels / 2
        return unsafe make(x.shape(channels: channels)) { engine, y in
            unsafe tsr_geglu(engine.handle, x.items * x.positions, channels, x.base, y)
        }
    }

    package func bytes(_ x: DeviceTensor) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: x.shape.count) { buffer, count in
            perform { engine in
                unsafe tsr_to_bytes(
                    engine.handle, x.shape.count, x.base, buffer.baseAddress)
            }
            count = x.shape.count
        }
    }
}

// MARK: - Rearrangement

extension CPUBackend {
    package func concatenateChannels(_ a: DeviceTensor, _ b: DeviceTensor) -> DeviceTensor {
        precondition(
            a.shape(channels: 1) == b.shape(channels: 1), "\(a.shape) beside \(b.shape)")
        return unsafe make(a.shape(channels: a.channels + b.channels)) { engine, y in
            unsafe tsr_concatenate(
                engine.handle, a.items * a.positions, a.channels, b.channels, a.base,
                b.base, y)
        }
    }

    package func upsampleNearest(_ x: DeviceTensor, height: Int, width: Int) -> DeviceTensor {
        precondition(x.shape.rank == 4 && height > 0 && width > 0, "\(x.shape) is no image")
        var shape = tsr_upsample_shape(
            items: x.items, height: x.height, width: x.width, channels: x.channels,
            out_height: height, out_width: width)
        return unsafe make(Shape(x.items, height, width, x.channels)) { engine, y in
            unsafe tsr_upsample(engine.handle, &shape, x.base, y)
        }
    }

    package func channelsLast(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.shape.rank == 4, "\(x.shape) is no image")
        let plane = x.shape[2] * x.shape[3]
        return unsafe make(Shape(x.items, x.shape[2], x.shape[3], x.shape[1])) { engine, y in
            unsafe tsr_transpose(
                engine.handle, x.items, x.shape[1], plane, x.base, y)
        }
    }

    package func channelsFirst(_ x: DeviceTensor) -> DeviceTensor {
        precondition(x.shape.rank == 4, "\(x.shape) is no image")
        return unsafe make(Shape(x.items, x.channels, x.height, x.width)) { engine, y in
            unsafe tsr_transpose(
                engine.handle, x.items, x.positions, x.channels, x.base, y)
        }
    }

    package func gatherRows(_ table: DeviceTensor, _ indices: [Int]) -> DeviceTensor {
        precondition(table.shape.rank == 2, "\(table.shape) is no table")
        let width = table.channels
        precondition(
            indices.allSatisfy { (0..<table.items).contains($0) }, "an index beyond the table")
        return unsafe make(Shape(1, indices.count, width)) { _, y in
            for (row, index) in indices.enumerated() {
                unsafe (y + row * width).update(
                    from: table.base + index * width, count: width)
            }
        }
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
