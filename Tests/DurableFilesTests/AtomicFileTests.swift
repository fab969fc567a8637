import DurableFiles
import Foundation
import TestSupport
import Testing

@Suite("Files that appear whole or not at all", .watched)
final class AtomicFileTests {
    private let folder = NSTemporaryDirectory() + "tessera-files-\(UUID().uuidString)"
    private var path: String { folder + "/a.bin" }

    init() throws { try makeFolder(folder) }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
    }

    @Test("a committed file replaces what was there, an abandoned one leaves it")
    func replacing() throws {
        try AtomicFile.write([1, 2, 3], to: path)
        do {
            let file = try AtomicFile(path: path)
            try file.preallocate(100)
            try file.write([4])
            #expect(try contents.count == 2)
        }
        #expect(try readSmallFile(path) == [1, 2, 3])
        try AtomicFile.write([5], to: path)
        #expect(try readSmallFile(path) == [5])
        #expect(try contents == ["a.bin"])
    }

    @Test("what a killed writer left is removed by the next one, what a living one writes stays")
    func abandoned() throws {
        let stale = path + ".123.456.partial"
        try Data([9]).write(to: URL(fileURLWithPath: stale))
        let others = ["a.bin.partial", "a.bin.x.1.partial", "b.bin.123.456.partial", "a.bin.1.2"]
        for name in others {
            try Data([9]).write(to: URL(fileURLWithPath: folder + "/" + name))
        }
        let living = try AtomicFile(path: path)
        try AtomicFile.write([1], to: path)
        #expect(!FileManager.default.fileExists(atPath: stale))
        #expect(try contents.count == others.count + 2)
        try living.write([2])
    }

    @Test(
        "a place that cannot take a file is refused at once",
        arguments: [("/tmp", EISDIR), ("", EINVAL), ("/tmp/", EINVAL), ("/no/such/a", ENOENT)]
    )
    func refused(path: String, code: Int32) throws {
        let failure = #expect(throws: FileFailure.self) { try AtomicFile.checkWritable(path) }
        #expect(failure?.code == code)
        #expect(failure?.reason.isEmpty == false)
    }

    @Test("folders are made with those above them; a file in their place is said")
    func folders() throws {
        try makeFolder(folder + "/b/c/d")
        try makeFolder(folder + "/b/c/d")
        try AtomicFile.write([1], to: path)
        let failure = #expect(throws: FileFailure.self) { try makeFolder(self.path) }
        #expect(failure?.reason.contains("not a folder") == true)
        #expect(throws: FileFailure.self) { try makeFolder(self.path + "/b") }
    }

    @Test("a small file is read whole, is missing, or is too large")
    func reading() throws {
        #expect(try readSmallFile(path) == nil)
        try AtomicFile.write([1, 2, 3], to: path)
        #expect(try readSmallFile(path, limit: 3) == [1, 2, 3])
        #expect(throws: FileFailure.self) { try readSmallFile(self.path, limit: 2) }
    }

    @Test("a file system says what it has left")
    func space() throws {
        let space = try #require(DiskSpace(of: folder))
        #expect(space.free > 0)
        #expect(DiskSpace(of: folder + "/nothing") == nil)
    }
}
