import ComputeBackends
import Tensors
import TestSupport
import Testing

/// One operation on operands of one shape, for any backend.
struct OperationCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (any ComputeBackend) -> DeviceTensor

    init(_ name: String, _ run: @escaping @Sendable (any ComputeBackend) -> DeviceTensor) {
        testDescription = name
        self.run = run
    }
}

extension OperationCase {
    /// Small and awkward shapes: nothing is a multiple of a vector, some extents are 1.
    static let all: [OperationCase] =
        products + convolutions + attentions + norms + elements + rearrangements

    private static let products: [OperationCase] = [
        (1, 1, 1, 1), (2, 7, 5, 3), (3, 1, 37, 19), (1, 33, 4, 65), (2, 77, 48, 40),
    ].flatMap { items, rows, inputs, outputs in
        Activation.allCases.map { activation in
            OperationCase("linear \(items)×\(rows)×\(inputs) to \(outputs), \(activation)") {
                let weights = $0.linearWeights(
                    numbers(outputs, inputs), bias: rows == 7 ? nil : numbers(outputs))
                return $0.linear(
                    numbers(items, rows, inputs), weights,
                    residual: rows > 1 ? numbers(items, rows, outputs) : nil,
                    activation: activation)
            }
        }
    }

    private static let convolutions: [OperationCase] = [
        // items, height, width, inputs, outputs, kernel, stride, padding
        (1, 1, 1, 1, 1, 3, 1, Padding(1)), (2, 5, 7, 3, 5, 3, 1, Padding(1)),
        (1, 6, 5, 17, 4, 3, 2, Padding(1)), (2, 7, 4, 5, 18, 1, 1, Padding(0)),
        (1, 9, 8, 4, 6, 3, 2, Padding(top: 0, left: 0, bottom: 1, right: 1)),
        (1, 4, 9, 2, 3, 3, 1, Padding(top: 2, left: 0, bottom: 0, right: 1)),
        (1, 5, 5, 3, 7, 1, 2, Padding(0)), (1, 6, 6, 2, 2, 5, 1, Padding(2)),
        // Enough inputs for Winograd's way.
        (1, 1, 1, 16, 1, 3, 1, Padding(1)), (2, 5, 7, 19, 35, 3, 1, Padding(1)),
        (3, 4, 4, 33, 20, 3, 1, Padding(1)), (1, 9, 3, 40, 70, 3, 1, Padding(2)),
        (1, 8, 5, 16, 3, 3, 1, Padding(top: 0, left: 1, bottom: 2, right: 0)),
    ].map { items, height, width, inputs, outputs, kernel, stride, padding in
        OperationCase(
            "convolution \(items)×\(height)×\(width)×\(inputs) to \(outputs), \(kernel)×\(kernel)"
                + " by \(stride), padding \(padding)"
        ) {
            let weights = $0.convolutionWeights(
                numbers(outputs, inputs, kernel, kernel), bias: numbers(outputs),
                stride: stride)
            let plain = $0.convolution(
                numbers(items, height, width, inputs), weights, padding: padding)
            return $0.convolution(
                numbers(items, height, width, inputs), weights, padding: padding,
                itemBias: numbers(items, outputs), residual: plain)
        }
    }

    private static let attentions: [OperationCase] = [
        // items, queries, key items, keys, heads, size, causal
        (1, 1, 1, 1, 1, 1, false), (2, 9, 2, 9, 3, 5, false), (4, 6, 2, 13, 2, 8, false),
        (3, 5, 1, 77, 1, 16, false), (2, 19, 2, 19, 2, 7, true), (1, 40, 1, 17, 1, 3, true),
        // More keys than are looked at in one go.
        (1, 9, 1, 1100, 1, 4, false), (1, 530, 1, 530, 1, 2, true),
    ].map { items, queries, keyItems, keys, heads, size, causal in
        OperationCase(
            "attention \(items)×\(queries) over \(keyItems)×\(keys), \(heads) heads of \(size)"
                + (causal ? ", causal" : "")
        ) {
            $0.attention(
                queries: numbers(items, queries, heads * size, seed: 1, scale: 3),
                keys: numbers(keyItems, keys, heads * size, seed: 2, scale: 3),
                values: numbers(keyItems, keys, heads * size, seed: 3),
                heads: heads, causal: causal)
        }
    }

    private static let norms: [OperationCase] =
        [(1, 1, 2, 1), (2, 35, 12, 3), (1, 130, 40, 8), (3, 4, 19, 19), (1, 200, 24, 1)].flatMap {
            items, positions, channels, groups in
            [false, true].map { silu in
                OperationCase("groupNorm \(items)×\(positions)×\(channels)/\(groups), \(silu)") {
                    // Far from zero, where a careless variance loses its digits.
                    let x = $0.add(
                        numbers(items, positions, channels),
                        $0.upsampleNearest(
                            numbers(items, 1, 1, channels, scale: 50), height: positions, width: 1
                        ).reshaped(to: Shape(items, positions, channels)))
                    let weights = NormWeights(
                        scale: numbers(channels, seed: 2), shift: numbers(channels, seed: 3))
                    return $0.groupNorm(x, weights, groups: groups, epsilon: 1e-5, silu: silu)
                }
            }
        }
        + [(1, 1, 1), (2, 7, 37), (1, 65, 48)].map { items, rows, channels in
            OperationCase("layerNorm \(items)×\(rows)×\(channels)") {
                $0.layerNorm(
                    numbers(items, rows, channels, scale: 20),
                    NormWeights(scale: numbers(channels), shift: numbers(channels, seed: 3)),
                    epsilon: 1e-5)
            }
        }

    private static let elements: [OperationCase] =
        Activation.allCases.flatMap { activation in
            [1, 37, 1000].map { count in
                OperationCase("\(activation) of \(count)") {
                    $0.activation(numbers(1, count, 1, scale: 12), activation)
                }
            }
        }
        + [1, 5, 33].map { channels in
            OperationCase("geglu of \(channels)") {
                $0.geglu(numbers(2, 7, 2 * channels, scale: 3))
            }
        }

    private static let rearrangements: [OperationCase] = [
        OperationCase("concatenation") {
            $0.concatenateChannels(numbers(2, 5, 3, 7), numbers(2, 5, 3, 4))
        },
        OperationCase("upsampling by two") {
            $0.upsampleNearest(numbers(2, 3, 5, 4), height: 6, width: 10)
        },
        OperationCase("upsampling to odd extents") {
            $0.upsampleNearest(numbers(1, 4, 3, 2), height: 7, width: 5)
        },
        OperationCase("channels last") { $0.channelsLast(numbers(2, 5, 3, 4)) },
        OperationCase("channels first") { $0.channelsFirst(numbers(2, 5, 3, 4)) },
        OperationCase("rows of a table") { $0.gatherRows(numbers(9, 5), [8, 0, 3, 3]) },
    ]
}

@Suite("Operations", .watched)
struct OperationTests {
    @Test(
        "every operation equals its formula, on every instruction set",
        arguments: InstructionSet.available)
    func oracle(_ set: InstructionSet) throws {
        let backend = try makeBackend(set)
        let reference = ReferenceBackend()
        for operation in OperationCase.all {
            let found = operation.run(backend)
            let deviation = difference(found, operation.run(reference))
            #expect(deviation < 2e-5, "\(operation.testDescription): \(deviation)")
        }
    }

    @Test("activations keep their digits and their ends", arguments: InstructionSet.available)
    func activationRange(_ set: InstructionSet) throws {
        let backend = try makeBackend(set, threads: 1)
        let values = (-2000...2000).map { Float($0) / 20 } + [-1e4, 1e4, -0.0, 1e-20, -1e30, 1e30]
        let x = DeviceTensor(Tensor(shape: Shape(1, values.count, 1), elements: values))
        for activation in Activation.allCases {
            let found = backend.activation(x, activation).elements
            let expected = ReferenceBackend().activation(x, activation).elements
            for (index, value) in values.enumerated() {
                let bound = 4e-7 * max(1, abs(value))
                #expect(abs(found[index] - expected[index]) <= bound, "\(activation)(\(value))")
            }
        }
    }

    @Test("what is not a number stays so", arguments: InstructionSet.available)
    func notANumber(_ set: InstructionSet) throws {
        let backend = try makeBackend(set, threads: 1)
        let x = DeviceTensor(Tensor(shape: Shape(1, 1, 20), elements: [.nan] + numbers19))
        for activation in Activation.allCases {
            #expect(backend.activation(x, activation).elements[0].isNaN, "\(activation)")
        }
        let norm = NormWeights(scale: numbers(20), shift: numbers(20))
        let normal = backend.layerNorm(x, norm, epsilon: 1e-5).elements
        #expect(normal.allSatisfy { $0.isNaN })
        let attended = backend.attention(
            queries: x, keys: x, values: x, heads: 1, causal: false)
        #expect(attended.elements.allSatisfy { $0.isNaN })
    }

    private var numbers19: [Float] { numbers(19).elements }

    @Test("attention bears scores of any size", arguments: InstructionSet.available)
    func extremeScores(_ set: InstructionSet) throws {
        let backend = try makeBackend(set)
        let queries = numbers(1, 5, 16, scale: 1e3)
        let keys = numbers(1, 33, 16, seed: 2, scale: 1e3)
        let values = numbers(1, 33, 16, seed: 3)
        func run(_ backend: any ComputeBackend) -> DeviceTensor {
            backend.attention(
                queries: queries, keys: keys, values: values, heads: 2, causal: false)
        }
        #expect(difference(run(backend), run(ReferenceBackend())) < 1e-4)
    }

    @Test("pixels are rounded to the nearest level, halves to even")
    func bytes() throws {
        let values: [Float] =
            [-2, -1, 1, 2, 0, .greatestFiniteMagnitude, -.greatestFiniteMagnitude]
            + (0...510).map { Float($0) / 255 - 1 } + numbers(1000).elements
        let x = DeviceTensor(Tensor(shape: Shape(1, values.count, 1), elements: values))
        let expected = try #require(ReferenceBackend().bytes(x))
        #expect(Array(expected[..<7]) == [0, 0, 255, 255, 128, 255, 0])
        for set in InstructionSet.available {
            #expect(try makeBackend(set).bytes(x) == expected, "\(set)")
        }
    }

    @Test(
        "one value that is not finite, wherever it stands, makes no picture",
        arguments: [
            Float.nan, .infinity, -.infinity,
        ])
    func noBytes(value: Float) throws {
        let count = 40_000
        let backends =
            [ReferenceBackend()]
            + (try InstructionSet.available.map { try makeBackend($0) as any ComputeBackend })
        for place in [0, 17, 16_383, 16_384, count - 1] {
            var values = [Float](repeating: 0.5, count: count)
            values[place] = value
            let x = DeviceTensor(Tensor(shape: Shape(1, count, 1), elements: values))
            for backend in backends { #expect(backend.bytes(x) == nil, "\(place)") }
        }
    }

    @Test(
        "stored values that are not finite are counted in every type", arguments: FloatType.allCases
    )
    func countOfNotFinite(type: FloatType) {
        let ones: UInt32 = type == .float16 ? 0x7C00 : type == .bfloat16 ? 0x7F80 : 0x7F80_0000
        let sign: UInt32 = type == .float32 ? 0x8000_0000 : 0x8000
        // An infinity, its negative, a NaN; then the largest number, the smallest, and none.
        let patterns = [ones, ones | sign, ones | 1, ones - 1, 1, 0]
        // At an odd address.
        let bytes = patterns.reduce(into: [UInt8(0)]) { bytes, pattern in
            for index in 0..<type.byteCount {
                bytes.append(UInt8(truncatingIfNeeded: pattern >> UInt32(8 * index)))
            }
        }
        let count = unsafe bytes.withUnsafeBytes { buffer in
            unsafe type.countOfNotFinite(UnsafeRawBufferPointer(rebasing: buffer[1...]))
        }
        #expect(count == 3)
    }

    @Test("widening of all 65536 half and brain floats is exact, from any address")
    func widening() {
        let bits = Array(0...UInt16.max)
        var widened = [Float](repeating: 0, count: bits.count)
        var bytes: [UInt8] = [0]
        for pattern in bits { bytes += [UInt8(truncatingIfNeeded: pattern), UInt8(pattern >> 8)] }
        bytes.withUnsafeBytes { bytes in
            let odd = UnsafeRawBufferPointer(rebasing: bytes[1...])
            widened.withUnsafeMutableBufferPointer { FloatType.float16.widen(odd, into: $0) }
        }
        for (bits, value) in zip(bits, widened) {
            let expected = Float(Float16(bitPattern: bits))
            // A signalling not-a-number may become a quiet one.
            let isSame = value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern
            if !isSame { Issue.record("half \(bits): \(value)") }
        }
        bytes.withUnsafeBytes { bytes in
            let odd = UnsafeRawBufferPointer(rebasing: bytes[1...])
            widened.withUnsafeMutableBufferPointer { FloatType.bfloat16.widen(odd, into: $0) }
        }
        for (bits, value) in zip(bits, widened) where value.bitPattern != UInt32(bits) << 16 {
            Issue.record("brain \(bits): \(value)")
        }
    }
}
