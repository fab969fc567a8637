import DurableFiles
import Foundation
import TestSupport
import Testing

@Suite("Files that appear whole or not at all", .watched)
final class AtomicFileTests {
    private let place = TestFolder()
    private var folder: String { place.path }
    private var path: String { folder + "/a.bin" }
    private var contents: [String] { get throws { try place.contents } }

    private func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: place.path(name), withDestinationPath: target)
    }

    private func status(_ path: String) throws -> stat {
        var status = stat()
        try #require(lstat(path, &status) == 0, "\(path) is not there")
        return status
    }

    private func isLink(_ name: String) throws -> Bool {
        try status(place.path(name)).st_mode & S_IFMT == S_IFLNK
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
        let stale = folder + "/.a.bin.123.456.partial"
        try Data([9]).write(to: URL(fileURLWithPath: stale))
        let others = [
            ".a.bin.partial", ".a.bin.x.1.partial", ".b.bin.123.456.partial", ".a.bin.1.2",
            "a.bin.123.456.partial",
        ]
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

    // MARK: - Links

    @Test(
        "a link is followed and stays: an absolute one, a relative one, one to another",
        arguments: ["absolute", "relative", "chain", "up"])
    func links(name: String) throws {
        try makeFolder(place.path("real"))
        try link("absolute", to: place.path("real/a.bin"))
        try link("relative", to: "real/a.bin")
        try link("chain", to: "relative")
        try link("up", to: "real/../real/./a.bin")
        // The first time nothing is at its end.
        for bytes: [UInt8] in [[1], [2, 3]] {
            try AtomicFile.checkWritable(place.path(name))
            try AtomicFile.write(bytes, to: place.path(name))
            #expect(try readSmallFile(place.path("real/a.bin")) == bytes)
            #expect(try isLink(name))
            #expect(try contents == ["absolute", "chain", "real", "relative", "up"])
        }
        let real = try FileManager.default.contentsOfDirectory(atPath: place.path("real"))
        #expect(real == ["a.bin"])
    }

    @Test("a link in a folder that is a link itself is relative to where it lies")
    func linkedFolder() throws {
        try makeFolder(place.path("real/deep"))
        try link("short", to: "real/deep")
        try link("real/deep/l", to: "../a.bin")
        try AtomicFile.write([1], to: place.path("short/l"))
        #expect(try readSmallFile(place.path("real/a.bin")) == [1])
    }

    @Test("links that lead in a circle or into a folder that is not there are one sentence")
    func brokenLinks() throws {
        try link("one", to: "two")
        try link("two", to: "one")
        try link("far", to: "gone/a.bin")
        for (name, code, reason) in [
            ("one", ELOOP, "circle"), ("far", ENOENT, "link to \(folder)/gone/a.bin"),
        ] {
            let failure = #expect(throws: FileFailure.self) {
                try AtomicFile.checkWritable(self.place.path(name))
            }
            #expect(failure?.code == code)
            #expect(failure?.reason.contains(reason) == true, "\(failure?.reason ?? "")")
        }
    }

    // MARK: - Mode and owner

    @Test(
        "what is replaced hands on its mode", arguments: [0o600, 0o640, 0o664, 0o755] as [mode_t])
    func keepsMode(mode: mode_t) throws {
        try AtomicFile.write([1], to: path)
        try #require(chmod(path, mode) == 0)
        try AtomicFile.write([2], to: path)
        #expect(try status(path).st_mode & 0o7777 == mode)
    }

    @Test("a new file has the mode that the umask leaves")
    func obeysUmask() throws {
        let reference = place.path("reference")
        close(open(reference, O_WRONLY | O_CREAT, 0o666))
        try AtomicFile.write([1], to: path)
        #expect(try status(path).st_mode == status(reference).st_mode)
    }

    @Test("a secret is its owner's alone, whatever was there; who is trusted, only owners write")
    func access() throws {
        for before: mode_t? in [nil, 0o666, 0o600] {
            let limits: [(FileAccess, mode_t)] = [(.secret, 0o600), (.readers, 0o755)]
            for (access, limit) in limits {
                unlink(path)
                if let before {
                    try AtomicFile.write([1], to: path)
                    try #require(chmod(path, before) == 0)
                }
                try AtomicFile.write([2], to: path, access: access)
                let mode = try status(path).st_mode & 0o777
                #expect(mode & ~limit == 0 && mode & 0o600 == 0o600)
            }
        }
    }

    @Test("what is replaced hands on its owner and group", .enabled(if: getuid() == 0, "root"))
    func keepsOwner() throws {
        try AtomicFile.write([1], to: path)
        try #require(chown(path, 1234, 2345) == 0)
        try AtomicFile.write([2], to: path)
        let after = try status(path)
        #expect(after.st_uid == 1234 && after.st_gid == 2345)
        // Nobody gets a secret by having put a file there before.
        #expect(throws: FileFailure.self) {
            try AtomicFile.write([3], to: self.path, access: .secret)
        }
        #expect(try readSmallFile(path) == [2])
    }

    @Test("another name of the same file keeps what it was")
    func hardLinks() throws {
        try AtomicFile.write([1], to: path)
        try #require(Foundation.link(path, place.path("b.bin")) == 0)
        try AtomicFile.write([2], to: path)
        #expect(try readSmallFile(place.path("b.bin")) == [1])
    }

    @Test("one that is not to replace leaves what is there, and nothing else")
    func notReplacing() throws {
        try AtomicFile.write([1], to: path, replacing: false)
        for _ in 0..<2 {
            let failure = #expect(throws: FileFailure.self) {
                try AtomicFile.write([2], to: self.path, replacing: false)
            }
            #expect(failure?.code == EEXIST)
        }
        #expect(try readSmallFile(path) == [1])
        #expect(try contents == ["a.bin"])
    }

    // MARK: - What is no file

    /// Makes something of another kind.
    enum Stranger: String, CaseIterable {
        case pipe, socket, folder, characterDevice, blockDevice

        func make(at path: String) -> Bool {
            switch self {
            case .pipe: mkfifo(path, 0o600) == 0
            case .socket: mknod(path, S_IFSOCK | 0o600, 0) == 0
            case .folder: mkdir(path, 0o700) == 0
            case .characterDevice: mknod(path, S_IFCHR | 0o600, 0x0103) == 0
            case .blockDevice: mknod(path, S_IFBLK | 0o600, 0x0700) == 0
            }
        }
    }

    @Test("nothing but a file is renamed over, whenever it comes", arguments: Stranger.allCases)
    func strangers(stranger: Stranger) throws {
        var early = try AtomicFile(path: path)
        try early.write([1])
        // Devices need rights that not every user has.
        guard stranger.make(at: path) else {
            try #require(errno == EPERM && [.characterDevice, .blockDevice].contains(stranger))
            return
        }
        let before = try status(path)
        #expect(throws: FileFailure.self) { try early.commit() }
        let failure = #expect(throws: FileFailure.self) { try AtomicFile.write([1], to: self.path) }
        #expect(failure?.reason.hasPrefix("it is a ") == true, "\(failure?.reason ?? "")")
        #expect(try status(path).st_mode == before.st_mode && status(path).st_ino == before.st_ino)
    }

    @Test("a link that comes meanwhile is not replaced")
    func lateLink() throws {
        var file = try AtomicFile(path: path)
        try link("a.bin", to: "b.bin")
        #expect(throws: FileFailure.self) { try file.commit() }
        #expect(try isLink("a.bin"))
    }

    // MARK: - Names

    @Test(
        "every name that the file system takes is taken",
        arguments: [1, 99, 100, 101, 228, 232, 233, 255], ["x", "山"])
    func names(length: Int, letter: String) throws {
        let count = length / letter.utf8.count
        try #require(count > 0 || letter != "x")
        let rest = length - count * letter.utf8.count
        let name = String(repeating: letter, count: count) + String(repeating: "y", count: rest)
        let path = place.path(name)
        try AtomicFile.checkWritable(path)
        do {
            let living = try AtomicFile(path: path)
            // What a killed writer left is known again.
            let temporary = try #require(try contents.first)
            let stale = temporary.split(separator: ".").dropLast(3).joined(separator: ".")
            try Data().write(to: URL(fileURLWithPath: place.path(".\(stale).1.2.partial")))
            try AtomicFile.write([1], to: path)
            try living.write([2])
        }
        #expect(try contents == [name])
        #expect(try readSmallFile(path) == [1])
    }

    @Test("a name that is too long is refused before anything is written")
    func tooLong() throws {
        let failure = #expect(throws: FileFailure.self) {
            try AtomicFile.checkWritable(self.place.path(String(repeating: "x", count: 256)))
        }
        #expect(failure?.code == ENAMETOOLONG)
    }

    @Test("a path as long as the system takes is taken")
    func longPath() throws {
        var deep = folder
        while deep.utf8.count + 201 < Int(PATH_MAX) - 60 {
            deep += "/" + String(repeating: "d", count: 200)
        }
        try makeFolder(deep)
        let path =
            deep + "/"
            + String(
                repeating: "x", count: min(255, Int(PATH_MAX) - 2 - deep.utf8.count))
        try AtomicFile.write([1], to: path)
        #expect(try readSmallFile(path) == [1])
    }

    @Test("a folder that is renamed meanwhile takes its file along")
    func renamedFolder() throws {
        try makeFolder(place.path("old"))
        var file = try AtomicFile(path: place.path("old/a.bin"))
        try #require(rename(place.path("old"), place.path("new")) == 0)
        try file.write([1])
        try file.commit()
        #expect(try readSmallFile(place.path("new/a.bin")) == [1])
        #expect(try contents == ["new"])
    }

    // MARK: - Others

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
