import Tensors
import TestSupport
import Testing

@testable import ComputeBackends

@Suite("Backend", .watched)
struct BackendTests {
    @Test("the best instruction set is chosen unless the variable asks for another")
    func chosen() throws {
        #expect(InstructionSet.available.contains(.scalar))
        #expect(try InstructionSet.chosen(asked: nil) == InstructionSet.available.max())
        #expect(try InstructionSet.chosen(asked: "") == InstructionSet.available.max())
        for set in InstructionSet.available {
            #expect(try InstructionSet.chosen(asked: set.rawValue) == set)
        }
    }

    @Test("a wish that cannot be met is an error that says what there is")
    func unavailable() throws {
        for wish in ["sse9", "AVX2", " "] {
            let error = #expect(throws: BackendError.self) {
                try InstructionSet.chosen(asked: wish)
            }
            #expect(error?.description.contains("TESSERA_ISA=\(wish)") == true)
            #expect(error?.description.contains("scalar") == true)
        }
        for set in InstructionSet.allCases where !set.isAvailable {
            #expect(throws: BackendError.self) { try makeBackend(set) }
        }
    }

    @Test("thread counts have bounds", arguments: [0, -1, 257, Int.max])
    func threadCount(_ threads: Int) throws {
        #expect(throws: BackendError.threadCount(threads, most: 256)) {
            try makeBackend(.scalar, threads: threads)
        }
    }

    @Test("the compute class names backend, instruction set and OpenBLAS core")
    func computeClass() throws {
        let backend = try makeBackend(.scalar, threads: 1)
        #expect(!BLASLibrary.core.isEmpty)
        #expect(BLASLibrary.configuration.hasPrefix("OpenBLAS 0."))
        #expect(backend.computeClass.description == "cpu/scalar/\(BLASLibrary.core)")
        #expect(CPUBackend.defaultThreads >= 1)
    }

    @Test("threads do not enter the compute class")
    func computeClassWithoutThreads() throws {
        let one = try makeBackend(.scalar, threads: 1).computeClass
        #expect(try makeBackend(.scalar, threads: 3).computeClass == one)
    }

    @Test("every operation moves the progress counter on")
    func progress() throws {
        for backend in [try makeBackend(.scalar) as any ComputeBackend, ReferenceBackend()] {
            var seen = backend.progress.count
            for operation in OperationCase.all {
                _ = operation.run(backend)
                #expect(backend.progress.count > seen, "\(operation.testDescription)")
                seen = backend.progress.count
            }
        }
    }

    @Test("memory is aligned to cache lines, that of large blocks to large pages")
    func alignment() {
        for count in [0, 1, 17, 1 << 20] {
            let buffer = HostBuffer(count: count)
            #expect(buffer.capacity >= count)
            #expect(Int(bitPattern: buffer.base) % (count == 1 << 20 ? 1 << 21 : 64) == 0)
        }
    }

    @Test("a tensor's views share its elements")
    func views() {
        let tensor = numbers(3, 2, 5)
        let all = tensor.elements
        #expect(tensor.items(1..<3).elements == Array(all[10...]))
        #expect(tensor.items(1..<2).reshaped(to: Shape(1, 10, 1)).elements == Array(all[10..<20]))
        #expect(tensor.items(1..<3).items(1..<2).elements == Array(all[20...]))
        #expect(tensor.positions == 2 && tensor.channels == 5 && tensor.items == 3)
    }

    @Test("engines start and stop without leaving threads behind")
    func startAndStop() throws {
        for _ in 0..<50 {
            let backend = try makeBackend(.scalar, threads: 4)
            _ = backend.activation(numbers(1, 40_000, 2), .silu)
        }
    }
}
