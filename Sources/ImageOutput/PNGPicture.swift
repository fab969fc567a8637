internal import CPNG

/// A whole PNG in memory: what was written, read back.
package struct PNGPicture: Equatable, Sendable {
    package let width: Int
    package let height: Int
    /// Row-major RGB, three bytes per pixel.
    package let pixels: [UInt8]
    package let texts: [PNGText]

    /// Reads the file at `path`, converting to 8-bit RGB. Throws
    /// ``ImageOutputError/unreadable(path:reason:)``.
    package init(path: String) throws(ImageOutputError) {
        var picture = unsafe tsr_png_picture()
        var error = ErrorText()
        let status = unsafe error.collect { buffer in unsafe tsr_png_read(path, &picture, buffer) }
        guard status == 0 else { throw .unreadable(path: path, reason: error.text) }
        defer { unsafe tsr_png_free_picture(&picture) }
        width = unsafe Int(picture.width)
        height = unsafe Int(picture.height)
        let count = unsafe Int(picture.width) * Int(picture.height) * 3
        pixels = unsafe Array(UnsafeBufferPointer(start: picture.pixels, count: count))
        texts = unsafe (0..<picture.text_count).map { index in
            unsafe PNGText(
                keyword: String(cString: picture.keywords[index]!),
                text: String(cString: picture.texts[index]!)
            )
        }
    }
}
