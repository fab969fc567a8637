internal import CPNG
package import DurableFiles
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

/// A PNG that grows row by row. In a file it appears, whole and on disk, only when ``finish()``
/// returns; dropped unfinished, it leaves nothing. On a stream it is there as it grows.
///
/// One task at a time may use it.
@safe package final class PNGStream: @unchecked Sendable {
    // Sendable: its methods end before they return to the one task that may call them, whatever
    // thread they compress and write on.
    private let place: OutputPlace
    private let width: Int
    private let height: Int
    private var file: AtomicFile
    private var writer: OpaquePointer?
    private var rowsWritten = 0

    /// Bytes collected before they are written.
    private static let block = 1 << 16

    /// Opens the temporary file, where there is to be one. Throws
    /// ``ImageOutputError/notWritable(path:reason:)`` when that cannot be done.
    package init(
        to place: OutputPlace,
        width: Int,
        height: Int,
        texts: [PNGText]
    ) throws(ImageOutputError) {
        precondition(width > 0 && height > 0, "a picture needs positive extents")
        self.place = place
        self.width = width
        self.height = height
        do { file = try AtomicFile(place) } catch {
            throw .notWritable(path: error.path, reason: error.reason)
        }
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
            unsafe tsr_png_begin(UInt32(width), UInt32(height), chunks, chunks.count, buffer)
        }
        guard unsafe writer != nil else {
            throw .notWritable(path: file.path, reason: error.text)
        }
    }

    deinit { unsafe tsr_png_free(writer) }

    /// Appends whole rows of 3·width bytes, top to bottom. Waits for a stream's reader; gives it up
    /// when the task is cancelled. Throws ``ImageOutputError``.
    package func append(rows bytes: [UInt8]) async throws(ImageOutputError) {
        precondition(bytes.count % (width * 3) == 0, "rows come whole")
        let count = bytes.count / (width * 3)
        precondition(rowsWritten + count <= height, "more rows than the picture has")
        try await place.writing { () throws(ImageOutputError) in
            for row in 0..<count {
                try unsafe self.encode { unsafe tsr_png_row(self.writer, bytes, row, $0) }
                if unsafe tsr_png_length(self.writer) >= Self.block { try self.drain() }
            }
        }
        rowsWritten += count
    }

    /// Ends the picture; brings a file to disk and gives it its name. Throws ``ImageOutputError``.
    package func finish() async throws(ImageOutputError) {
        precondition(rowsWritten == height, "\(rowsWritten) of \(height) rows were written")
        try await place.writing { () throws(ImageOutputError) in
            try unsafe self.encode { unsafe tsr_png_finish(self.writer, $0) }
            try self.drain()
            do throws(FileFailure) { try self.file.commit() } catch {
                throw self.broken(error.reason)
            }
        }
    }

    /// Leaves nothing of a picture that is not finished; afterwards this is of no use.
    package func abandon() { file.abandon() }

    private func encode(
        _ body: (UnsafeMutablePointer<CChar>) -> Int32
    ) throws(ImageOutputError) {
        var error = ErrorText()
        guard unsafe error.collect({ unsafe body($0) }) == 0 else { throw broken(error.text) }
    }

    /// Writes what libpng has made so far.
    private func drain() throws(ImageOutputError) {
        let count = unsafe tsr_png_length(writer)
        do {
            try unsafe file.write(
                UnsafeRawBufferPointer(start: tsr_png_take(writer), count: count))
        } catch {
            throw broken(error.reason)
        }
    }

    private func broken(_ reason: String) -> ImageOutputError {
        switch place {
        case .file(let path): .writeFailed(path: path, reason: reason)
        case .stream(let stream): .streamBroken(path: stream.path, reason: reason)
        }
    }

    /// The libpng in use, such as `1.6.39`.
    package static var libraryVersion: String {
        unsafe String(cString: tsr_png_library_version())
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
