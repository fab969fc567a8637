// Where the compiler looks for sigset_t.
internal import CDispatch
internal import Dispatch
internal import Glibc
internal import Locking

/// A descriptor that somebody else reads, such as a terminal, a pipe or a log. Its reader may be
/// slow, stand still or be gone, its disk may be full: none of it holds up, ends or traps whoever
/// speaks.
///
/// Entries, usually lines, wait in a bounded queue and are written in order and whole by a thread
/// of the channel's own. The descriptor stays blocking if it was: its open file description is
/// shared with other processes, such as the shell.
package final class OutputChannel: Sendable {
    /// What becomes of entries that find no room or cannot be written.
    package enum Use: Sendable {
        /// What the program was started for: ``OutputChannel/send(_:replaceable:)`` waits for room
        /// as long as there is a reader. Nothing follows what could not be written.
        case result
        /// What accompanies the work: dropped. What `lost` makes of the number of dropped entries
        /// is written in their place, as soon as something can be.
        case news(lost: @Sendable (_ count: Int) -> [UInt8])
        /// Worth nothing after a gap: the first entry that is dropped is the end.
        case record
    }

    /// Why a record or a result ended.
    package enum Loss: Hashable, Sendable {
        /// The capacity is used up.
        case noRoom
        /// What write(2) said.
        case failed(errno: Int32)
    }

    private let descriptor: Int32
    private let use: Use
    private let queue: Lock<OutputQueue>
    private let pen = Lock(Pen())
    private let arrivals = DispatchSemaphore(value: 0)

    /// What the thread knows of what it has written.
    private struct Pen {
        /// Entries dropped and not yet spoken of.
        var lost = 0
        /// Whether the last entry was begun and could not be finished.
        var isTorn = false
    }

    /// So many bytes go to one write(2), after which it is known that the reader reads.
    private static let bytesPerWrite = 64 << 10
    /// How often a reader is looked at whom the end waits for.
    private static let glance = DispatchTimeInterval.milliseconds(20)
    /// Its frames are few and small.
    private static let stackBytes = 256 << 10

    /// `capacity` is the number of bytes that may wait.
    package init(descriptor: Int32, use: Use, capacity: Int) {
        self.descriptor = descriptor
        self.use = use
        queue = Lock(OutputQueue(capacity: capacity))
    }

    /// Bytes that are sent and not written.
    package var waitingBytes: Int { queue.withLock { $0.waitingBytes } }

    /// Why nothing more is taken; nil of news, and as long as all is well.
    package var loss: Loss? { queue.withLock { $0.loss } }

    /// Has `entry` written. Returns at once, except for a result that has to wait for room. A
    /// replaceable one, such as a progress bar, gives way to a later one while it waits. False
    /// when it is dropped.
    @discardableResult
    package func send(_ entry: [UInt8], replaceable: Bool = false) -> Bool {
        let (isTaken, hasThread) = queue.withLock { queue in
            if !queue.hasThread { queue.hasThread = startThread() }
            return (queue.take(entry, replaceable: replaceable, use), queue.hasThread)
        }
        // Without a thread, as under a limit of memory, whoever speaks writes.
        if hasThread { arrivals.signal() } else { _ = writeWaiting() }
        if case .result = use, isTaken, queue.withLock({ $0.isOverfull }) { mark()?.wait() }
        return isTaken
    }

    /// Waits until all that was sent is written or dropped, `time` at most. False when it is not.
    @discardableResult
    package func flush(within time: Duration) -> Bool {
        guard let isWritten = mark() else { return true }
        let nanoseconds = Int((time / .nanoseconds(1)).rounded())
        return isWritten.wait(timeout: .now() + .nanoseconds(nanoseconds)) == .success
    }

    /// Waits until all that was sent is written or dropped: a result as long as there is a reader,
    /// all else as long as the reader takes something every `patience`. False when it does not.
    @discardableResult
    package func finish(patience: Duration = .seconds(2)) -> Bool {
        guard let isWritten = mark() else { return true }
        if case .result = use {
            isWritten.wait()
            return true
        }
        var (taken, since) = (takenBytes, ContinuousClock.now)
        while isWritten.wait(timeout: .now() + Self.glance) == .timedOut {
            let (now, time) = (takenBytes, ContinuousClock.now)
            if now != taken {
                (taken, since) = (now, time)
            } else if time - since > patience {
                return false
            }
        }
        return true
    }

    /// As ``finish(patience:)``, without holding a thread of the cooperative pool meanwhile.
    package func finished(patience: Duration = .seconds(2)) async -> Bool {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(returning: self.finish(patience: patience))
            }
        }
    }

    /// Drops what waits and takes nothing more; nobody waits for the reader any longer.
    package func abandon() {
        queue.withLock { queue in
            queue.isAbandoned = true
            queue.end()
        }
    }

    /// The last call: takes nothing more, and closes the descriptor once all that waits is
    /// written, which nobody waits for.
    package func close() {
        let isLeftToThread = queue.withLock { queue in
            queue.isOver = true
            if queue.hasThread { queue.entries.append(.close) }
            return queue.hasThread
        }
        if isLeftToThread { arrivals.signal() } else { Glibc.close(descriptor) }
    }

    // MARK: Waiting

    /// What is signalled when all that was sent up to now is written; nil when it is.
    private func mark() -> DispatchSemaphore? {
        let isWritten = DispatchSemaphore(value: 0)
        let isNeeded = queue.withLock { queue in
            guard queue.hasThread, !queue.isIdle, !queue.isAbandoned else { return false }
            queue.entries.append(.mark(isWritten))
            return true
        }
        guard isNeeded else { return nil }
        arrivals.signal()
        return isWritten
    }

    /// Grows while the reader reads: what is written less what a pipe still holds. A reader may
    /// take many lines out of a pipe before there is room for the next.
    private var takenBytes: Int {
        var unread: Int32 = 0
        _ = unsafe ioctl(descriptor, UInt(FIONREAD), &unread)
        return queue.withLock { $0.writtenBytes } - Int(unread)
    }

    // MARK: The thread

    /// Blocks all signals on it: they are for threads that know what to do, and a terminal that
    /// stops writers in the background (SIGTTOU) does not stop one that blocks the signal.
    private func startThread() -> Bool {
        var (all, before) = (sigset_t(), sigset_t())
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_BLOCK, &all, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        unsafe pthread_attr_setstacksize(&attributes, Self.stackBytes)
        // The thread keeps the channel until it is closed: the standard ones for ever.
        let argument = unsafe Unmanaged.passRetained(self)
        var thread = pthread_t()
        let status = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let channel = unsafe Unmanaged<OutputChannel>.fromOpaque(argument)
                    .takeRetainedValue()
                repeat { channel.arrivals.wait() } while channel.writeWaiting()
                return nil
            }, argument.toOpaque())
        if status != 0 { unsafe argument.release() }
        return status == 0
    }

    /// False when the channel is closed.
    private func writeWaiting() -> Bool {
        pen.withLock { pen in
            while let entry = queue.withLock({ $0.next() }) {
                switch entry {
                case .bytes(let bytes, _): write(bytes, with: &pen)
                case .gap(let count): pen.lost += count
                case .mark(let isWritten):
                    _ = sayWhatIsLost(with: &pen)
                    isWritten.signal()
                case .close:
                    Glibc.close(descriptor)
                    return false
                }
            }
            return true
        }
    }

    private func write(_ bytes: [UInt8], with pen: inout Pen) {
        let failure = sayWhatIsLost(with: &pen) ?? put(bytes, with: &pen)
        if failure != nil { pen.lost += 1 }
        queue.withLock { queue in
            queue.waitingBytes -= bytes.count
            if case .news = use { return }
            if let failure { queue.end(.failed(errno: failure)) }
        }
    }

    /// Nil when there is nothing to be said any more, otherwise why it cannot be.
    private func sayWhatIsLost(with pen: inout Pen) -> Int32? {
        guard case .news(let text) = use, pen.lost > 0 else { return nil }
        if let failure = put(text(pen.lost), with: &pen) { return failure }
        pen.lost = 0
        return nil
    }

    /// Nil, or the error number. What comes after a torn entry begins on a line of its own.
    private func put(_ entry: [UInt8], with pen: inout Pen) -> Int32? {
        let bytes = pen.isTorn ? [UInt8(ascii: "\n")] + entry : entry
        var position = 0
        while position < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                let end = min(position + Self.bytesPerWrite, bytes.count)
                let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<end])
                return unsafe Glibc.write(descriptor, part.baseAddress, part.count)
            }
            if count > 0 {
                position += count
                queue.withLock { $0.writtenBytes += count }
                continue
            }
            let failure = count == 0 ? EIO : errno
            if failure == EINTR || failure == EAGAIN && waitForRoom() { continue }
            pen.isTorn = pen.isTorn || position > 0
            return failure
        }
        pen.isTorn = false
        return nil
    }

    /// For descriptors that another process made non-blocking.
    private func waitForRoom() -> Bool {
        var place = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return unsafe poll(&place, 1, -1) > 0 || errno == EINTR
    }
}
