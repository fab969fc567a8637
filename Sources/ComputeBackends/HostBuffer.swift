internal import Glibc
internal import Synchronization

/// Owner of a block of memory for floats, aligned to a cache line.
///
/// `@unchecked Sendable`: the memory is written only while its ``DeviceTensor`` is being made, or
/// under the lock of the backend whose workspace it is; see there.
@safe
final class HostBuffer: @unchecked Sendable {
    /// Start of the memory, 64-byte aligned.
    let base: UnsafeMutablePointer<Float>
    /// Floats there is room for.
    let capacity: Int
    private let pool: BufferPool?

    /// Fresh memory for `count` floats, not initialised. Traps when the system has none.
    init(count: Int) {
        self.capacity = max(count, 1)
        self.pool = nil
        unsafe self.base = Self.allocate(capacity)
    }

    fileprivate init(base: UnsafeMutablePointer<Float>, capacity: Int, pool: BufferPool) {
        unsafe self.base = base
        self.capacity = capacity
        self.pool = pool
    }

    deinit {
        if let pool {
            unsafe pool.takeBack(base, capacity: capacity)
        } else {
            unsafe free(base)
        }
    }

    fileprivate static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        var memory: UnsafeMutableRawPointer?
        let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        let status = unsafe overflow ? ENOMEM : posix_memalign(&memory, 64, bytes)
        guard status == 0, let memory = unsafe memory else {
            preconditionFailure("out of memory: \(count) floats were asked for")
        }
        return unsafe memory.bindMemory(to: Float.self, capacity: count)
    }
}

/// Keeps released activations for the next operation of the same size, since memory fresh from
/// the system is zeroed page by page, which costs more than many operations do.
final class BufferPool: Sendable {
    /// `@safe`, `@unchecked Sendable`: only this type and ``HostBuffer`` see the pointer, and
    /// exactly one of them owns the memory.
    @safe
    private struct Block: @unchecked Sendable {
        let base: UnsafeMutablePointer<Float>
    }

    private struct Shelf {
        var blocks: [Int: [Block]] = [:]
        var floats = 0
    }

    private let shelf = Mutex(Shelf())
    /// Floats kept at most; what comes back beyond it goes to the system.
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    deinit {
        shelf.withLock { shelf in
            for block in shelf.blocks.values.joined() { unsafe free(block.base) }
        }
    }

    /// Memory for `count` floats, not initialised.
    func buffer(count: Int) -> HostBuffer {
        let capacity = Self.sizeClass(count)
        let kept = shelf.withLock { shelf -> Block? in
            guard let block = shelf.blocks[capacity]?.popLast() else { return nil }
            shelf.floats -= capacity
            return block
        }
        let base = unsafe kept?.base ?? HostBuffer.allocate(capacity)
        return unsafe HostBuffer(base: base, capacity: capacity, pool: self)
    }

    fileprivate func takeBack(_ base: UnsafeMutablePointer<Float>, capacity: Int) {
        let block = unsafe Block(base: base)
        let isKept = shelf.withLock { shelf in
            guard shelf.floats + capacity <= limit else { return false }
            shelf.floats += capacity
            shelf.blocks[capacity, default: []].append(block)
            return true
        }
        if !isKept { unsafe free(base) }
    }

    /// At least `count`, wasting at most a quarter: four classes per power of two.
    static func sizeClass(_ count: Int) -> Int {
        let smallest = 1024
        guard count > smallest else { return smallest }
        let step = 1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount - 2)
        return (count + step - 1) / step * step
    }
}
