internal import CPNGWriter
internal import DurableFiles
internal import Glibc

/// One text chunk of a PNG: a keyword of 1–79 Latin-1 characters and UTF-8 text
/// (PNG specification, 11.3.4).
package struct PNGText: Equatable, Sendable {
    package let keyword: String
    package let text: String

    package init(keyword: String, text: String) {
        self.keyword = keyword
        self.text = text
    }
}

/// A PNG that grows row by row under a temporary name beside its destination and appears there,
/// whole and on disk, only when ``finish()`` returns. Dropped unfinished, it leaves nothing.
@safe package final class PNGStream {
    private let path: String
    private let width: Int
    private let height: Int
    private var file: AtomicFile
    private var writer: OpaquePointer?
    private var rowsWritten = 0

    /// Opens the temporary file and writes the header. Throws
    /// ``ImageOutputError/notWritable(path:reason:)`` when that cannot be done.
    package init(
        path: String,
        width: Int,
        height: Int,
        texts: [PNGText]
    ) throws(ImageOutputError) {
        precondition(width > 0 && height > 0, "a picture needs positive extents")
        self.path = path
        self.width = width
        self.height = height
        do { file = try AtomicFile(path: path) } catch { throw Self.notWritable(error) }
        let keywords = unsafe texts.map { unsafe strdup($0.keyword) }
        let contents = unsafe texts.map { unsafe strdup($0.text) }
        defer {
            unsafe (keywords + contents).forEach { unsafe free($0) }
        }
        let chunks = unsafe zip(keywords, contents).map { pair in
            unsafe tsr_png_text(keyword: pair.0, text: pair.1)
        }
        var error = ErrorText()
        unsafe writer = error.collect { buffer in
            unsafe tsr_png_begin(
                file.descriptor, UInt32(width), UInt32(height), chunks, chunks.count, buffer
            )
        }
        guard unsafe writer != nil else {
            throw .notWritable(path: path, reason: error.text)
        }
    }

    deinit { unsafe tsr_png_free(writer) }

    /// Appends whole rows of 3·width bytes, top to bottom.
    package func append(rows bytes: [UInt8]) throws(ImageOutputError) {
        precondition(bytes.count % (width * 3) == 0, "rows come whole")
        let count = bytes.count / (width * 3)
        precondition(rowsWritten + count <= height, "more rows than the picture has")
        var error = ErrorText()
        let status = unsafe error.collect { buffer in
            unsafe tsr_png_rows(writer, bytes, UInt32(count), buffer)
        }
        guard status == 0 else { throw .writeFailed(path: path, reason: error.text) }
        rowsWritten += count
    }

    /// Ends the picture, brings it to disk and gives it its name.
    package func finish() throws(ImageOutputError) {
        precondition(rowsWritten == height, "\(rowsWritten) of \(height) rows were written")
        var error = ErrorText()
        let status = unsafe error.collect { buffer in unsafe tsr_png_finish(writer, buffer) }
        guard status == 0 else { throw .writeFailed(path: path, reason: error.text) }
        do { try file.commit() } catch {
            throw .writeFailed(path: path, reason: error.reason)
        }
    }

    /// Checks, before anything is computed, that a picture can be put at `path`: the folder
    /// exists, takes a new file, and `path` itself is no folder.
    package static func checkWritable(_ path: String) throws(ImageOutputError) {
        do { try AtomicFile.checkWritable(path) } catch { throw notWritable(error) }
    }

    /// The libpng in use, such as `1.6.39`.
    package static var libraryVersion: String {
        unsafe String(cString: tsr_png_library_version())
    }

    private static func notWritable(_ failure: FileFailure) -> ImageOutputError {
        .notWritable(path: failure.path, reason: failure.reason)
    }
}

/// The sentence that a C function leaves behind.
struct ErrorText {
    private var bytes = [CChar](repeating: 0, count: Int(TSR_PNG_ERROR_LENGTH))

    mutating func collect<Result>(
        _ body: (UnsafeMutablePointer<CChar>) -> Result
    ) -> Result {
        unsafe bytes.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
    }

    var text: String {
        let length = bytes.firstIndex(of: 0) ?? bytes.count
        return String(decoding: bytes[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
