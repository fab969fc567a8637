import DurableFiles
import Foundation
import TestSupport
import Testing

@Suite("A folder that is held is told from another in its place", .watched)
struct HeldFolderTests {
    private let folder = TestFolder()
    private var path: String { folder.path("held") }

    @Test("moved away, replaced and brought back, removed and made anew, and behind a link")
    func places() throws {
        let files = FileManager.default
        try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        let held = try HeldFolder(path)
        #expect(held.place == .same)
        try files.moveItem(atPath: path, toPath: folder.path("moved"))
        #expect(held.place == .empty)
        try Data().write(to: URL(fileURLWithPath: path))
        #expect(held.place == .taken)
        try files.removeItem(atPath: path)
        try files.createSymbolicLink(atPath: path, withDestinationPath: folder.path("moved"))
        #expect(held.place == .same)
        try files.removeItem(atPath: path)
        try files.removeItem(atPath: folder.path("moved"))
        // A file system likes to give the number of what was removed last.
        try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(held.place == .taken)
    }

    @Test("a folder above it that is a file by now is said to be the reason")
    func unknown() throws {
        let files = FileManager.default
        let inner = path + "/inner"
        try files.createDirectory(atPath: inner, withIntermediateDirectories: true)
        let held = try HeldFolder(inner)
        try files.removeItem(atPath: path)
        try Data().write(to: URL(fileURLWithPath: path))
        #expect(held.place == .unknown(reason: "Not a directory"))
    }

    @Test("what is no folder cannot be held", arguments: ["nothing", "file"])
    func refused(name: String) throws {
        try Data().write(to: URL(fileURLWithPath: folder.path("file")))
        #expect(throws: FileFailure.self) { try HeldFolder(folder.path(name)) }
    }
}
