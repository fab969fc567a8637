package import ClusterCore
internal import Foundation

/// Reads an event log from front to back and trusts nothing in it.
package struct EventLogReader {
    /// What the log says of an event.
    package struct Record: Sendable {
        package let line: Int
        package let event: CoordinatorEvent
        package let at: Instant
    }

    /// How a log ends.
    package enum End: Hashable, Sendable {
        case complete
        /// The writer had to stop; why.
        case stopped(String)
        /// There is no end: the coordinator was killed. The last line may be cut short.
        case missing
    }

    package let path: String
    package let setup: CoordinatorSetup
    private var lines: LineReader
    private var digests: EventLogDigests
    private var lastInstant = Int64.min
    private var effects = ""
    private var events = 0
    private let decoder = JSONDecoder()
    /// Set when ``next()`` has returned nil.
    package private(set) var end: End?

    /// Reads the header. Throws ``EventLogError``.
    package init(path: String) throws(EventLogError) {
        self.path = path
        lines = try LineReader(path: path)
        guard let first = try lines.next(), first.isWhole,
            let start = try? decoder.decode(Start.self, from: first.bytes),
            start.file == EventLogFormat.kind
        else { throw .foreign(path) }
        guard start.format <= EventLogFormat.version else {
            throw .newerFormat(path, format: start.format)
        }
        do {
            let header = try decoder.decode(EventLogFormat.Header.self, from: first.bytes)
            setup = header.setup
            digests = EventLogDigests(header: try EventLogFormat.encoder().encode(header))
        } catch {
            throw .damaged(path, line: 1, reason: "its header is not whole")
        }
    }

    private struct Start: Decodable {
        let file: String
        let format: Int
    }

    /// The next event, whose line is what was written; nil at the end. Throws ``EventLogError``.
    package mutating func next() throws(EventLogError) -> Record? {
        guard end == nil else { return nil }
        guard let line = try lines.next() else {
            end = .missing
            return nil
        }
        if let found = try? decoder.decode(EventLogFormat.Line.self, from: line.bytes) {
            return try check(found, line)
        }
        if let found = try? decoder.decode(EventLogFormat.End.self, from: line.bytes) {
            guard found.check == digests.checkText, found.events == events else {
                throw .damaged(path, line: line.number, reason: "events before it are missing")
            }
            guard try lines.next() == nil else {
                throw .damaged(path, line: line.number + 1, reason: "something follows the end")
            }
            end = found.stopped.map { .stopped($0) } ?? .complete
            return nil
        }
        guard !line.isWhole else {
            throw .damaged(
                path, line: line.number, reason: "it is no event that this version knows")
        }
        end = .missing
        return nil
    }

    private mutating func check(
        _ found: EventLogFormat.Line, _ line: LineReader.Line
    ) throws(EventLogError) -> Record {
        do {
            try digests.add(found.event, at: found.at)
        } catch {
            throw .damaged(path, line: line.number, reason: "\(error)")
        }
        guard found.check == digests.checkText else {
            throw .damaged(
                path, line: line.number,
                reason: "its checksum is not that of the events up to here; a line was changed, "
                    + "added or lost")
        }
        guard found.at >= lastInstant else {
            throw .damaged(path, line: line.number, reason: "time runs backwards")
        }
        lastInstant = found.at
        effects = found.effects
        events += 1
        return Record(line: line.number, event: found.event, at: Instant(nanoseconds: found.at))
    }

    /// Whether these are the effects that the writer saw of the latest event and all before it.
    package mutating func agrees(_ decided: [CoordinatorEffect]) -> Bool {
        (try? digests.add(decided)) != nil && digests.effectsText == effects
    }
}

/// A file's lines, a block at a time.
private struct LineReader {
    struct Line {
        let number: Int
        let bytes: Data
        /// Whether a newline ends it.
        let isWhole: Bool
    }

    private let path: String
    private let file: FileHandle
    private var rest = Data()
    private var number = 0
    private var isAtEnd = false

    init(path: String) throws(EventLogError) {
        self.path = path
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw .notReadable(path, reason: "there is no such file")
        }
        guard !isFolder.boolValue, let file = FileHandle(forReadingAtPath: path) else {
            throw .notReadable(
                path, reason: isFolder.boolValue ? "it is a folder" : "it cannot be opened")
        }
        self.file = file
    }

    mutating func next() throws(EventLogError) -> Line? {
        var searched = rest.startIndex
        while true {
            if let end = rest[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest = rest[rest.index(after: end)...] }
                number += 1
                return Line(number: number, bytes: Data(rest[..<end]), isWhole: true)
            }
            guard !isAtEnd else {
                guard !rest.isEmpty else { return nil }
                defer { rest = Data() }
                number += 1
                return Line(number: number, bytes: rest, isWhole: false)
            }
            searched = rest.endIndex
            let offset = searched - rest.startIndex
            try fill()
            searched = rest.startIndex + offset
        }
    }

    private mutating func fill() throws(EventLogError) {
        guard rest.count <= EventLogFormat.maximumLineBytes else {
            throw number == 0
                ? .foreign(path) : .damaged(path, line: number + 1, reason: "it is endless")
        }
        do {
            guard let more = try file.read(upToCount: 1 << 20), !more.isEmpty else {
                isAtEnd = true
                return
            }
            rest = Data(rest) + more
        } catch {
            throw .notReadable(path, reason: error.localizedDescription)
        }
    }
}
