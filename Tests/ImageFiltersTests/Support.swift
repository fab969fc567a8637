import Foundation
import Tensors

/// What PyTorch says; see make_filter_fixtures.py.
struct FilterGoldens: Decodable {
    struct Resized: Decodable {
        let height: Int
        let width: Int
        let values: [Float]
    }

    struct Blurred: Decodable {
        let kernelSize: Int
        let sigma: Double
        let surroundings: String
        let values: [Float]
    }

    struct Split: Decodable {
        let height: Int
        let width: Int
        let bands: [[Float]]
    }

    let bicubic: [Resized]
    let antialiasedBilinear: [Resized]
    let bilinear: [Resized]
    let nearest: [Resized]
    let blur: [Blurred]
    let haar: [Split]

    enum CodingKeys: String, CodingKey {
        case bicubic
        case antialiasedBilinear = "antialiased-bilinear"
        case bilinear
        case nearest
        case blur
        case haar
    }

    static func read() throws -> FilterGoldens {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/image-filters.json")
        return try JSONDecoder().decode(FilterGoldens.self, from: Data(contentsOf: path))
    }
}

/// sin(1.618·i), i the element's number, as make_filter_fixtures.py computes it.
func wave(channels: Int, height: Int, width: Int) -> Latent {
    Latent(
        channels: channels, height: height, width: width,
        values: (0..<channels * height * width).map { Float(sin(1.618 * Double($0))) })
}

/// Largest difference of two lists; infinite when they are not of one length.
func difference(_ found: [Float], _ expected: [Float]) -> Float {
    guard found.count == expected.count else { return .infinity }
    return zip(found, expected).map { abs($0 - $1) }.max() ?? 0
}

extension Latent {
    /// The part from the top left.
    func cropped(height rows: Int, width columns: Int) -> Latent {
        Latent(
            channels: channels, height: rows, width: columns,
            values: (0..<channels).flatMap { channel in
                (0..<rows).flatMap { row in
                    let start = (channel * height + row) * width
                    return values[start..<start + columns]
                }
            })
    }

    /// Some rows.
    func rows(_ range: Range<Int>) -> Latent {
        Latent(
            channels: channels, height: range.count, width: width,
            values: (0..<channels).flatMap { channel in
                let start = channel * height
                return values[
                    (start + range.lowerBound) * width..<(start + range.upperBound) * width]
            })
    }
}
