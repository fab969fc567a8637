internal import CKernels

/// The element types that weights may have; all are widened to float32 without rounding.
package enum FloatType: String, Sendable, CaseIterable {
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"

    /// Bytes per element.
    package var byteCount: Int { self == .float32 ? 4 : 2 }

    /// Widens little-endian elements at any address; `bytes` holds exactly as many as `buffer` has
    /// room for.
    package func widen(
        _ bytes: UnsafeRawBufferPointer,
        into buffer: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(bytes.count == buffer.count * byteCount, "element counts differ")
        let best = InstructionSet.available.last ?? .scalar
        unsafe tsr_widen(best.code, code, buffer.count, bytes.baseAddress, buffer.baseAddress)
    }

    /// How many little-endian elements at any address are infinities or NaN.
    package func countOfNotFinite(_ bytes: UnsafeRawBufferPointer) -> Int {
        unsafe tsr_count_not_finite(code, bytes.count / byteCount, bytes.baseAddress)
    }

    var code: tsr_element_type {
        switch self {
        case .float32: TSR_FLOAT32
        case .float16: TSR_FLOAT16
        case .bfloat16: TSR_BFLOAT16
        }
    }
}
