/// Why a run that goes on would not find under a state folder's path what this one kept, or was to
/// keep, in it.
package enum StateLoss: Error, Equatable, CustomStringConvertible {
    /// Nothing is there any more.
    case gone(path: String)
    /// Something else is there.
    case replaced(path: String)
    /// The system does not let anybody look.
    case unreachable(path: String, reason: String)
    /// The folder does not say any more whose state it holds.
    case withoutManifest(path: String)
    /// The folder is what it should be, and does not have it.
    case notTaken(path: String)

    package var description: String {
        switch self {
        case .gone(let path):
            "the state folder \(path) is not there any more, and where it went is not known"
        case .replaced(let path):
            "\(path) is not the state folder any more that this run began with, and where that went "
                + "is not known"
        case .unreachable(let path, let reason):
            "the state folder \(path) cannot be reached any more (\(reason))"
        case .withoutManifest(let path):
            "the state folder \(path) has lost its \(StateManifest.name), and without that nobody "
                + "goes on from it"
        case .notTaken(let path): "the state folder \(path) has not taken them"
        }
    }
}
