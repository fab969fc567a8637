package import Denoising
internal import ImageInput
internal import Tensors

/// A picture to start from: a PNG that was read once from its top to its end, so that whatever is
/// wrong with it is known before anything is computed.
package struct PictureFile: Sendable {
    package let path: String
    /// In pixels.
    package let extent: Extent
    /// Digest of its pixels, 16 hexadecimal digits: the same for every file that shows the same.
    package let digest: String

    /// Pixels that a side has at least.
    package static let shortestSide = 16

    /// Reads the whole file, a band of it at a time. Throws `ImageInputError` and
    /// ``PictureFileError``.
    package init(reading path: String) throws {
        var reading = try PictureReading(path: path)
        let (width, height) = (reading.reader.width, reading.reader.height)
        guard min(width, height) >= Self.shortestSide else {
            throw PictureFileError.tooSmall(path: path, width: width, height: height)
        }
        while reading.reader.rowsLeft > 0 { _ = try reading.next() }
        self.path = path
        extent = Extent(height: height, width: width)
        digest = reading.digest.fingerprint.description
    }

    /// A file of which this is known, because what was made of it is kept.
    package init(path: String, extent: Extent, digest: String) {
        self.path = path
        self.extent = extent
        self.digest = digest
    }

    /// The file of a run that goes on: what `kept` remembers of it where it is there no longer.
    /// Throws as ``init(reading:)`` does.
    package init(reading path: String, or kept: GenerationRequest?) throws {
        do {
            try self.init(reading: path)
        } catch ImageInputError.missing {
            guard let digest = kept?.image, let extent = kept?.imageExtent else {
                throw ImageInputError.missing(path: path)
            }
            self.init(path: path, extent: extent, digest: digest)
        }
    }

    /// ``open()``, for who opens it later.
    package var opening: OpenPicture { { try self.open() } }

    /// The picture from its top. Its last band is not given when the file has become another one.
    package func open() throws -> any PictureBands {
        let reading = try PictureReading(path: path, expecting: digest)
        guard reading.reader.height == extent.height, reading.reader.width == extent.width else {
            throw PictureFileError.changed(path: path)
        }
        return reading
    }
}

/// Why a picture is none to start from. One sentence each, for a person.
package enum PictureFileError: Error, Equatable, CustomStringConvertible {
    case tooSmall(path: String, width: Int, height: Int)
    /// The file is another one than when the run began.
    case changed(path: String)

    package var description: String {
        switch self {
        case .tooSmall(let path, let width, let height):
            "\(path) has \(width)×\(height) pixels; a picture to start from has at least "
                + "\(PictureFile.shortestSide) on each side"
        case .changed(let path):
            "\(path) shows another picture than when this run began; give it the one that it "
                + "began with"
        }
    }
}

private struct PictureReading: PictureBands {
    let reader: PNGReader
    private(set) var digest = Fingerprinter()
    private let path: String
    private let expected: String?

    /// Values of a band at most: about 4 MiB.
    private static let valuesPerBand = 1 << 20

    init(path: String, expecting digest: String? = nil) throws(ImageInputError) {
        reader = try PNGReader(path: path)
        self.path = path
        expected = digest
        self.digest.add(reader.width)
        self.digest.add(reader.height)
    }

    mutating func next() throws -> RGBImage {
        let rows = max(1, Self.valuesPerBand / (3 * reader.width))
        let band = try reader.read(rows: min(rows, reader.rowsLeft))
        // Row by row: the digest does not depend on how the picture is cut.
        for row in 0..<band.height {
            for channel in 0..<band.channels {
                let first = (channel * band.height + row) * band.width
                digest.add(Array(band.values[first..<first + band.width]))
            }
        }
        if let expected, reader.rowsLeft == 0, digest.fingerprint.description != expected {
            throw PictureFileError.changed(path: path)
        }
        return band
    }
}
