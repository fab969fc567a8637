internal import CKernels

/// Widening of 16-bit floats to 32 bits, exactly.
package enum HalfPrecision {
    /// IEEE 754 binary16, little-endian, two bytes per element of `output`; any alignment.
    package static func widenFloat16(
        _ bytes: UnsafeRawBufferPointer,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        unsafe widen(bytes, into: output, by: tsr_widen_float16)
    }

    /// bfloat16, little-endian, two bytes per element of `output`; any alignment.
    package static func widenBFloat16(
        _ bytes: UnsafeRawBufferPointer,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        unsafe widen(bytes, into: output, by: tsr_widen_bfloat16)
    }

    private static func widen(
        _ bytes: UnsafeRawBufferPointer,
        into output: UnsafeMutableBufferPointer<Float>,
        by kernel: (tsr_isa, Int, UnsafeRawPointer?, UnsafeMutablePointer<Float>?) -> Void
    ) {
        precondition(bytes.count == 2 * output.count, "two bytes per element wanted")
        let best = InstructionSet.available.last ?? .scalar
        unsafe kernel(best.code, output.count, bytes.baseAddress, output.baseAddress)
    }
}
