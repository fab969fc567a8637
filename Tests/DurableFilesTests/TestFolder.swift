import DurableFiles
import Foundation

/// A folder that goes away with its owner.
final class TestFolder: Sendable {
    let path = NSTemporaryDirectory() + "tessera-files-\(UUID().uuidString)"

    init() { mkdir(path, 0o755) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func path(_ name: String) -> String { path + "/" + name }

    var contents: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }
}
