package import ClusterCore
internal import Foundation
internal import Locking
internal import OutputChannels

/// Writes a coordinator's events to a file as they happen, on a task and a thread of its own: the
/// coordinator never waits for it, nor does the run's end for a reader who does not read. What
/// cannot be written ends the log, with a warning, and never the run.
package final class EventLogWriter: EventRecorder {
    /// Events that may wait to be put into words; some minutes of a busy coordinator.
    private static let maximumWaiting = 1 << 17
    /// Bytes that may wait for the disk or for a pipe's reader.
    private static let maximumWaitingBytes = 64 << 20
    /// Bytes collected before they are written; a tick writes them too.
    private static let blockBytes = 64 << 10

    private enum Entry: Sendable {
        case begin(CoordinatorSetup)
        case event(CoordinatorEvent, [CoordinatorEffect], Instant)
    }

    private let path: String
    private let channel: OutputChannel
    private let warn: @Sendable (String) -> Void
    private let entries: AsyncStream<Entry>
    private let sink: AsyncStream<Entry>.Continuation
    private let hasOverflown = Lock(false)

    /// Creates the file, or empties an earlier one. `warn` is told once when the log has to end
    /// early. Throws ``EventLogError/notWritable(_:reason:)``.
    package init(path: String, warn: @escaping @Sendable (String) -> Void) throws(EventLogError) {
        self.path = path
        self.warn = warn
        // In place, whatever is there: a device or a pipe is written to, not replaced. A pipe that
        // nobody reads is an error at once instead of a wait.
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK
        let descriptor = unsafe open(path, flags, 0o644)
        guard descriptor >= 0 else {
            let reason =
                errno == ENXIO ? "nobody reads that pipe" : unsafe String(cString: strerror(errno))
            throw .notWritable(path, reason: reason)
        }
        _ = fcntl(descriptor, F_SETFL, 0)
        // Room is left for the last block and for the words that end the log.
        channel = OutputChannel(
            descriptor: descriptor, use: .record, capacity: Self.maximumWaitingBytes + 1 << 20)
        (entries, sink) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.maximumWaiting))
    }

    /// Says whether a log could be made there, and makes none. Throws
    /// ``EventLogError/notWritable(_:reason:)``.
    package static func checkWritable(_ path: String) throws(EventLogError) {
        let files = FileManager.default
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        var isFolder: ObjCBool = false
        if unsafe files.fileExists(atPath: path, isDirectory: &isFolder) {
            if isFolder.boolValue { throw .notWritable(path, reason: "it is a folder") }
            guard files.isWritableFile(atPath: path) else {
                throw .notWritable(path, reason: "it is there and may not be written")
            }
        } else if !files.isWritableFile(atPath: folder) {
            throw .notWritable(path, reason: "\(folder) is no folder to write in")
        }
    }

    package func begin(_ setup: CoordinatorSetup) { put(.begin(setup)) }

    package func record(
        _ event: CoordinatorEvent, _ effects: [CoordinatorEffect], at now: Instant
    ) {
        put(.event(event, effects, now))
    }

    /// Nothing after a gap is recorded: it could not be replayed.
    private func put(_ entry: Entry) {
        hasOverflown.withLock { hasOverflown in
            guard !hasOverflown else { return }
            if case .dropped = sink.yield(entry) {
                hasOverflown = true
                sink.finish()
            }
        }
    }

    /// Writes what is recorded while `body` runs, which has to outlive the coordinator, and
    /// returns when all of it is in the file or nobody takes it, also when `body` throws or is
    /// cancelled. Once in a writer's life.
    package func recording<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        // A task of its own, because the end of a cancelled run belongs into the log, too.
        let writing = Task { await write() }
        do {
            let result = try await body()
            sink.finish()
            await writing.value
            return result
        } catch {
            sink.finish()
            await writing.value
            throw error
        }
    }

    private func write() async {
        var page = Page(channel: channel)
        var problem: String?
        do {
            for await entry in entries {
                try page.write(entry)
                if channel.loss != nil { break }
                if channel.waitingBytes > Self.maximumWaitingBytes {
                    stopRecording()
                    break
                }
            }
            if hasOverflown.withLock({ $0 }) { problem = "whoever takes it is too slow" }
            try page.end(stopped: problem)
        } catch {
            problem = error.localizedDescription
        }
        stopRecording()
        let isWritten = await channel.finished()
        channel.close()
        if case .failed(let code) = channel.loss {
            problem = unsafe String(cString: strerror(code))
        }
        if !isWritten { problem = "nobody reads it any longer" }
        if let problem { warn("the event log \(path) ends early: \(problem)") }
    }

    /// What is recorded from now on is not.
    private func stopRecording() {
        hasOverflown.withLock { $0 = true }
        sink.finish()
    }

    /// What is written next.
    private struct Page {
        let channel: OutputChannel
        private let encoder = EventLogFormat.encoder()
        private var digests: EventLogDigests?
        private var events = 0
        private var block: [UInt8] = []

        init(channel: OutputChannel) { self.channel = channel }

        mutating func write(_ entry: Entry) throws {
            switch entry {
            case .begin(let setup):
                let header = try encoder.encode(
                    EventLogFormat.Header(
                        file: EventLogFormat.kind, format: EventLogFormat.version, setup: setup))
                digests = EventLogDigests(header: header)
                add(header)
                flush()
            case .event(let event, let effects, let now):
                guard var digests else { return }
                try digests.add(event, at: now.nanoseconds)
                try digests.add(effects)
                self.digests = digests
                events += 1
                add(
                    try encoder.encode(
                        EventLogFormat.Line(
                            at: now.nanoseconds, event: event, check: digests.checkText,
                            effects: digests.effectsText)))
                if case .tick = event { flush() }
            }
        }

        mutating func end(stopped: String?) throws {
            guard let digests else { return }
            add(
                try encoder.encode(
                    EventLogFormat.End(
                        events: events, stopped: stopped, check: digests.checkText)))
            flush()
        }

        private mutating func add(_ line: Data) {
            block.append(contentsOf: line)
            block.append(UInt8(ascii: "\n"))
            if block.count >= EventLogWriter.blockBytes { flush() }
        }

        private mutating func flush() {
            channel.send(block)
            block.removeAll(keepingCapacity: true)
        }
    }
}

/// Why an event log cannot be written or read.
package enum EventLogError: Error, Equatable, CustomStringConvertible {
    case notWritable(String, reason: String)
    case notReadable(String, reason: String)
    /// Not of ours at all.
    case foreign(String)
    case newerFormat(String, format: Int)
    /// From this line on it is not what was written.
    case damaged(String, line: Int, reason: String)

    package var description: String {
        switch self {
        case .notWritable(let path, let reason):
            "the event log \(path) cannot be written: \(reason)"
        case .notReadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .foreign(let path):
            "\(path) is no event log; tessera generate --event-log writes one"
        case .newerFormat(let path, let format):
            "\(path) is an event log of format \(format), and this version reads up to "
                + "\(EventLogFormat.version); replay it with the version that wrote it"
        case .damaged(let path, let line, let reason):
            "\(path) is damaged in line \(line): \(reason)"
        }
    }
}
