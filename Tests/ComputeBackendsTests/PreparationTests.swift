import ComputeBackends
import Tensors
import TestSupport
import Testing

/// Elements of a tensor as a file would hold them, one byte off any alignment.
private func stored(_ tensor: DeviceTensor, as type: FloatType) -> StoredTensor {
    var bytes: [UInt8] = [0]
    for value in tensor.elements {
        switch type {
        case .float32: bytes += withUnsafeBytes(of: value.bitPattern) { Array($0) }
        case .float16: bytes += withUnsafeBytes(of: Float16(value).bitPattern) { Array($0) }
        case .bfloat16:
            bytes += withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { Array($0) }
        }
    }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
    memory.copyBytes(from: bytes)
    return StoredTensor(
        shape: tensor.shape, type: type, bytes: UnsafeRawBufferPointer(rebasing: memory[1...]),
        owner: Owner(memory: memory))
}

private final class Owner: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer
    init(memory: UnsafeMutableRawBufferPointer) { self.memory = memory }
    deinit { memory.deallocate() }
}

/// A layer whose weights come in some type, prepared or not.
struct LayerCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (any ComputeBackend, FloatType, Preparation) -> DeviceTensor

    static let all: [LayerCase] =
        [(1, 1, 1), (5, 40, 33), (20, 700, 130), (300, 24, 40)].map { rows, inputs, outputs in
            LayerCase(testDescription: "linear \(rows)×\(inputs) → \(outputs)") {
                backend, type, preparation in
                let weights = backend.linearWeights(
                    stored(numbers(outputs, inputs), as: type), bias: numbers(outputs),
                    preparation: preparation, name: "")
                return backend.linear(
                    numbers(1, rows, inputs), weights, residual: numbers(1, rows, outputs),
                    activation: .silu)
            }
        }
        + [(3, 20, 2), (20, 700, 130), (520, 12, 64)].map { rows, inputs, outputs in
            LayerCase(testDescription: "gated \(rows)×\(inputs) → \(outputs)") {
                backend, type, preparation in
                let weights = backend.linearWeights(
                    stored(numbers(outputs, inputs), as: type), bias: numbers(outputs),
                    preparation: preparation, name: "")
                return backend.linearGEGLU(numbers(1, rows, inputs), weights)
            }
        }
        + [(5, 3, 2, 1), (13, 17, 35, 1), (92, 32, 2, 1), (9, 24, 20, 2)].map {
            side, inputs, outputs, stride in
            LayerCase(
                testDescription: "convolution \(side)²×\(inputs) → \(outputs) by \(stride)"
            ) { backend, type, preparation in
                let weights = backend.convolutionWeights(
                    stored(numbers(outputs, inputs, 3, 3), as: type), bias: numbers(outputs),
                    stride: stride, preparation: preparation, name: "")
                return backend.convolution(
                    numbers(2, side, side, inputs), weights, padding: Padding(1))
            }
        }
}

@Suite("Preparation", .watched)
struct PreparationTests {
    @Test(
        "weights prepared ahead and on the way give the same bytes, near the formula's",
        arguments: FloatType.allCases)
    func preparation(_ type: FloatType) throws {
        let backends = try InstructionSet.available.map { try makeBackend($0, threads: 3) }
        for layer in LayerCase.all {
            let exact = layer.run(ReferenceBackend(), type, .ahead)
            for backend in backends {
                let ahead = layer.run(backend, type, .ahead)
                let onTheWay = layer.run(backend, type, .onTheWay)
                let what = "\(layer.testDescription), \(backend.instructionSet)"
                #expect(sameBytes(ahead, onTheWay), "\(what)")
                let deviation = difference(ahead, exact)
                #expect(deviation < 2e-5, "\(what): \(deviation)")
            }
        }
    }

    @Test("rows of a stored table are its rows", arguments: FloatType.allCases)
    func rows(_ type: FloatType) {
        let table = stored(numbers(9, 5), as: type)
        let all = table.widened.elements
        let rows = table.rows([8, 0, 3, 3])
        #expect(rows.shape == Shape(1, 4, 5))
        let expected: [Float] = [8, 0, 3, 3].flatMap { row in Array(all[(row * 5)..<(row * 5 + 5)])
        }
        #expect(rows.elements == expected)
    }
}
