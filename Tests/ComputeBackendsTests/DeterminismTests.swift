import ComputeBackends
import Tensors
import TestSupport
import Testing

/// Operations large enough to be cut into many tiles, the last ones partial.
private let large: [OperationCase] = [
    OperationCase("linear, many rows") {
        $0.linear(
            numbers(2, 700, 70), $0.linearWeights(numbers(130, 70), bias: numbers(130)),
            residual: numbers(2, 700, 130), activation: .gelu)
    },
    OperationCase("linear, many columns") {
        $0.linear(
            numbers(2, 19, 300), $0.linearWeights(numbers(1300, 300), bias: numbers(1300)))
    },
    OperationCase("convolution") {
        $0.convolution(
            numbers(2, 33, 29, 34),
            $0.convolutionWeights(numbers(70, 34, 3, 3), bias: numbers(70)),
            padding: Padding(1), itemBias: numbers(2, 70), residual: numbers(2, 33, 29, 70))
    },
    OperationCase("self-attention") {
        $0.attention(
            queries: numbers(2, 333, 48, seed: 1), keys: numbers(2, 333, 48, seed: 2),
            values: numbers(2, 333, 48, seed: 3), heads: 3, causal: false)
    },
    OperationCase("group normalisation") {
        $0.groupNorm(
            numbers(2, 40, 37, 48), NormWeights(scale: numbers(48), shift: numbers(48)),
            groups: 6, epsilon: 1e-5, silu: true)
    },
    OperationCase("layer normalisation") {
        $0.layerNorm(
            numbers(2, 333, 70), NormWeights(scale: numbers(70), shift: numbers(70)),
            epsilon: 1e-5)
    },
    OperationCase("geglu") { $0.geglu(numbers(2, 333, 140)) },
    OperationCase("activation") { $0.activation(numbers(2, 9000, 3), .silu) },
    OperationCase("upsampling") {
        $0.upsampleNearest(numbers(2, 33, 29, 5), height: 65, width: 58)
    },
]

@Suite("Same bytes", .watched)
struct DeterminismTests {
    @Test(
        "any number of threads gives the same bytes, time after time",
        arguments: InstructionSet.available)
    func threads(_ set: InstructionSet) throws {
        let one = try makeBackend(set, threads: 1)
        let others = try [2, 3, 7].map { try makeBackend(set, threads: $0) }
        for operation in large + OperationCase.all {
            let expected = operation.run(one)
            for backend in others {
                for _ in 0..<3 {
                    #expect(
                        sameBytes(operation.run(backend), expected),
                        "\(operation.testDescription), \(backend.threads) threads")
                }
            }
        }
    }

    @Test("an item's answer does not depend on the items beside it")
    func company() throws {
        let backend = try makeBackend(.chosen(), threads: 2)
        let alone = linearOf(items: 0..<1, on: backend)
        let together = linearOf(items: 0..<5, on: backend)
        #expect(sameBytes(alone, together.items(0..<1)))
        #expect(
            sameBytes(
                convolved(items: 3..<4, on: backend),
                convolved(items: 0..<5, on: backend).items(3..<4)))
        #expect(
            sameBytes(
                normalized(items: 3..<4, on: backend),
                normalized(items: 0..<5, on: backend).items(3..<4)))
        #expect(
            sameBytes(
                attended(items: 2..<4, on: backend),
                attended(items: 0..<4, on: backend).items(2..<4)))
    }

    private func linearOf(items: Range<Int>, on backend: CPUBackend) -> DeviceTensor {
        backend.linear(
            numbers(5, 64, 96).items(items), backend.linearWeights(numbers(288, 96), bias: nil))
    }

    private func convolved(items: Range<Int>, on backend: CPUBackend) -> DeviceTensor {
        backend.convolution(
            numbers(5, 11, 9, 40).items(items),
            backend.convolutionWeights(numbers(48, 40, 3, 3), bias: nil), padding: Padding(1))
    }

    private func normalized(items: Range<Int>, on backend: CPUBackend) -> DeviceTensor {
        backend.groupNorm(
            numbers(5, 99, 24).items(items),
            NormWeights(scale: numbers(24), shift: numbers(24)), groups: 4, epsilon: 1e-5,
            silu: false)
    }

    /// Items 0 and 1 look at the first text, 2 and 3 at the second.
    private func attended(items: Range<Int>, on backend: CPUBackend) -> DeviceTensor {
        let texts = (items.lowerBound / 2)..<((items.upperBound + 1) / 2)
        return backend.attention(
            queries: numbers(4, 150, 32).items(items),
            keys: numbers(2, 77, 32, seed: 2).items(texts),
            values: numbers(2, 77, 32, seed: 3).items(texts), heads: 4, causal: false)
    }

    @Test("tiles of large products hold what the formula says", arguments: InstructionSet.available)
    func largeProducts(_ set: InstructionSet) throws {
        let backend = try makeBackend(set, threads: 2)
        let reference = ReferenceBackend()
        let x = numbers(1, 700, 70)
        func linear(_ backend: any ComputeBackend, _ x: DeviceTensor) -> DeviceTensor {
            backend.linear(x, backend.linearWeights(numbers(130, 70), bias: numbers(130)))
        }
        // Rows are independent: some of them, by themselves, on the reference.
        let all = linear(backend, x).reshaped(to: Shape(700, 130))
        for row in [0, 127, 128, 255, 256, 600, 699] {
            let expected = linear(
                reference, x.reshaped(to: Shape(700, 1, 70)).items(row..<(row + 1)))
            #expect(
                difference(
                    all.items(row..<(row + 1)), expected.reshaped(to: Shape(1, 130))) < 2e-5)
        }
    }

    @Test("large convolutions hold what the formula says", arguments: InstructionSet.available)
    func largeConvolution(_ set: InstructionSet) throws {
        let backend = try makeBackend(set, threads: 2)
        let (height, width, inputs, outputs) = (33, 40, 40, 70)
        let x = numbers(1, height, width, inputs)
        func convolve(_ backend: any ComputeBackend, _ x: DeviceTensor) -> DeviceTensor {
            backend.convolution(
                x, backend.convolutionWeights(numbers(outputs, inputs, 3, 3), bias: nil),
                padding: Padding(top: 0, left: 1, bottom: 0, right: 1))
        }
        // Three rows of the image give one row of the result.
        let all = convolve(backend, x).reshaped(to: Shape(height - 2, width, outputs))
        let rows = x.reshaped(to: Shape(height, width, inputs))
        for row in [0, 3, 15, 30] {
            let band = rows.items(row..<(row + 3)).reshaped(to: Shape(1, 3, width, inputs))
            let expected = convolve(ReferenceBackend(), band)
            #expect(
                difference(
                    all.items(row..<(row + 1)), expected.reshaped(to: Shape(1, width, outputs)))
                    < 2e-5)
        }
    }

    @Test("attention over thousands of keys holds what the formula says")
    func manyKeys() throws {
        let backend = try makeBackend(.chosen(), threads: 2)
        let (count, size) = (6000, 4)
        let queries = numbers(1, 200, size, seed: 1, scale: 4)
        let keys = numbers(1, count, size, seed: 2, scale: 4)
        let values = numbers(1, count, size, seed: 3)
        func attend(_ backend: any ComputeBackend, _ queries: DeviceTensor) -> DeviceTensor {
            backend.attention(
                queries: queries, keys: keys, values: values, heads: 1, causal: false)
        }
        let all = attend(backend, queries).reshaped(to: Shape(200, 1, size))
        for row in [0, 86, 199] {
            let one = queries.reshaped(to: Shape(200, 1, size)).items(row..<(row + 1))
            #expect(
                difference(
                    all.items(row..<(row + 1)), attend(ReferenceBackend(), one)) < 1e-5)
        }
    }

    @Test("callers on many tasks share one backend")
    func concurrentCallers() async throws {
        let backend = try makeBackend(.chosen(), threads: 3)
        let expected = large.map { $0.run(backend) }
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    zip(large, expected).allSatisfy { sameBytes($0.run(backend), $1) }
                }
            }
            for await same in group { #expect(same) }
        }
    }
}
