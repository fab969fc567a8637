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

    /// Fresh memory for `count` floats, not initialised. Where there is none, that is said and the
    /// process ends.
    convenience init(count: Int) {
        do throws(MemoryShortage) {
            try self.init(count: count, for: "the arithmetic")
        } catch {
            error.end()
        }
    }

    /// Fresh memory for `count` floats, not initialised. Throws ``MemoryShortage`` when there is
    /// none, or when too little would be left beside it.
    init(count: Int, for purpose: String) throws(MemoryShortage) {
        capacity = max(count, 1)
        let (bytes, overflow) = capacity.multipliedReportingOverflow(
            by: MemoryLayout<Float>.stride)
        if !overflow, bytes >= MemoryLimit.smallestChecked {
            try MemoryLimit.check(bytes, for: purpose, leaving: MemoryLimit.alwaysLeft)
        }
        let isLarge = bytes >= 2 * Self.largePage
        var memory: UnsafeMutableRawPointer?
        let alignment = isLarge ? Self.largePage : 64
        let status = unsafe overflow ? ENOMEM : posix_memalign(&memory, alignment, bytes)
        guard status == 0, let memory = unsafe memory else {
            throw MemoryShortage(
                purpose: purpose, wanted: overflow ? .max : bytes, rest: 0,
                limit: MemoryLimit.current)
        }
        // Only a wish: where the system does not grant it, pages stay small.
        if isLarge { unsafe madvise(memory, bytes, MADV_HUGEPAGE) }
        unsafe base = memory.bindMemory(to: Float.self, capacity: capacity)
    }

    deinit { unsafe free(base) }
}
