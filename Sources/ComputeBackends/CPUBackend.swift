internal import CKernels
internal import Synchronization
internal import Tensors

/// The networks' operations on this machine's processor, by the kernels in `CKernels` and
/// single-threaded OpenBLAS per tile.
package final class CPUBackend: KernelBackend {
    /// Of the kernels; OpenBLAS chooses its own.
    package let instructionSet: InstructionSet
    /// Threads that compute, the caller's among them.
    package let threads: Int
    package let computeClass: ComputeClass
    package let progress = ProgressCounter()

    private let engine: Mutex<Engine>

    /// How many threads a backend gets when nobody says: one per processor that this process may
    /// use.
    package static var defaultThreads: Int { Int(tsr_processor_count()) }

    /// Starts `threads` threads, the caller's among them. Throws ``BackendError`` when the
    /// machine lacks the instruction set, the number is out of range, or there is no memory for
    /// so many.
    package init(instructionSet: InstructionSet, threads: Int) throws(BackendError) {
        let most = Int(TSR_MAXIMUM_THREADS)
        guard instructionSet.isAvailable else {
            throw .unavailableInstructionSet(
                asked: instructionSet.rawValue, available: InstructionSet.available)
        }
        guard (1...most).contains(threads) else { throw .threadCount(threads, most: most) }
        try Self.reserveMemory(threads: threads)
        guard let handle = unsafe tsr_engine_create(instructionSet.code, Int32(threads)) else {
            throw .cannotStart(threads: threads)
        }
        self.instructionSet = instructionSet
        self.threads = threads
        computeClass = ComputeClass(
            backend: "cpu", instructionSet: instructionSet.rawValue, blasCore: BLASLibrary.core)
        unsafe engine = Mutex(Engine(handle: handle))
    }

    /// Under a memory limit, OpenBLAS gets now what it would otherwise wait for without end.
    private static func reserveMemory(threads: Int) throws(BackendError) {
        let bytes = threads * Int(TSR_BLAS_BUFFER)
        let purpose = "the matrix products of \(threads) thread\(threads == 1 ? "" : "s")"
        do throws(MemoryShortage) {
            try MemoryLimit.check(bytes, for: purpose, leaving: MemoryLimit.leftAtStart)
        } catch {
            throw .outOfMemory(error)
        }
        guard tsr_reserve_blas(Int32(threads)) else {
            throw .outOfMemory(
                MemoryShortage(
                    purpose: purpose, wanted: bytes, rest: 0, limit: MemoryLimit.current))
        }
    }

    /// The kernels' engine and the workspace that the operation in hand may scribble on.
    ///
    /// `@safe`: the handle lives exactly as long as this value.
    @safe
    struct Engine: ~Copyable {
        let handle: OpaquePointer
        private var buffer = HostBuffer(count: 1)
        private var slab = HostBuffer(count: 1)
        /// Floats of the slab that are taken.
        private var taken = 1
        /// 16 MB: so large that the system maps it by few large pages, which small products would
        /// otherwise spend much of their time looking up.
        private static let slabFloats = 1 << 22

        init(handle: OpaquePointer) { unsafe self.handle = handle }

        deinit { unsafe tsr_engine_destroy(handle) }

        /// At least `count` floats, 64-byte aligned.
        mutating func workspace(_ count: Int) -> UnsafeMutablePointer<Float> {
            if buffer.capacity < count { buffer = HostBuffer(count: count) }
            return unsafe buffer.base
        }

        /// Memory for weights, 64-byte aligned, which is given back with the last tensor in it.
        mutating func room(_ count: Int) -> DeviceTensor {
            let shape = Shape(count)
            guard count <= Self.slabFloats / 2 else {
                return DeviceTensor(shape: shape, storage: HostBuffer(count: count))
            }
            if slab.capacity - taken < count {
                slab = HostBuffer(count: Self.slabFloats)
                taken = 0
            }
            defer { taken += (count + 15) / 16 * 16 }
            return DeviceTensor(shape: shape, storage: slab, offset: taken)
        }
    }

    /// Lets `body` have the engine, alone.
    func withEngine<Result: Sendable>(_ body: (inout Engine) -> Result) -> Result {
        engine.withLock { body(&$0) }
    }

    /// Floats of scratch memory that a kernel wants here.
    func workspace(_ kernel: Kernel) -> Int {
        withEngine { engine in unsafe kernel.workspace(on: engine.handle) }
    }

    /// Runs a plan's operations in order.
    func run(_ operations: [ForwardPlan.Operation], in memory: ForwardPlan.Memory) {
        withEngine { engine in
            for index in operations.indices {
                unsafe operations[index].run(on: engine.handle, in: memory)
                progress.advance()
            }
        }
    }
}
