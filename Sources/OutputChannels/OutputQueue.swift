internal import DequeModule
internal import Dispatch

/// What waits to be written, and what may.
struct OutputQueue: Sendable {
    enum Entry: Sendable {
        case bytes([UInt8], isReplaceable: Bool)
        /// So many entries had no room here.
        case gap(Int)
        /// Somebody wants to know when it comes this far.
        case mark(DispatchSemaphore)
        /// The last one.
        case close
    }

    private let capacity: Int
    var entries: Deque<Entry> = []
    /// Including those that are being written.
    var waitingBytes = 0
    var writtenBytes = 0
    var hasThread = false
    /// Nothing more is taken.
    var isOver = false
    /// Nobody wants to know what becomes of the rest.
    var isAbandoned = false
    private(set) var loss: OutputChannel.Loss?

    init(capacity: Int) { self.capacity = capacity }

    var isIdle: Bool { entries.isEmpty && waitingBytes == 0 }
    var isOverfull: Bool { waitingBytes > capacity }

    /// False when it has no room.
    mutating func take(_ bytes: [UInt8], replaceable: Bool, _ use: OutputChannel.Use) -> Bool {
        guard !isOver else { return false }
        if replaceable, case .bytes(let last, isReplaceable: true)? = entries.last {
            entries.removeLast()
            waitingBytes -= last.count
        }
        if waitingBytes + bytes.count > capacity {
            switch use {
            case .result: break
            case .news:
                if !replaceable { addGap() }
                return false
            case .record:
                isOver = true
                loss = .noRoom
                return false
            }
        }
        entries.append(.bytes(bytes, isReplaceable: replaceable))
        waitingBytes += bytes.count
        return true
    }

    private mutating func addGap() {
        if case .gap(let count)? = entries.last {
            entries[entries.count - 1] = .gap(count + 1)
        } else {
            entries.append(.gap(1))
        }
    }

    mutating func next() -> Entry? { entries.popFirst() }

    /// Drops what waits. Who waits for that is told.
    mutating func end(_ loss: OutputChannel.Loss? = nil) {
        isOver = true
        if self.loss == nil { self.loss = loss }
        let dropped = entries
        entries = []
        for entry in dropped {
            switch entry {
            case .bytes(let bytes, _): waitingBytes -= bytes.count
            case .gap: break
            case .mark(let isWritten): isWritten.signal()
            case .close: entries.append(.close)
            }
        }
    }
}
