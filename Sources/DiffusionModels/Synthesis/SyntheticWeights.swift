internal import Sampling
internal import Tensors

/// Random values for a network's parameters: a pure function of seed, component, tensor name and
/// position, equal on every machine. Only sums and products of exact values enter, no logarithm.
///
/// Weights are uniform with variance 1 / fan-in, which keeps the size of activations from layer to
/// layer (He et al. 2015, arXiv 1502.01852, up to the activation's factor); biases are small and
/// the scales of normalisations near 1, so that each of them matters to a test.
struct SyntheticWeights: Sendable {
    let seed: UInt64
    /// `unet`, `text_encoder_2`, …: tensors of one name in two components differ.
    let component: String

    /// Elements made at a time; a multiple of ``valuesPerBlock``.
    static let chunk = 1 << 18
    private static let valuesPerBlock = 8

    /// Hands all elements of a tensor over in pieces of at most ``chunk``, in order.
    func forEachChunk(
        of parameter: ParameterShape,
        _ body: ([Float]) throws(WeightsError) -> Void
    ) throws(WeightsError) {
        var hash = Fingerprinter()
        hash.add(component)
        hash.add(parameter.name)
        let name = hash.fingerprint.value
        let (centre, spread) = Self.distribution(parameter.role)
        var start = 0
        while start < parameter.shape.count {
            let count = min(Self.chunk, parameter.shape.count - start)
            try body(values(name: name, start: start, count: count, centre, spread))
            start += count
        }
    }

    /// Centre and half width of the uniform distribution.
    private static func distribution(_ role: ParameterShape.Role) -> (Float, Float) {
        switch role {
        case .weight(let fanIn): (0, (3 / Float(fanIn)).squareRoot())
        case .bias: (0, 0.05)
        case .scale: (1, 0.2)
        case .embedding: (0, 1)
        }
    }

    /// Eight values of 16 random bits each from every Philox block; the counter is the block's
    /// number and the name's digest, the key the seed.
    private func values(
        name: UInt64, start: Int, count: Int, _ centre: Float, _ spread: Float
    ) -> [Float] {
        let key = Philox4x32.key(seed: seed)
        let high = UInt32(truncatingIfNeeded: name >> 32)
        let low = UInt32(truncatingIfNeeded: name)
        var values: [Float] = []
        values.reserveCapacity(count + Self.valuesPerBlock)
        var block = start / Self.valuesPerBlock
        while values.count < count {
            let counter = SIMD4(
                UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32), low,
                high)
            let words = Philox4x32.block(counter: counter, key: key)
            for lane in 0..<4 {
                for half in [words[lane] & 0xFFFF, words[lane] >> 16] {
                    let unit = (Float(half) - 32767.5) * (1 / 32768)
                    values.append(centre + spread * unit)
                }
            }
            block += 1
        }
        values.removeLast(values.count - count)
        return values
    }
}
