internal import CPNG
internal import Glibc
package import Tensors

/// A PNG that is read band by band: 1 to 16 bits, grey, palette or RGB, with transparency or
/// without, as RGB in 0 … 1. What is transparent is laid over white; gamma and colour profiles are
/// ignored. No more than a band of a picture is in memory, of an interlaced one all of it.
///
/// One task at a time may use it.
@safe package final class PNGReader: @unchecked Sendable {
    // Sendable: its methods end before they return to the one task that may call them.
    /// The picture's columns, 1 … ``pixelsPerSide``.
    package let width: Int
    /// The picture's rows, 1 … ``pixelsPerSide``.
    package let height: Int
    /// Rows that were not read yet.
    package private(set) var rowsLeft: Int

    private let path: String
    private let reader: OpaquePointer

    /// Most pixels on a side that is read, as many as a picture that is made may have.
    package static let pixelsPerSide = 65_536
    /// Most pixels of an interlaced picture, which takes up to eight bytes for each.
    package static let interlacedPixels = 1 << 24

    /// Opens the file and reads its header. Throws ``ImageInputError``.
    package init(path: String) throws(ImageInputError) {
        let descriptor = try Self.open(path)
        var limits = tsr_png_limits(
            pixels_per_side: UInt32(Self.pixelsPerSide),
            interlaced_pixels: UInt64(Self.interlacedPixels))
        var error = [CChar](repeating: 0, count: Int(TSR_PNG_ERROR_LENGTH))
        guard let reader = unsafe tsr_png_open(descriptor, &limits, &error) else {
            throw .damaged(path: path, reason: Self.text(error))
        }
        unsafe self.reader = reader
        self.path = path
        width = unsafe Int(tsr_png_width(reader))
        height = unsafe Int(tsr_png_height(reader))
        rowsLeft = height
    }

    deinit { unsafe tsr_png_close(reader) }

    /// The next `count` rows, one or more; traps when fewer are left. With the last row the rest of
    /// the file is checked.
    ///
    /// Throws ``ImageInputError/damaged(path:reason:)``; afterwards nothing more can be read.
    package func read(rows count: Int) throws(ImageInputError) -> RGBImage {
        precondition(count > 0 && count <= rowsLeft, "\(rowsLeft) rows are left, not \(count)")
        var values = [Float](repeating: 0, count: 3 * count * width)
        var error = [CChar](repeating: 0, count: Int(TSR_PNG_ERROR_LENGTH))
        let isRead = unsafe values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return false }
            let plane = count * width
            return (0..<count).allSatisfy { row in
                let red = unsafe start + row * width
                return unsafe tsr_png_next_row(
                    reader, red, red + plane, red + 2 * plane, &error) == 0
            }
        }
        guard isRead else {
            rowsLeft = 0
            throw .damaged(path: path, reason: Self.text(error))
        }
        rowsLeft -= count
        return RGBImage(height: count, width: width, values: values)
    }

    /// A descriptor of a file that starts as a PNG, at its start.
    private static func open(_ path: String) throws(ImageInputError) -> Int32 {
        // Without waiting for somebody to write to a pipe.
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw errno == ENOENT ? .missing(path: path) : unreadable(path)
        }
        do throws(ImageInputError) {
            try checkFile(descriptor, path)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func checkFile(_ descriptor: Int32, _ path: String) throws(ImageInputError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw unreadable(path) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw .noFile(path: path, kind: "a directory")
        case S_IFIFO: throw .noFile(path: path, kind: "a pipe")
        default: throw .noFile(path: path, kind: "a device")
        }
        var bytes = [UInt8](repeating: 0, count: FileStart.length)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw unreadable(path) }
        if let start = FileStart.unlikePNG(Array(bytes[..<count])) {
            throw .notPNG(path: path, start: start)
        }
    }

    private static func unreadable(_ path: String) -> ImageInputError {
        .unreadable(path: path, reason: unsafe String(cString: strerror(errno)))
    }

    private static func text(_ error: [CChar]) -> String {
        let length = error.firstIndex(of: 0) ?? error.count
        return String(decoding: error[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
