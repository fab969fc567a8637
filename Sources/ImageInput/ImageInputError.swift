/// Why a picture cannot be read. One sentence each, for a person.
package enum ImageInputError: Error, Equatable, CustomStringConvertible {
    /// Nothing is at `path`.
    case missing(path: String)
    /// There is something else than a file; `kind` says what.
    case noFile(path: String, kind: String)
    /// The system refused; `reason` is its own text.
    case unreadable(path: String, reason: String)
    /// The file is of another kind; `start` says what it starts with.
    case notPNG(path: String, start: String)
    /// The file begins as a PNG and cannot be read to its end, or is too large.
    case damaged(path: String, reason: String)

    package var description: String {
        switch self {
        case .missing(let path):
            "\(path) is missing; check the path of the picture"
        case .noFile(let path, let kind):
            "\(path) is \(kind); a picture is read from a file"
        case .unreadable(let path, let reason):
            "\(path) cannot be read: \(reason)"
        case .notPNG(let path, let start):
            "\(path) starts with \(start); expected a PNG; convert it with "
                + "\"magick FILE picture.png\" or any image editor"
        case .damaged(let path, let reason):
            "\(path) cannot be read as a PNG: \(reason)"
        }
    }
}
