internal import CKernels
internal import Tensors

// What is particular to computing at once; the operations themselves are ``KernelBackend``'s.

extension CPUBackend {
    package func linearWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        preparation: Preparation,
        name: String
    ) -> LinearWeights {
        precondition(weight.shape.rank == 2, "(outputs, inputs) wanted")
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        precondition(bias == nil || bias?.shape == Shape(outputs), "a bias per output wanted")
        var matrix = LayerMatrix(stored: weight)
        if preparation == .ahead {
            var stored = unsafe matrix.code
            matrix.prepared = unsafe prepared { engine in
                unsafe tsr_linear_prepared(engine, inputs, outputs)
            } _: { engine, room in
                unsafe tsr_linear_prepare(engine, inputs, outputs, &stored, room)
            }
        }
        return LinearWeights(
            name: name, inputs: inputs, outputs: outputs, matrix: matrix, bias: bias)
    }

    package func convolutionWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        stride: Int,
        preparation: Preparation,
        name: String
    ) -> ConvolutionWeights {
        precondition(weight.shape.rank == 4, "(outputs, inputs, height, width) wanted")
        precondition(stride > 0, "a stride of at least 1 wanted")
        let outputs = weight.shape[0]
        precondition(bias == nil || bias?.shape == Shape(outputs), "a bias per output wanted")
        var filter = tsr_filter_shape(
            inputs: weight.shape[1], outputs: outputs, height: weight.shape[2],
            width: weight.shape[3], stride: stride)
        var matrix = LayerMatrix(stored: weight)
        if unsafe preparation == .ahead || !tsr_convolution_reads_stored(&filter) {
            var stored = unsafe matrix.code
            matrix.prepared = unsafe prepared { engine in
                unsafe tsr_convolution_prepared(engine, &filter)
            } _: { engine, room in
                unsafe tsr_convolution_prepare(engine, &filter, &stored, room)
            }
        }
        return ConvolutionWeights(
            name: name, inputs: weight.shape[1], outputs: outputs,
            kernelHeight: weight.shape[2], kernelWidth: weight.shape[3], stride: stride,
            matrix: matrix, bias: bias)
    }

    /// Memory of as many floats as `count` says, which `fill` has to write.
    private func prepared(
        _ count: (OpaquePointer) -> Int,
        _ fill: (OpaquePointer, UnsafeMutablePointer<Float>) -> Void
    ) -> DeviceTensor {
        withEngine { engine in
            let room = unsafe engine.room(count(engine.handle))
            unsafe fill(engine.handle, room.base)
            return room
        }
    }

    package func make(_ request: KernelRequest) -> DeviceTensor {
        let output = DeviceTensor(
            shape: request.shape, storage: HostBuffer(count: request.shape.count))
        withEngine { engine in
            let workspace = unsafe engine.workspace(request.kernel.workspace(on: engine.handle))
            let pointers = unsafe KernelPointers(
                first: request.first.base, second: request.second?.base,
                third: request.third?.base, workspace: workspace, output: output.base)
            unsafe request.kernel.run(on: engine.handle, pointers)
        }
        progress.advance()
        return output
    }

    package func bytes(_ x: DeviceTensor) -> [UInt8]? {
        let count = x.shape.count
        var isFinite = true
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
            isFinite = withEngine { engine in
                unsafe tsr_to_bytes(engine.handle, count, x.base, buffer.baseAddress)
            }
            progress.advance()
            written = count
        }
        return isFinite ? bytes : nil
    }

    package func recorder() -> PlanRecorder? { PlanRecorder(for: self) }
}
