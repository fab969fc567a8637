import Foundation

/// An attribute of chattr(1) that a file has as long as this value lives.
final class Attribute {
    let letter: String
    private let path: String

    /// Whether this user and this file system can set any.
    static let canBeSet: Bool = {
        let folder = TestFolder()
        return Attribute("a", on: folder.path) != nil
    }()

    /// Nil when it cannot be set.
    init?(_ letter: String, on path: String) {
        self.letter = letter
        self.path = path
        guard Self.change("+" + letter, of: path) else { return nil }
    }

    deinit { _ = Self.change("-" + letter, of: path) }

    private static func change(_ mode: String, of path: String) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["chattr", mode, path]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
