internal import DequeModule
internal import Sampling

/// Bytes of one direction of one connection on their way: a pure schedule.
struct DelayedBytes {
    private struct Chunk {
        var bytes: ArraySlice<UInt8>
        /// When they may arrive, in time since the proxy's start.
        let due: Duration
    }

    /// Bytes held at most: beyond this the sender is made to wait, as by a full window.
    static let capacity = 1 << 20
    /// Bytes read at once: fine enough for a slow link's rate to be even.
    static let chunkSize = 16 << 10

    private var chunks: Deque<Chunk> = []
    private(set) var count = 0
    private var lastDue: Duration = .zero
    private var number: UInt32 = 0
    private let stream: UInt32
    /// The sender has said its last.
    var isEnded = false

    /// `stream` gives the jitter numbers of its own.
    init(stream: UInt32) { self.stream = stream }

    var isEmpty: Bool { chunks.isEmpty }
    var hasRoom: Bool { count + Self.chunkSize <= Self.capacity }

    mutating func append(_ bytes: [UInt8], at now: Duration, _ conditions: LinkConditions) {
        guard !bytes.isEmpty else { return }
        number &+= 1
        var due = max(now + conditions.delay + conditions.jitter * swing, lastDue)
        if let rate = conditions.bytesPerSecond {
            due += .seconds(Double(bytes.count) / Double(rate))
        }
        lastDue = due
        count += bytes.count
        chunks.append(Chunk(bytes: bytes[...], due: due))
    }

    /// -1 ..< 1
    private var swing: Double {
        let block = Philox4x32.block(
            counter: SIMD4(number, stream, 0, 0xFA18_0000), key: SIMD2(0, 0))
        return Double(block.x) * 0x1p-31 - 1
    }

    /// When the next bytes may arrive; nil without any.
    var nextDue: Duration? { chunks.first?.due }

    /// The next bytes that may arrive by now; nil for none.
    func ready(at now: Duration) -> ArraySlice<UInt8>? {
        guard let first = chunks.first, first.due <= now else { return nil }
        return first.bytes
    }

    /// So many of the ready bytes have arrived.
    mutating func remove(_ written: Int) {
        guard let first = chunks.first, written > 0 else { return }
        count -= written
        if written == first.bytes.count {
            chunks.removeFirst()
        } else {
            chunks[0].bytes.removeFirst(written)
        }
    }
}
