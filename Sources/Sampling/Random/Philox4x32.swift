/// The Philox 4x32 block function with ten rounds (Salmon, Moraes, Dror & Shaw, "Parallel Random
/// Numbers: As Easy as 1, 2, 3", SC 2011): 128 bits of counter and 64 bits of key in, 128 random
/// bits out, no state.
package enum Philox4x32 {
    /// The random bits of one counter value; the first words of both are the least significant.
    package static func block(
        counter: SIMD4<UInt32>, key: SIMD2<UInt32>
    ) -> SIMD4<UInt32> {
        var (c, k) = (counter, key)
        for _ in 0..<10 {
            let left = c.x.multipliedFullWidth(by: 0xD251_1F53)
            let right = c.z.multipliedFullWidth(by: 0xCD9E_8D57)
            c = SIMD4(right.high ^ c.y ^ k.x, right.low, left.high ^ c.w ^ k.y, left.low)
            k = SIMD2(k.x &+ 0x9E37_79B9, k.y &+ 0xBB67_AE85)
        }
        return c
    }

    /// The key of a 64-bit seed, low half first.
    package static func key(seed: UInt64) -> SIMD2<UInt32> {
        SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    }
}
