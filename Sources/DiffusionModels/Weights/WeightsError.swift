internal import DurableFiles
package import Tensors

/// Why weights, or another file that belongs to a model, cannot be used. One sentence each, for
/// a person: which file, what was expected, what was found.
package enum WeightsError: Error, Equatable, CustomStringConvertible {
    /// Nothing is at `path`; `advice` says what to do about it.
    case missing(path: String, advice: String)
    /// The system refused; `reason` is its own text.
    case unreadable(path: String, reason: String)
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
        return .unreadable(path: path, reason: "\(link) is a link to \(target), which is not there")
    }

    /// A file that could not be written.
    init(_ failure: FileFailure) { self = .unwritable(path: failure.path, reason: failure.reason) }
}
