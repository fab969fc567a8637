package import DurableFiles
internal import ImageFilters
internal import ImageInput
internal import ImageOutput
internal import Tensors

/// A picture as a page shows it: reduced, and its middle at full size.
package enum Thumbnail {
    /// Rows of a picture that are in memory at a time.
    private static let band = 64

    /// Writes `picture`, reduced to at most `side` pixels a side, to `reduced`, and its middle, so
    /// many pixels a side, to `detail`. Throws what reading and writing pictures throws.
    package static func write(
        of picture: String, side: Int, reduced: OutputPlace, detail: OutputPlace
    ) async throws {
        let reader = try PNGReader(path: picture)
        let longest = max(reader.width, reader.height)
        let scale = min(1, Double(side) / Double(longest))
        let (height, width) = (
            max(1, Int((Double(reader.height) * scale).rounded())),
            max(1, Int((Double(reader.width) * scale).rounded()))
        )
        var resampler = BandResampler<RGBImage>(
            filter: .antialiasedBilinear, channels: 3, height: reader.height, width: reader.width,
            newHeight: height, newWidth: width)
        let (cropHeight, cropWidth) = (min(side, reader.height), min(side, reader.width))
        let (top, left) = ((reader.height - cropHeight) / 2, (reader.width - cropWidth) / 2)
        let whole = try PNGStream(to: reduced, width: width, height: height, texts: [])
        defer { whole.abandon() }
        let middle = try PNGStream(to: detail, width: cropWidth, height: cropHeight, texts: [])
        defer { middle.abandon() }
        var row = 0
        while reader.rowsLeft > 0 {
            let band = try reader.read(rows: min(Self.band, reader.rowsLeft))
            if let ready = resampler.add(band) { try await whole.append(rows: bytes(of: ready)) }
            let (first, end) = (max(row, top), min(row + band.height, top + cropHeight))
            if first < end {
                try await middle.append(
                    rows: bytes(
                        of: band, rows: first - row..<end - row, columns: left..<left + cropWidth))
            }
            row += band.height
        }
        try await whole.finish()
        try await middle.finish()
    }

    /// Row-major RGB bytes of a part of an image.
    private static func bytes(
        of image: RGBImage, rows: Range<Int>? = nil, columns: Range<Int>? = nil
    ) -> [UInt8] {
        let plane = image.height * image.width
        var bytes: [UInt8] = []
        for row in rows ?? 0..<image.height {
            for column in columns ?? 0..<image.width {
                for channel in 0..<3 {
                    let value = image.values[channel * plane + row * image.width + column]
                    bytes.append(UInt8(max(0, min(255, (value * 255).rounded()))))
                }
            }
        }
        return bytes
    }
}
