import CAllocationCounter
import Tensors
import TestSupport
import Testing

@testable import ComputeBackends

@Suite("Forward plans", .watched)
struct PlanTests {
    /// The plan of what `network` makes of inputs of these shapes.
    private func plan(
        _ shapes: [Shape],
        bound: [Shape] = [],
        on backend: any ComputeBackend,
        _ network: (any ComputeBackend, [DeviceTensor], [DeviceTensor]) -> DeviceTensor
    ) throws -> ForwardPlan {
        let recorder = try #require(backend.recorder())
        let inputs = shapes.map { recorder.input($0) }
        let along = bound.map { recorder.boundInput($0) }
        return try recorder.plan(output: network(recorder, inputs, along))
    }

    /// What the plan makes of these tensors.
    private func run(
        _ plan: ForwardPlan,
        _ inputs: [DeviceTensor] = [],
        bound: [ForwardPlan.Bound] = []
    ) -> DeviceTensor {
        plan.run(
            fill: { index, buffer in
                inputs[index].withElements { _ = buffer.update(from: $0) }
            },
            bind: { bound[$0] },
            read: { output in
                DeviceTensor(shape: output.shape) { buffer in
                    output.withElements { _ = buffer.update(from: $0) }
                }
            })
    }

    /// A little of everything: a skip, a chain that may be overwritten, scratch memory.
    private func network(
        _ backend: any ComputeBackend,
        _ inputs: [DeviceTensor],
        _ bound: [DeviceTensor]
    ) -> DeviceTensor {
        let weights = backend.convolutionWeights(numbers(24, 12, 3, 3), bias: numbers(24))
        let norm = NormWeights(scale: numbers(24), shift: numbers(24, seed: 3))
        let start = backend.convolution(inputs[0], weights, padding: Padding(1))
        var hidden = backend.groupNorm(start, norm, groups: 4, epsilon: 1e-5, silu: true)
        hidden = backend.activation(hidden, .gelu)
        hidden = backend.layerNorm(hidden, norm, epsilon: 1e-5)
        hidden = backend.attention(
            queries: hidden, keys: bound[0], values: bound[1], heads: 3, causal: false)
        hidden = backend.add(hidden, start)
        let joined = backend.concatenateChannels(hidden, start)
        let wide = backend.linearWeights(numbers(80, 48), bias: numbers(80))
        return backend.linearGEGLU(joined, wide)
    }

    private let inputShape = Shape(2, 7, 5, 12)
    private let textShape = Shape(2, 9, 24)

    @Test("every operation in a plan gives the bytes it gives at once", arguments: [1, 2, 3])
    func operations(_ threads: Int) throws {
        let backend = try makeBackend(.chosen(), threads: threads)
        for operation in OperationCase.all {
            let plan = try plan([], on: backend) { recorder, _, _ in operation.run(recorder) }
            #expect(
                sameBytes(run(plan), operation.run(backend)), "\(operation.testDescription)")
        }
    }

    @Test("a plan follows its inputs and what is bound, run after run")
    func inputs() throws {
        let backend = try makeBackend(.chosen())
        let plan = try plan([inputShape], bound: [textShape, textShape], on: backend, network)
        // Four texts, of which a run takes the first two or the last.
        let keys = numbers(4, 9, 24, seed: 11)
        let values = numbers(4, 9, 24, seed: 12)
        for seed in [1, 2, 1] {
            for first in [0, 2] {
                let x = numbers(2, 7, 5, 12, seed: seed)
                let texts = first..<(first + 2)
                let expected = network(backend, [x], [keys.items(texts), values.items(texts)])
                let found = run(
                    plan, [x],
                    bound: [keys, values].map { ForwardPlan.Bound($0, firstItem: first) })
                #expect(sameBytes(found, expected), "input \(seed), texts \(texts)")
            }
        }
    }

    @Test("views of planned tensors are read where they begin")
    func views() throws {
        let backend = try makeBackend(.chosen())
        func network(_ backend: any ComputeBackend, _ x: DeviceTensor) -> DeviceTensor {
            // Both halves of an operation's output, then one overwritten by itself.
            let twice = backend.add(x, x)
            let (first, last) = (twice.items(0..<1), twice.items(1..<2))
            return backend.activation(
                backend.add(last, first).reshaped(to: Shape(1, 15, 1)), .silu)
        }
        let x = numbers(2, 3, 5)
        let plan = try plan([x.shape], on: backend) { recorder, inputs, _ in
            network(recorder, inputs[0])
        }
        #expect(sameBytes(run(plan, [x]), network(backend, x)))
    }

    @Test("what nobody wants any more is written over, what somebody wants is not")
    func overwriting() throws {
        let backend = try makeBackend(.scalar, threads: 1)
        let shape = Shape(1, 64, 16)
        let bytes = shape.count * 4
        let chain = try plan([shape], on: backend) { backend, inputs, _ in
            (0..<6).reduce(inputs[0]) { x, _ in backend.activation(x, .silu) }
        }
        // The input stays for the next run; all the rest is one array.
        #expect(chain.arenaBytes == 2 * bytes)
        #expect(chain.peakBytes == chain.arenaBytes)
        let kept = try plan([shape], on: backend) { backend, inputs, _ in
            let a = backend.activation(inputs[0], .silu)
            let b = backend.activation(a, .gelu)
            return backend.add(backend.activation(b, .silu), a)
        }
        #expect(kept.arenaBytes == 3 * bytes)
        let x = numbers(1, 64, 16)
        let a = backend.activation(x, .silu)
        let b = backend.activation(a, .gelu)
        #expect(sameBytes(run(kept, [x]), backend.add(backend.activation(b, .silu), a)))
    }

    @Test("operations' places never overlap what they read, but where they may")
    func places() throws {
        let backend = try makeBackend(.chosen(), threads: 3)
        let plan = try plan([inputShape], bound: [textShape, textShape], on: backend, network)
        #expect(plan.operationCount == 8)
        #expect(plan.arenaBytes >= plan.peakBytes)
        for operation in plan.operations {
            #expect(operation.output % 16 == 0 && operation.workspace % 16 == 0)
            for (number, place) in [operation.first, operation.second, operation.third].enumerated()
            {
                guard case .arena(let offset) = place, offset == operation.output else { continue }
                #expect(number == 0 && operation.kernel.mayOverwriteFirst)
            }
        }
    }

    @Test("the progress counter moves on with every operation of a run")
    func progress() throws {
        let backend = try makeBackend(.chosen())
        let plan = try plan([inputShape], bound: [textShape, textShape], on: backend, network)
        let text = ForwardPlan.Bound(numbers(2, 9, 24))
        let before = backend.progress.count
        _ = run(plan, [numbers(2, 7, 5, 12)], bound: [text, text])
        #expect(backend.progress.count == before + UInt64(plan.operationCount))
    }

    @Test("runs from many threads come one at a time")
    func manyThreads() async throws {
        let backend = try makeBackend(.chosen())
        let plan = try plan([inputShape], bound: [textShape, textShape], on: backend, network)
        let texts = numbers(2, 9, 24)
        let expected = (1...4).map { seed in
            network(backend, [numbers(2, 7, 5, 12, seed: seed)], [texts, texts])
        }
        await withTaskGroup(of: Bool.self) { group in
            for turn in 0..<16 {
                group.addTask {
                    let text = ForwardPlan.Bound(texts)
                    let found = run(
                        plan, [numbers(2, 7, 5, 12, seed: 1 + turn % 4)], bound: [text, text])
                    return sameBytes(found, expected[turn % 4])
                }
            }
            for await isSame in group { #expect(isSame) }
        }
    }

    @Test("only backends that run plans record them")
    func recorders() throws {
        let backend = try makeBackend(.scalar, threads: 1)
        #expect(ReferenceBackend().recorder() == nil)
        let recorder = try #require(backend.recorder())
        #expect(recorder.computeClass == backend.computeClass)
        #expect(recorder.recorder() == nil)
    }

    @Test("a steady run allocates nothing", .enabled(if: allocation_counter_works()))
    func allocations() throws {
        // One thread, so that all that is done is done, and counted, on this one.
        let backend = try makeBackend(.chosen(), threads: 1)
        let x = numbers(2, 7, 5, 12)
        let texts = numbers(2, 9, 24)
        let plan = try plan([x.shape], bound: [textShape, textShape], on: backend, network)
        var counts: [UInt64] = []
        counts.reserveCapacity(8)
        for _ in 0..<4 {
            let before = allocation_counter_value()
            plan.run(
                fill: { _, buffer in x.withElements { _ = buffer.update(from: $0) } },
                bind: { _ in ForwardPlan.Bound(texts) },
                read: { _ in })
            counts.append(allocation_counter_value() - before)
        }
        #expect(counts.dropFirst().allSatisfy { $0 == 0 }, "\(counts)")
        let before = allocation_counter_value()
        _ = backend.add(x, x)
        #expect(allocation_counter_value() > before, "nothing is counted")
    }
}
