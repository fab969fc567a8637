internal import DurableFiles
package import Tensors

/// Why weights, or another file that belongs to a model, cannot be used. One sentence each, for
/// a person: which file, what was expected, what was found.
package enum WeightsError: Error, Equatable, CustomStringConvertible {
    /// Nothing is at `path`; `advice` says what to do about it.
    case missing(path: String, advice: String)
    /// The system refused; `reason` is its own text.
    case unreadable(path: String, reason: String)
    /// Nothing is at `path`, because `link` on the way to it points to nothing.
    case brokenLink(path: String, link: String, target: String)
    /// Git LFS keeps the file elsewhere.
    case pointer(path: String)
    /// A token that was added to a vocabulary does not fit the model's other files.
    case addedToken(path: String, token: String, reason: String)
    /// The file as a whole is not what it claims to be.
    case malformed(path: String, reason: String)
    /// A configuration file says something this program cannot do; `field` is the one.
    case field(path: String, field: String, expected: String, found: String)
    /// One tensor's header entry contradicts itself or the file.
    case malformedTensor(path: String, tensor: String, expected: String, found: String)
    /// The network needs a tensor that no file of the component holds.
    case missingTensor(path: String, tensor: String, expected: Shape)
    /// The tensor is there, of another shape.
    case wrongShape(path: String, tensor: String, expected: Shape, found: Shape)
    /// The tensor is there, in an element type that cannot be widened to float32.
    case unsupportedType(path: String, tensor: String, found: String)
    /// Writing failed; `reason` is the system's text.
    case unwritable(path: String, reason: String)

    /// One sentence for a person.
    package var description: String {
        switch self {
        case .missing(let path, let advice):
            "\(path) is missing; \(advice)"
        case .unreadable(let path, let reason):
            "\(path) cannot be read: \(reason)"
        case .brokenLink(let path, let link, let target):
            "\(path) cannot be read: \(link) is a link to \(target), which is not there"
        case .pointer(let path):
            "\(path) is a Git LFS pointer, not the file itself; git lfs pull fetches that"
        case .addedToken(let path, let token, let reason):
            "\(path): \"\(token.prefix(80))\", a token that was added: \(reason)"
        case .malformed(let path, let reason):
            "\(path) is damaged or of another kind: \(reason)"
        case .field(let path, let field, let expected, let found):
            "\(path): field \(field): expected \(expected), found \(found)"
        case .malformedTensor(let path, let tensor, let expected, let found):
            "\(path): tensor \(tensor): expected \(expected), found \(found)"
        case .missingTensor(let path, let tensor, let expected):
            "\(path): tensor \(tensor) is missing; expected one of shape \(expected)"
        case .wrongShape(let path, let tensor, let expected, let found):
            "\(path): tensor \(tensor): expected shape \(expected), found \(found)"
        case .unsupportedType(let path, let tensor, let found):
            "\(path): tensor \(tensor): expected element type F32, F16 or BF16, found \(found)"
        case .unwritable(let path, let reason):
            "\(path) cannot be written: \(reason)"
        }
    }
}

extension WeightsError {
    /// For a path at which nothing is: because a link on the way to it points to nothing, or
    /// because it was never there.
    static func absent(_ path: String, advice: String) -> WeightsError {
        guard let (link, target) = danglingLink(on: path) else {
            return .missing(path: path, advice: advice)
        }
        return .brokenLink(path: path, link: link, target: target)
    }

    /// What mends it, for those with a mending of their own; nil for others.
    package var remedy: String? {
        switch self {
        case .pointer:
            "run git lfs pull in the model's folder, which fetches the files"
        case .brokenLink(_, let link, let target):
            "put back what \(link) points to, \(target), or the file itself in the link's place"
        case .addedToken:
            "take the tokenizer's and the text encoder's folders from one place, saved after the "
                + "token was added, or take it out of the tokenizer's files"
        default: nil
        }
    }

    /// A file that could not be written.
    init(_ failure: FileFailure) { self = .unwritable(path: failure.path, reason: failure.reason) }
}
