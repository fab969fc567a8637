internal import Synchronization
package import Tensors

/// A backend that computes nothing and remembers everything: a network that is run on it once
/// becomes a ``ForwardPlan``.
///
/// The tensors it makes have shapes but no elements. Tensors that do have elements, such as
/// weights, become constants of the plan.
package final class PlanRecorder: KernelBackend {
    package let computeClass: ComputeClass
    package let progress = ProgressCounter()
    private let backend: CPUBackend
    private let recording = Mutex(PlanRecording())

    /// Records what `backend` shall run.
    init(for backend: CPUBackend) {
        self.backend = backend
        computeClass = backend.computeClass
    }

    /// A tensor that the plan's user fills before a run; the first is input 0, and so on.
    package func input(_ shape: Shape) -> DeviceTensor {
        tensor(shape, .value(recording.withLock { $0.addInput(floats: shape.count) }))
    }

    /// A tensor that the plan's user brings along with every run and that is read where it lies;
    /// the first is number 0, and so on.
    package func boundInput(_ shape: Shape) -> DeviceTensor {
        tensor(shape, .bound(recording.withLock { $0.addBound(floats: shape.count) }))
    }

    /// The plan that makes `output`, which an operation of this recorder made. Throws
    /// ``MemoryShortage`` when there is no room for its activations.
    package func plan(output: DeviceTensor) throws(MemoryShortage) -> ForwardPlan {
        guard case .value(let value, offset: 0) = operand(output) else {
            preconditionFailure("a plan's output is what one of its operations makes")
        }
        return try ForwardPlan(
            recording.withLock { $0 }, output: value, shape: output.shape, on: backend)
    }

    package func make(_ request: KernelRequest) -> DeviceTensor {
        let operands = [request.first, request.second, request.third].map { $0.map(operand) }
        let workspace = backend.workspace(request.kernel)
        let value = recording.withLock {
            $0.addStep(
                request.kernel, operands.map { $0 ?? .none }, floats: request.shape.count,
                workspace: workspace)
        }
        progress.advance()
        return tensor(request.shape, .value(value))
    }

    private func tensor(_ shape: Shape, _ kind: PlannedValue.Kind) -> DeviceTensor {
        DeviceTensor(
            shape: shape, planned: PlannedValue(recorder: ObjectIdentifier(self), kind: kind))
    }

    private func operand(_ tensor: DeviceTensor) -> PlanRecording.Operand {
        guard case .planned(let planned) = tensor.storage else { return .memory(tensor) }
        precondition(planned.recorder == ObjectIdentifier(self), "a tensor of another plan")
        return switch planned.kind {
        case .value(let number): .value(number, offset: tensor.offset)
        case .bound(let number): .bound(number, offset: tensor.offset)
        }
    }
}

// MARK: - What is not recorded

extension PlanRecorder {
    /// Prepared at once, by the backend that the plan is for.
    package func linearWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        preparation: Preparation,
        name: String
    ) -> LinearWeights {
        backend.linearWeights(weight, bias: bias, preparation: preparation, name: name)
    }

    /// Prepared at once, by the backend that the plan is for.
    package func convolutionWeights(
        _ weight: StoredTensor,
        bias: DeviceTensor?,
        stride: Int,
        preparation: Preparation,
        name: String
    ) -> ConvolutionWeights {
        backend.convolutionWeights(
            weight, bias: bias, stride: stride, preparation: preparation, name: name)
    }

    /// Traps: there are no pixels before the plan runs.
    package func bytes(_ x: DeviceTensor) -> [UInt8]? {
        preconditionFailure("pixels are read from a plan's output, not while it is recorded")
    }
}
