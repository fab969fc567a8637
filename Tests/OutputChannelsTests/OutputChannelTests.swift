import Foundation
import OutputChannels
import Synchronization
import TestSupport
import Testing

/// A pipe whose reading end the test reads when it likes.
private final class Pipe: Sendable {
    let reader: Int32
    let writer: Int32
    private let isReaderOpen = Mutex(true)

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (reader, writer) = (ends[0], ends[1])
    }

    deinit { closeReader() }

    func closeReader() {
        let isOpen = isReaderOpen.withLock { isOpen in
            defer { isOpen = false }
            return isOpen
        }
        if isOpen { close(reader) }
    }

    /// Leaves no room for a single byte.
    func fill() {
        _ = fcntl(writer, F_SETFL, O_NONBLOCK)
        let bytes = [UInt8](repeating: UInt8(ascii: "."), count: 4096)
        while write(writer, bytes, bytes.count) > 0 {}
        while write(writer, bytes, 1) > 0 {}
        _ = fcntl(writer, F_SETFL, 0)
    }

    /// Everything up to the end, in portions of at most so many bytes.
    func readAll(portion: Int = 1 << 16) async -> [UInt8] {
        await OutputChannelsTests.readAll(reader, portion: portion)
    }

    func lines() async -> [String] {
        String(decoding: await readAll(), as: UTF8.self)
            .drop { $0 == "." }.split(separator: "\n").map(String.init)
    }
}

/// What waits, waits on a thread that nothing else needs.
private func onAThread<Result: Sendable>(
    _ body: @escaping @Sendable () -> Result
) async -> Result {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
    }
}

private func readAll(_ descriptor: Int32, portion: Int = 1 << 16) async -> [UInt8] {
    await onAThread {
        var (all, buffer) = ([UInt8](), [UInt8](repeating: 0, count: portion))
        while true {
            let count = read(descriptor, &buffer, portion)
            guard count > 0 else { return all }
            all += buffer[..<count]
        }
    }
}

/// For a machine on which a reader gets its turn late.
private let long: Duration = .seconds(30)

private func news(_ pipe: Pipe, capacity: Int = 1 << 20) -> OutputChannel {
    OutputChannel(
        descriptor: pipe.writer, use: .news { Array("lost \($0)\n".utf8) }, capacity: capacity)
}

private func line(_ number: Int) -> [UInt8] { Array("line \(number)\n".utf8) }

@Suite("Output whose reader is slow, stands still or is gone", .watched, .timeLimit(.minutes(1)))
struct OutputChannelTests {
    @Test("lines of many threads arrive whole, and those of each in its order")
    func wholeLines() async throws {
        let pipe = try Pipe()
        let channel = news(pipe)
        async let lines = pipe.lines()
        await withTaskGroup(of: Void.self) { group in
            for sender in 0..<4 {
                group.addTask {
                    for number in 0..<200 {
                        channel.send(Array("\(sender) \(number) and more words\n".utf8))
                    }
                }
            }
        }
        channel.close()
        let all = await lines
        for sender in 0..<4 {
            let own = all.filter { $0.hasPrefix("\(sender) ") }
            #expect(own == (0..<200).map { "\(sender) \($0) and more words" })
        }
        #expect(all.count == 800)
    }

    @Test("a reader that does not read holds up neither who speaks nor the end")
    func standingStill() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = news(pipe, capacity: 100)
        for number in 0..<1000 { channel.send(line(number)) }
        #expect(await channel.finished(patience: .milliseconds(50)) == false)
        channel.close()
    }

    @Test("a reader that comes back gets what waited, and then how many lines were dropped")
    func comingBack() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = news(pipe, capacity: 100)
        var kept = 0
        while channel.send(line(kept)) { kept += 1 }
        for number in 0..<9 { #expect(!channel.send(line(kept + 1 + number))) }
        async let lines = pipe.lines()
        #expect(await channel.finished(patience: long))
        #expect(channel.send(line(7777)))
        channel.close()
        #expect(await lines == (0..<kept).map { "line \($0)" } + ["lost 10", "line 7777"])
    }

    @Test("who reads slowly at the end loses nothing, however long it takes")
    func slowReader() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = news(pipe)
        for number in 0..<20_000 { channel.send(line(number)) }
        async let bytes = pipe.readAll(portion: 1 << 10)
        #expect(await channel.finished(patience: long))
        channel.close()
        let text = String(decoding: await bytes, as: UTF8.self)
        #expect(text.hasSuffix("line 19998\nline 19999\n"))
        #expect(text.split(separator: "\n").count == 20_000)
    }

    @Test("of a progress bar only the latest state waits")
    func replaceable() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = news(pipe)
        // The thread may have taken the first already; it waits in write(2) with it.
        channel.send(line(0))
        for number in 1...1000 { channel.send(line(number), replaceable: true) }
        channel.send(line(1001))
        #expect(channel.waitingBytes <= 3 * line(1000).count)
        async let lines = pipe.lines()
        channel.close()
        #expect(await lines == ["line 0", "line 1000", "line 1001"])
    }

    @Test("without a reader all is dropped, nothing ends, and a new descriptor is not needed")
    func gone() async throws {
        let pipe = try Pipe()
        pipe.closeReader()
        let channel = news(pipe)
        for number in 0..<100 { #expect(channel.send(line(number))) }
        #expect(await channel.finished(patience: long))
        #expect(channel.loss == nil)
        channel.close()
    }

    @Test("a pipe that another process made non-blocking loses nothing")
    func nonBlocking() async throws {
        let pipe = try Pipe()
        pipe.fill()
        _ = fcntl(pipe.writer, F_SETFL, O_NONBLOCK)
        let channel = news(pipe)
        for number in 0..<100 { channel.send(line(number)) }
        async let lines = pipe.lines()
        #expect(await channel.finished(patience: long))
        channel.close()
        #expect(await lines == (0..<100).map { "line \($0)" })
    }

    @Test("a result waits for its reader and arrives to the last byte")
    func result() async throws {
        let pipe = try Pipe()
        let channel = OutputChannel(descriptor: pipe.writer, use: .result, capacity: 1 << 10)
        let sent = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        async let received = pipe.readAll(portion: 1 << 12)
        await onAThread {
            for start in stride(from: 0, to: sent.count, by: 1 << 15) {
                channel.send(Array(sent[start..<(start + 1 << 15)]))
            }
            channel.finish()
        }
        channel.close()
        #expect(await received == sent)
    }

    @Test("a result that nobody wants any longer is waited for no more")
    func abandoned() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = OutputChannel(descriptor: pipe.writer, use: .result, capacity: 10)
        async let isTaken = onAThread { channel.send(line(0) + line(1)) }
        while channel.waitingBytes == 0 { await Task.yield() }
        channel.abandon()
        _ = await isTaken
        #expect(await onAThread { channel.finish() })
        #expect(!channel.send(line(2)))
        channel.close()
    }

    @Test(
        "what cannot be written ends a result and a record, with the reason, and no news",
        arguments: [true, false])
    func fullDisk(isResult: Bool) async throws {
        let channel = OutputChannel(
            descriptor: open("/dev/full", O_WRONLY | O_CLOEXEC), use: isResult ? .result : .record,
            capacity: 1 << 20)
        channel.send(line(0))
        #expect(await onAThread { channel.finish() })
        #expect(channel.loss == .failed(errno: ENOSPC))
        #expect(!channel.send(line(1)))
        channel.close()
    }

    @Test("a record ends where it found no room, and has no gap")
    func record() async throws {
        let pipe = try Pipe()
        pipe.fill()
        let channel = OutputChannel(descriptor: pipe.writer, use: .record, capacity: 100)
        var kept = 0
        while channel.send(line(kept)) { kept += 1 }
        #expect(channel.loss == .noRoom)
        async let lines = pipe.lines()
        #expect(await channel.finished(patience: long))
        #expect(!channel.send(line(7777)))
        channel.close()
        #expect(await lines == (0..<kept).map { "line \($0)" })
    }

    @Test("a line after one that a full disk cut short begins a line of its own")
    func torn() async throws {
        let path = NSTemporaryDirectory() + "tessera-torn-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try #require(mkfifo(path, 0o600) == 0)
        // The reader leaves while the second part of a line waits for room.
        let first = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let writer = open(path, O_WRONLY | O_CLOEXEC)
        let pages = 1 << 16  // what a pipe holds: pipe(7)
        let channel = OutputChannel(
            descriptor: writer, use: .news { Array("lost \($0)\n".utf8) }, capacity: 1 << 22)
        channel.send([UInt8](repeating: UInt8(ascii: "x"), count: pages + 1000) + line(0))
        var unread: Int32 = 0
        while ioctl(first, UInt(FIONREAD), &unread) == 0, Int(unread) < pages { await Task.yield() }
        close(first)
        #expect(await channel.finished(patience: long))
        let second = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(second) }
        channel.send(line(1))
        channel.close()
        let text = String(decoding: await readAll(second), as: UTF8.self)
        #expect(text.drop { $0 == "x" } == "\nlost 1\nline 1\n")
    }
}

@Suite("Where the program speaks", .watched)
struct PlacesOfOutputTests {
    @Test("nothing but the channels writes to the standard streams")
    func onlyChannels() throws {
        let sources = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources").path
        let direct = [
            "FileHandle.standardError", "FileHandle.standardOutput", " print(", "Swift.print(",
            "fputs(", "StreamLogHandler", "exit(withError",
        ]
        let paths = try FileManager.default.subpathsOfDirectory(atPath: sources)
            .filter { $0.hasSuffix(".swift") }
        try #require(paths.count > 100)
        let found = try paths.flatMap { path in
            try String(contentsOfFile: sources + "/" + path, encoding: .utf8)
                .split(separator: "\n")
                .filter { line in direct.contains { line.contains($0) } }
                .filter { !$0.contains("///") && !$0.contains("func print(") }
                .map { "\(path): \($0)" }
        }
        #expect(found == [])
    }
}
