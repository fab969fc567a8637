/// What a random stream is for. The numbers are part of every picture: never reuse or renumber.
package enum RandomPurpose: UInt32, Sendable, CaseIterable {
    /// The initial latent.
    case initialNoise = 1
    /// Offsets of jittered windows.
    case jitter = 2
    /// Permutations of pixel interaction.
    case interaction = 3
    /// Noise that is added to a picture on the way.
    case renoise = 4
    /// Noise that a prediction is turned towards.
    case injection = 5
}

/// One named stream of random numbers: the same (seed, purpose, step, index) gives the same
/// numbers on any machine, in any order of use, with no state shared between streams.
///
/// The Philox counter is (block within the stream, index, step, purpose), the key is the seed.
package struct PhiloxGenerator: RandomNumberGenerator, Sendable {
    private let key: SIMD2<UInt32>
    private var counter: SIMD4<UInt32>
    private var words = SIMD4<UInt32>()
    private var used = 4

    /// `step` and `index` lie in 0 ..< 2³²; a stream holds 2³⁴ words.
    package init(seed: UInt64, purpose: RandomPurpose, step: Int, index: Int) {
        key = Philox4x32.key(seed: seed)
        counter = SIMD4(0, UInt32(index), UInt32(step), purpose.rawValue)
    }

    /// The next 32 random bits.
    package mutating func nextWord() -> UInt32 {
        if used == 4 {
            words = Philox4x32.block(counter: counter, key: key)
            counter.x &+= 1
            used = 0
        }
        defer { used += 1 }
        return words[used]
    }

    package mutating func next() -> UInt64 {
        let low = UInt64(nextWord())
        return UInt64(nextWord()) << 32 | low
    }

    /// A whole number in 0 ..< bound, every one equally likely (Lemire 2019, "Fast Random Integer
    /// Generation in an Interval": multiply, and reject the few words that would weigh double).
    /// Traps when `bound` is 0.
    package mutating func uniform(below bound: UInt32) -> UInt32 {
        precondition(bound > 0, "an empty range has no number in it")
        var product = nextWord().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold {
                product = nextWord().multipliedFullWidth(by: bound)
            }
        }
        return product.high
    }

    /// A whole number in a closed range of at most 2³² numbers.
    package mutating func uniform(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(uniform(below: UInt32(range.count)))
    }

    /// Two independent numbers from N(0, 1), by Box and Muller's method in double precision.
    package mutating func gaussianPair() -> (Double, Double) {
        // (0, 1] for the logarithm, [0, 1) for the angle; 53 bits each.
        let first = Double((next() >> 11) + 1) * 0x1p-53
        let second = Double(next() >> 11) * 0x1p-53
        let radius = (-2 * Elementary.logarithm(first)).squareRoot()
        let (sine, cosine) = Elementary.sineAndCosine(2 * .pi * second)
        return (radius * cosine, radius * sine)
    }

    /// Puts the elements into a uniformly random order (Fisher and Yates).
    package mutating func shuffle<Element>(_ elements: inout [Element]) {
        guard elements.count > 1 else { return }
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, Int(uniform(below: UInt32(last + 1))))
        }
    }
}
