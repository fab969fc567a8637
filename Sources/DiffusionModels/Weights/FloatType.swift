internal import ComputeBackends

/// The element types that weights may have; all are widened to float32 without rounding.
package enum FloatType: String, Sendable, CaseIterable {
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"

    /// Bytes per element.
    package var byteCount: Int { self == .float32 ? 4 : 2 }

    /// Widens little-endian elements; `bytes` holds exactly as many as `buffer` has room for.
    func widen(_ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableBufferPointer<Float>) {
        precondition(bytes.count == buffer.count * byteCount, "element counts differ")
        switch self {
        case .float32:
            unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
        case .float16: unsafe HalfPrecision.widenFloat16(bytes, into: buffer)
        case .bfloat16: unsafe HalfPrecision.widenBFloat16(bytes, into: buffer)
        }
    }

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
