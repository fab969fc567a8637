internal import Glibc

/// Owner of a block of memory for floats, aligned to a cache line.
///
/// `@unchecked Sendable`: the memory is written only while its ``DeviceTensor`` is being made, or
/// under the lock of the backend or plan whose scratch it is; see there.
@safe
final class HostBuffer: @unchecked Sendable {
    /// Start of the memory, 64-byte aligned.
    let base: UnsafeMutablePointer<Float>
    /// Floats there is room for.
    let capacity: Int

    /// Bytes of a large page, of which the system needs few to map a large block.
    private static let largePage = 1 << 21

    /// Fresh memory for `count` floats, not initialised. Traps when the system has none.
    init(count: Int) {
        capacity = max(count, 1)
        let (bytes, overflow) = capacity.multipliedReportingOverflow(
            by: MemoryLayout<Float>.stride)
        let isLarge = bytes >= 2 * Self.largePage
        var memory: UnsafeMutableRawPointer?
        let alignment = isLarge ? Self.largePage : 64
        let status = unsafe overflow ? ENOMEM : posix_memalign(&memory, alignment, bytes)
        guard status == 0, let memory = unsafe memory else {
            preconditionFailure("out of memory: \(count) floats were asked for")
        }
        // Only a wish: where the system does not grant it, pages stay small.
        if isLarge { unsafe madvise(memory, bytes, MADV_HUGEPAGE) }
        unsafe base = memory.bindMemory(to: Float.self, capacity: capacity)
    }

    deinit { unsafe free(base) }
}
