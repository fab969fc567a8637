import Foundation
import Tensors
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

/// sin(1.618·i) between 0 and 1, i the element's number.
func wave(height: Int, width: Int) -> RGBImage {
    RGBImage(
        height: height, width: width,
        values: (0..<3 * height * width).map { Float(sin(1.618 * Double($0)) / 2 + 0.5) })
}

extension RGBImage {
    /// Some rows.
    func rows(_ range: Range<Int>) -> RGBImage {
        RGBImage(
            height: range.count, width: width,
            values: (0..<3).flatMap { channel in
                let start = channel * height
                return values[
                    (start + range.lowerBound) * width..<(start + range.upperBound) * width]
            })
    }
}
