import Tensors
import TestSupport
import Testing

@testable import ComputeBackends

/// An operation whose arithmetic is known.
private struct Counted: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let kind: OperationRecord.Kind
    let flops: Double
    let floats: Int
    let operation: @Sendable (any ComputeBackend) -> DeviceTensor
}

private let counted: [Counted] = [
    Counted(
        testDescription: "a linear layer", kind: .linear, flops: 2 * 2 * 5 * 3 * 4,
        floats: 2 * 5 * 3 + 3 * 4 + 2 * 5 * 4
    ) { backend in
        backend.linear(numbers(2, 5, 3), backend.linearWeights(numbers(4, 3), bias: nil))
    },
    Counted(
        testDescription: "a linear layer with a residual", kind: .linear, flops: 2 * 5 * 3 * 4,
        floats: 5 * 3 + 3 * 4 + 2 * 5 * 4
    ) { backend in
        backend.linear(
            numbers(1, 5, 3), backend.linearWeights(numbers(4, 3), bias: numbers(4)),
            residual: numbers(1, 5, 4))
    },
    Counted(
        testDescription: "a gated linear layer", kind: .linear, flops: 2 * 5 * 3 * 4,
        floats: 5 * 3 + 3 * 4 + 5 * 2
    ) { backend in
        backend.linearGEGLU(numbers(1, 5, 3), backend.linearWeights(numbers(4, 3), bias: nil))
    },
    Counted(
        testDescription: "a convolution", kind: .convolution, flops: 2 * 6 * 8 * 3 * 4 * 9,
        floats: 6 * 8 * 3 + 3 * 4 * 9 + 6 * 8 * 4
    ) { backend in
        let weights = backend.convolutionWeights(numbers(4, 3, 3, 3), bias: nil)
        return backend.convolution(numbers(1, 6, 8, 3), weights, padding: Padding(1))
    },
    Counted(
        testDescription: "a convolution of every second position", kind: .convolution,
        flops: 2 * 3 * 4 * 3 * 4 * 9, floats: 6 * 8 * 3 + 3 * 4 * 9 + 3 * 4 * 4
    ) { backend in
        let weights = backend.convolutionWeights(numbers(4, 3, 3, 3), bias: nil, stride: 2)
        return backend.convolution(numbers(1, 6, 8, 3), weights, padding: Padding(1))
    },
    Counted(
        testDescription: "attention of four items on two texts", kind: .attention,
        flops: 4 * 4 * 6 * 5 * 8, floats: 2 * 4 * 6 * 8 + 2 * 2 * 5 * 8
    ) { backend in
        backend.attention(
            queries: numbers(4, 6, 8), keys: numbers(2, 5, 8), values: numbers(2, 5, 8), heads: 2,
            causal: false)
    },
    Counted(
        testDescription: "causal attention, each token on itself and those before",
        kind: .attention, flops: 4 * (1 + 2 + 3 + 4 + 5) * 8, floats: 4 * 5 * 8
    ) { backend in
        let x = numbers(1, 5, 8)
        return backend.attention(queries: x, keys: x, values: x, heads: 2, causal: true)
    },
    Counted(
        testDescription: "a group norm", kind: .groupNorm, flops: 0, floats: 2 * 4 * 4 * 8
    ) { backend in
        let weights = NormWeights(scale: numbers(8), shift: numbers(8))
        return backend.groupNorm(
            numbers(1, 4, 4, 8), weights, groups: 2, epsilon: 1e-5, silu: true)
    },
    Counted(testDescription: "a sum", kind: .add, flops: 0, floats: 3 * 4 * 8) { backend in
        backend.add(numbers(1, 4, 8), numbers(1, 4, 8, seed: 2))
    },
]

@Suite("Profiling", .watched)
struct ProfilingTests {
    @Test(
        "an operation's arithmetic and traffic are counted, its answer is unchanged",
        arguments: counted
    )
    private func counts(_ expected: Counted) throws {
        let base = try makeBackend(.scalar)
        let watcher = ProfilingBackend(base)
        let (answer, operations) = watcher.profile { expected.operation(watcher) }
        let operation = try #require(operations.first)
        #expect(operations.count == 1)
        #expect(operation.kind == expected.kind)
        #expect(operation.flops == expected.flops)
        #expect(operation.bytes == 4 * Double(expected.floats))
        #expect(operation.duration > .zero && operation.name.isEmpty)
        #expect(sameBytes(answer, expected.operation(base)))
    }

    @Test("a layer is called what its file calls it")
    func names() throws {
        let watcher = ProfilingBackend(try makeBackend(.scalar))
        let linear = watcher.linearWeights(
            StoredTensor(numbers(4, 3)), bias: nil, preparation: .ahead, name: "mid.to_q")
        let convolution = watcher.convolutionWeights(
            StoredTensor(numbers(4, 3, 3, 3)), bias: nil, stride: 1, preparation: .onTheWay,
            name: "conv_in")
        let operations = watcher.profile {
            _ = watcher.linear(numbers(1, 5, 3), linear)
            _ = watcher.linearGEGLU(numbers(1, 5, 3), linear)
            _ = watcher.convolution(numbers(1, 6, 8, 3), convolution, padding: Padding(1))
        }.operations
        #expect(operations.map(\.name) == ["mid.to_q", "mid.to_q", "conv_in"])
    }

    @Test("a recorder's operations are counted although it computes nothing")
    func recorded() throws {
        let recorder = try #require(try makeBackend(.scalar).recorder())
        let watcher = ProfilingBackend(recorder)
        let weights = watcher.linearWeights(numbers(4, 3), bias: nil)
        let operations = watcher.profile {
            watcher.linear(recorder.input(Shape(2, 5, 3)), weights)
        }.operations
        #expect(operations.map(\.flops) == [240])
    }

    @Test("only what happens while somebody looks is recorded, in order")
    func scope() throws {
        let base = try makeBackend(.scalar)
        let watcher = ProfilingBackend(base)
        let x = watcher.add(numbers(1, 4, 8), numbers(1, 4, 8))
        let operations = watcher.profile {
            _ = watcher.activation(x, .silu)
            _ = watcher.geglu(x)
            _ = base.add(x, x)
        }.operations
        _ = watcher.add(x, x)
        #expect(operations.map(\.kind) == [.activation, .geglu])
        #expect(watcher.profile {}.operations.isEmpty)
        #expect(watcher.progress.count == 5)
        #expect(watcher.computeClass == base.computeClass)
    }
}
