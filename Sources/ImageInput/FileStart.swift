/// What the first bytes of a file say it is.
enum FileStart {
    /// The first bytes of every PNG (PNG specification, 5.2).
    static let png: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// As many bytes as are looked at.
    static let length = 12

    /// Formats that people take for a PNG, by what stands at which place.
    private static let others: [(offset: Int, bytes: [UInt8], name: String)] = [
        (0, [0xFF, 0xD8, 0xFF], "a JPEG's bytes"),
        (0, Array("GIF8".utf8), "a GIF's bytes"),
        (8, Array("WEBP".utf8), "a WebP's bytes"),
        (0, Array("II*\0".utf8), "a TIFF's bytes"),
        (0, Array("MM\0*".utf8), "a TIFF's bytes"),
        (0, Array("BM".utf8), "a BMP's bytes"),
        (4, Array("ftypavif".utf8), "an AVIF's bytes"),
        (4, Array("ftyphei".utf8), "a HEIC's bytes"),
        (4, Array("ftypmif1".utf8), "a HEIC's bytes"),
        (0, Array("%PDF".utf8), "a PDF's bytes"),
    ]

    /// What a file that is no PNG starts with; nil for one that may be a PNG.
    static func unlikePNG(_ bytes: [UInt8]) -> String? {
        guard !bytes.isEmpty else { return "nothing, for it is empty" }
        guard !png.starts(with: bytes.prefix(png.count)) else { return nil }
        for (offset, expected, name) in others
        where bytes.dropFirst(offset).starts(with: expected) {
            return name
        }
        if bytes.allSatisfy({ (0x20..<0x7F).contains($0) }) {
            return "\"\(String(decoding: bytes, as: UTF8.self))\""
        }
        let digits = bytes.prefix(4).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return "the bytes \(digits.joined(separator: " "))"
    }
}
