import DurableFiles
import Foundation
import TestSupport
import Testing

@Suite("Where a result goes", .watched)
final class OutputPlaceTests: Sendable {
    private let folder = TestFolder()
    private var path: String { folder.path("a") }

    /// A run without a reader must not die of the signal.
    init() { signal(SIGPIPE, SIG_IGN) }

    private func write(_ bytes: [UInt8], to place: OutputPlace) throws {
        var file = try AtomicFile(place)
        try file.preallocate(bytes.count)
        try file.write(bytes)
        try file.commit()
    }

    private func fileSize(_ descriptor: Int32) -> Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? status.st_size : -1
    }

    @Test("nothing and a file are files, judged without a trace; links are followed")
    func files() throws {
        try symlink("a", at: "l")
        for name in ["a", "l"] {
            guard case .file = try OutputPlace(folder.path(name)) else {
                Issue.record("\(name) is no file")
                continue
            }
        }
        #expect(try folder.contents == ["l"])
        try write([1], to: OutputPlace(folder.path("l")))
        #expect(try readSmallFile(path) == [1])
        guard case .file = try OutputPlace(path) else {
            Issue.record("a file is no file")
            return
        }
    }

    @Test(
        "what the append-only or immutable attribute keeps from being replaced is refused at once",
        .enabled(if: Attribute.canBeSet, "chattr does not work here"),
        arguments: ["a", "i"])
    func attributes(attribute: String) throws {
        try AtomicFile.write([1], to: path)
        for place in [path, folder.path] {
            let attribute = try #require(Attribute(attribute, on: place))
            let failure = #expect(throws: FileFailure.self) { try OutputPlace(path) }
            #expect(failure?.code == EPERM, "\(failure.debugDescription)")
            #expect(
                failure?.reason.contains("chattr +\(attribute.letter)") == true,
                "\(failure.debugDescription)")
            #expect(try folder.contents == ["a"])
        }
        _ = try OutputPlace(path)
    }

    @Test("a pipe in a small file's place is refused instead of waited for")
    func pipeForFile() throws {
        try #require(mkfifo(path, 0o600) == 0)
        let failure = #expect(throws: FileFailure.self) { try readSmallFile(path) }
        #expect(failure?.reason == "it is a pipe, not a file")
    }

    private func symlink(_ target: String, at name: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.path(name), withDestinationPath: target)
    }

    @Test("a pipe's reader gets everything, and its end only with the last byte")
    func pipe() async throws {
        try #require(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let place = try OutputPlace(path)
        #expect(!place.isStandardOutput && place.folder == nil)
        // More than a pipe holds: the writer has to wait for the reader.
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        async let written: Void = place.writing { try self.write(bytes, to: place) }
        var (got, piece): ([UInt8], [UInt8]) = ([], Array(repeating: 0, count: 65536))
        while got.count < bytes.count {
            let count = read(reader, &piece, piece.count)
            // Nobody has written yet, or the writer is slow; 0 would be the end.
            try #require(count > 0 || count < 0 && errno == EAGAIN)
            if count > 0 { got += piece[..<count] }
            if count < 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        try await written
        #expect(got == bytes)
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
    }

    @Test("a pipe that nobody reads is refused at once, with the code for waiting")
    func unread() throws {
        try #require(mkfifo(path, 0o600) == 0)
        let failure = #expect(throws: FileFailure.self) { try OutputPlace(self.path) }
        #expect(failure?.code == ENXIO)
        #expect(failure?.reason.contains("nobody reads") == true)
    }

    @Test("a reader that goes away is one sentence")
    func gone() throws {
        try #require(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        let place = try OutputPlace(path)
        close(reader)
        let failure = #expect(throws: FileFailure.self) { try self.write([1], to: place) }
        #expect(failure?.reason == "its reader went away")
    }

    @Test("a reader that takes nothing is given up by who cancels", .timeLimit(.minutes(1)))
    func cancelled() async throws {
        try #require(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let place = try OutputPlace(path)
        let writing = Task {
            try await place.writing {
                try self.write(Array(repeating: 7, count: 1 << 20), to: place)
            }
        }
        writing.cancel()
        let failure = await #expect(throws: FileFailure.self) { try await writing.value }
        #expect(failure?.code == ECANCELED)
    }

    @Test("devices are written to and stay devices", arguments: ["/dev/null", "/dev/full"])
    func devices(device: String) throws {
        let link = folder.path("l")
        try symlink(device, at: "l")
        for path in [device, link] {
            let place = try OutputPlace(path)
            let written = Result { try self.write([1, 2], to: place) }
            #expect(((try? written.get()) != nil) == (device == "/dev/null"))
        }
        var status = stat()
        #expect(stat(device, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
        #expect(throws: FileFailure.self) { try AtomicFile.checkWritable(device) }
    }

    @Test("a descriptor of this process is written to from where it is, whatever it is open for")
    func descriptors() throws {
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        defer { close(descriptor) }
        try #require(Foundation.write(descriptor, "ab", 2) == 2)
        for place in ["/dev/fd/\(descriptor)", "/proc/self/fd/\(descriptor)"] {
            try write([UInt8(ascii: "c")], to: OutputPlace(place))
        }
        #expect(try readSmallFile(path) == Array("abcc".utf8))
        #expect(fileSize(descriptor) == 4)
        // A name for it cannot be renamed over, so nothing but a stream may be there.
        #expect(throws: FileFailure.self) {
            try AtomicFile.checkWritable("/dev/fd/\(descriptor)")
        }
    }

    @Test("a descriptor that cannot be written to is refused")
    func unwritableDescriptors() throws {
        try AtomicFile.write([1], to: path)
        let reading = open(path, O_RDONLY)
        let folder = open(self.folder.path, O_RDONLY | O_DIRECTORY)
        defer { [reading, folder].forEach { close($0) } }
        for descriptor in [reading, folder] {
            #expect(throws: FileFailure.self) { try OutputPlace("/dev/fd/\(descriptor)") }
        }
    }

    @Test("a terminal is refused: a picture is no text")
    func terminal() throws {
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        try #require(terminal >= 0)
        defer { close(terminal) }
        let failure = #expect(throws: FileFailure.self) { try OutputPlace("/dev/fd/\(terminal)") }
        #expect(failure?.reason.contains("terminal") == true)
    }

    @Test("the disk that takes room is the one that a link leads to")
    func room() throws {
        try makeFolder(folder.path("real"))
        try symlink("real/a", at: "l")
        #expect(OutputPlace.file(folder.path("l")).folder == folder.path + "/real")
        #expect(OutputPlace.file("a.png").folder == ".")
        #expect(OutputPlace.file("/no/such/a").folder == "/no/such")
        #expect(try OutputPlace("/dev/null").folder == nil)
    }
}
