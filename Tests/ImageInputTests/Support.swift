import Foundation
import Testing

/// A PNG with what it holds; see make_png_fixtures.py.
struct PictureGolden: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let png: Data
    /// Of 7×5 pixels, channel by channel.
    let values: [Float]

    var testDescription: String { name }

    static let all = Result {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/pictures.json")
        return try JSONDecoder().decode([PictureGolden].self, from: Data(contentsOf: path))
    }

    static func named(_ name: String) throws -> PictureGolden {
        try #require(try all.get().first { $0.name == name })
    }
}

/// A folder of its own for one test, gone with the value.
final class ScratchFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "tessera-input-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and returns its path.
    func write(_ bytes: Data, _ name: String = "picture.png") throws -> String {
        let file = "\(path)/\(name)"
        try bytes.write(to: URL(fileURLWithPath: file))
        return file
    }
}
