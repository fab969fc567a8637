internal import ComputeBackends

extension FloatType {
    /// The little-endian bytes of `values`, rounded to the nearest, ties to even.
    func encode(_ values: ArraySlice<Float>) -> [UInt8] {
        switch self {
        case .float32:
            return unsafe values.withUnsafeBytes { unsafe Array($0) }
        case .float16:
            return Self.bytes(values) { Float16($0).bitPattern }
        case .bfloat16:
            return Self.bytes(values) { value in
                let bits = value.bitPattern
                if value.isNaN { return UInt16(bits >> 16) | 0x40 }
                return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
            }
        }
    }

    private static func bytes(
        _ values: ArraySlice<Float>,
        _ bits: (Float) -> UInt16
    ) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 2 * values.count) { buffer, count in
            count = 2 * values.count
            var position = 0
            for value in values {
                let word = bits(value)
                unsafe buffer[position] = UInt8(truncatingIfNeeded: word)
                unsafe buffer[position + 1] = UInt8(truncatingIfNeeded: word >> 8)
                position += 2
            }
        }
    }
}
