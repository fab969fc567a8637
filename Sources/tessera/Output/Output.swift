import Dispatch
import DurableFiles
import Foundation
import Logging
import OutputChannels

/// All that the program says goes through here. Nothing else writes to the standard streams: not
/// `print`, which waits for a reader that stands still, and not `FileHandle.write`, which ends the
/// process when the reader is gone.
enum Output {
    /// Standard output of commands that were started for it: the whole of it arrives as long as
    /// somebody reads, at whatever pace.
    static let results = OutputChannel(
        descriptor: STDOUT_FILENO, use: .result, capacity: 1 << 20)

    /// Standard output of commands that work for something else. A picture of 65536×65536 has some
    /// 4 MiB of events, so that a reader who comes back late has missed nothing.
    static let events = OutputChannel(
        descriptor: STDOUT_FILENO, use: .news(lost: lostEvents), capacity: 64 << 20)

    /// Standard error. Of a progress bar only the latest state waits.
    static let messages = OutputChannel(
        descriptor: STDERR_FILENO,
        use: .news { Array("tessera: lines that could not be written here: \($0)\n".utf8) },
        capacity: 1 << 20)

    /// The JSON line in place of events that were dropped.
    @Sendable static func lostEvents(_ count: Int) -> [UInt8] {
        let ms = monotonicMilliseconds()
        return Array("{\"count\":\(count),\"event\":\"dropped\",\"ms\":\(ms)}\n".utf8)
    }

    /// Prints a part of the result.
    static func print(_ bytes: some Collection<UInt8>) {
        if isOneTerminal { keepOrder() }
        var rest = bytes[...]
        // What waits is a copy, and a plan may have hundreds of megabytes.
        while !rest.isEmpty {
            results.send(Array(rest.prefix(1 << 20)))
            rest = rest.dropFirst(1 << 20)
        }
        if isOneTerminal { results.flush(within: .milliseconds(100)) }
    }

    /// Lets what was said arrive before what is printed next, for those who see both.
    static func keepOrder() { messages.flush(within: .milliseconds(100)) }

    private static let isOneTerminal = isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1

    /// Waits for the readers at the end of the process: for a result as long as there is one, for
    /// all else until nothing was read for two seconds.
    static func finish() {
        results.finish()
        // A reader that left wanted no more of it.
        if case .failed(let number) = results.loss, number != EPIPE, number != EBADF {
            let reason = unsafe String(cString: strerror(number))
            say("tessera: standard output did not take all of the result: \(reason)")
        }
        let channels = [results, events, messages]
        DispatchQueue.concurrentPerform(iterations: channels.count) { channels[$0].finish() }
    }
}

/// A line on standard error. Names of files arrive as the system has them.
func say(_ line: String) { Output.messages.send(SystemPath.bytes(of: line + "\n")) }

/// A line of the result on standard output. Names of files arrive as the system has them.
func printLine(_ line: String) { Output.print(SystemPath.bytes(of: line + "\n")) }

/// Prints one object on a line of its own; keys in snake_case.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    Output.print(try encoder.encode(value) + Data("\n".utf8))
}

/// Log messages on standard error.
struct MessageLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level = .error

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let facts = metadata.merging(event.metadata ?? [:]) { $1 }
            .sorted { $0.key < $1.key }.map { "; \($0.key): \($0.value)" }
        say("tessera: \(event.level): \(event.message)" + facts.joined())
    }
}

extension Logger {
    /// Errors and worse, on standard error.
    static let quiet = Logger(label: "tessera") { _ in MessageLog() }
}
