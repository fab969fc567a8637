/// MT19937 (Matsumoto & Nishimura 1998), the generator behind PyTorch's CPU random numbers.
struct MersenneTwister {
    private var state: [UInt32]
    private var position: Int

    /// PyTorch keeps the low 32 bits of a seed.
    init(seed: UInt64) {
        state = [UInt32(truncatingIfNeeded: seed)]
        state.reserveCapacity(624)
        for index in 1..<624 {
            let previous = state[index - 1]
            state.append(1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(index))
        }
        position = 624
    }

    /// The next 32 random bits.
    mutating func nextWord() -> UInt32 {
        if position == 624 { refill() }
        var word = state[position]
        position += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9D2C_5680
        word ^= (word << 15) & 0xEFC6_0000
        return word ^ (word >> 18)
    }

    /// Two words, the first one on top, as PyTorch's `random64`.
    mutating func nextPair() -> UInt64 {
        let high = UInt64(nextWord())
        return high << 32 | UInt64(nextWord())
    }

    private mutating func refill() {
        for index in 0..<624 {
            let mixed = (state[index] & 0x8000_0000) | (state[(index + 1) % 624] & 0x7FFF_FFFF)
            let twist: UInt32 = mixed & 1 == 1 ? 0x9908_B0DF : 0
            state[index] = state[(index + 397) % 624] ^ (mixed >> 1) ^ twist
        }
        position = 0
    }
}
