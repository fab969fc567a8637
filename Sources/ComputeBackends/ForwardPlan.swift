internal import Synchronization
internal import Tensors

/// A network's operations for inputs of one shape, and the memory of all its activations, laid out
/// ahead: running it allocates nothing and computes the same bytes as the network itself does.
///
/// Runs come one at a time, from any thread. The memory belongs to the plan and goes with it.
package final class ForwardPlan: Sendable {
    /// One kernel and where its operands lie.
    struct Operation: Sendable {
        let kernel: Kernel
        let first: Place
        let second: Place
        let third: Place
        /// Floats from the start of the arena.
        let workspace: Int
        let output: Int
    }

    enum Place: Sendable {
        case none
        /// Floats from the start of the arena.
        case arena(Int)
        /// Floats from the start of what comes with the run under this number.
        case bound(Int, offset: Int)
        case memory(DeviceTensor)
    }

    /// A tensor that comes along with a run, from one of its items on.
    package struct Bound: Sendable {
        let tensor: DeviceTensor
        let offset: Int

        /// `tensor` without its items before `firstItem`.
        package init(_ tensor: DeviceTensor, firstItem: Int = 0) {
            precondition((0..<max(tensor.items, 1)).contains(firstItem), "no such item")
            self.tensor = tensor
            offset = firstItem * (tensor.count / max(tensor.items, 1))
        }

        var count: Int { tensor.count - offset }
    }

    /// What a run touches; the array has one place for each bound tensor.
    struct Memory: Sendable {
        let arena: HostBuffer
        var bound: [Bound?]
    }

    let operations: [Operation]
    /// Where the inputs lie in the arena, in floats.
    let inputs: [Range<Int>]
    /// Floats that each bound tensor has at least.
    let bound: [Int]
    /// In the arena.
    private let output: DeviceTensor
    private let backend: CPUBackend
    private let memory: Mutex<Memory>

    /// Bytes of memory for all activations and scratch.
    package let arenaBytes: Int
    /// Bytes in use at the worst moment; ``arenaBytes`` exceeds it by what does not fit together.
    package let peakBytes: Int
    /// Kernels that a run calls.
    package var operationCount: Int { operations.count }

    /// Lays out a recording whose value `output`, of the given shape, is wanted. Throws
    /// ``MemoryShortage`` when there is no room for its activations.
    init(
        _ recording: PlanRecording, output: Int, shape: Shape, on backend: CPUBackend
    ) throws(MemoryShortage) {
        let places = recording.places(output: output)
        func place(_ operand: PlanRecording.Operand) -> Place {
            switch operand {
            case .none: .none
            case .value(let number, let offset): .arena(places.values[number] + offset)
            case .bound(let number, let offset): .bound(number, offset: offset)
            case .memory(let tensor): .memory(tensor)
            }
        }
        operations = recording.steps.enumerated().map { time, step in
            Operation(
                kernel: step.kernel, first: place(step.operands[0]),
                second: place(step.operands[1]), third: place(step.operands[2]),
                workspace: places.workspaces[time], output: places.values[step.output])
        }
        inputs = recording.values.indices.filter { recording.values[$0].isInput }.map {
            places.values[$0]..<(places.values[$0] + recording.values[$0].floats)
        }
        bound = recording.bound
        let arena = try HostBuffer(count: places.size, for: "a pass through the network")
        self.output = DeviceTensor(shape: shape, storage: arena, offset: places.values[output])
        self.backend = backend
        memory = Mutex(
            Memory(arena: arena, bound: Array(repeating: nil, count: recording.bound.count)))
        arenaBytes = places.size * MemoryLayout<Float>.stride
        peakBytes = places.peak * MemoryLayout<Float>.stride
    }

    /// Computes once. Calls `fill` for every input, whose elements it has to write, and `bind` for
    /// every bound tensor, then lets `read` see the output, whose elements are the next run's
    /// when it returns. Neither may use the plan. Allocates nothing itself.
    package func run<Result: Sendable>(
        fill: (_ input: Int, _ elements: UnsafeMutableBufferPointer<Float>) -> Void,
        bind: (_ number: Int) -> Bound,
        read: (DeviceTensor) -> Result
    ) -> Result {
        memory.withLock { memory in
            for index in inputs.indices {
                let range = inputs[index]
                unsafe fill(
                    index,
                    UnsafeMutableBufferPointer(
                        start: memory.arena.base + range.lowerBound, count: range.count))
            }
            for index in bound.indices {
                let tensor = bind(index)
                precondition(tensor.count >= bound[index], "a bound tensor that is too small")
                memory.bound[index] = tensor
            }
            backend.run(operations, in: memory)
            for index in bound.indices { memory.bound[index] = nil }
            return read(output)
        }
    }
}

extension ForwardPlan.Operation {
    /// Computes on an engine of the plan's backend.
    func run(on engine: OpaquePointer, in memory: ForwardPlan.Memory) {
        guard let first = unsafe memory.pointer(first) else {
            preconditionFailure("every kernel has an operand")
        }
        unsafe kernel.run(
            on: engine,
            KernelPointers(
                first: first, second: memory.pointer(second), third: memory.pointer(third),
                workspace: memory.arena.base + workspace, output: memory.arena.base + output))
    }
}

extension ForwardPlan.Memory {
    fileprivate func pointer(_ place: ForwardPlan.Place) -> UnsafePointer<Float>? {
        switch place {
        case .none: return nil
        case .arena(let offset): return unsafe UnsafePointer(arena.base + offset)
        case .memory(let tensor): return unsafe UnsafePointer(tensor.base)
        case .bound(let number, let offset):
            guard let bound = bound[number] else {
                preconditionFailure("every bound tensor came with the run")
            }
            return unsafe UnsafePointer(bound.tensor.base + bound.offset + offset)
        }
    }
}
