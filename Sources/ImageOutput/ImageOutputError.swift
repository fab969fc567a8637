/// Why a picture could not be written or read.
package enum ImageOutputError: Error, Equatable, CustomStringConvertible {
    /// The place for the picture cannot be written; found before anything was computed.
    case notWritable(path: String, reason: String)
    /// Writing broke off; nothing was left at `path` that was not there before.
    case writeFailed(path: String, reason: String)
    /// A stream took a part of the picture and not the rest.
    case streamBroken(path: String, reason: String)
    /// The file is no readable PNG.
    case unreadable(path: String, reason: String)

    package var description: String {
        switch self {
        case .notWritable(let path, let reason):
            "\(path) cannot be written (\(reason))"
        case .writeFailed(let path, let reason):
            "writing \(path) failed (\(reason)); what was there before is untouched"
        case .streamBroken(let path, let reason):
            "writing to \(path) broke off (\(reason)); what came out there is no whole picture"
        case .unreadable(let path, let reason):
            "\(path) cannot be read as a PNG (\(reason))"
        }
    }
}
