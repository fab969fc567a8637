package import ClusterCore

/// Why bytes are no message, or a message cannot be put into bytes.
package enum WireError: Error, Equatable, CustomStringConvertible {
    /// Not even the preamble is ours.
    case notOurs(String)
    /// Another major version; what follows the version was not looked at.
    case incompatible(WireVersion)
    /// Something has a size that no message of ours has.
    case oversize(what: String, found: Int, limit: Int)
    /// The bytes changed on the way.
    case checksum(String)
    /// The body or a tensor contradicts itself.
    case malformed(String)
    /// A message this version does not know; a later minor version may.
    case unknownMessage

    package var description: String {
        switch self {
        case .notOurs(let reason): "this is no Tessera message: \(reason)"
        case .incompatible(let theirs):
            "the peer speaks wire version \(theirs), this program \(WireVersion.current); "
                + "upgrade workers first, then the coordinator"
        case .oversize(let what, let found, let limit):
            "\(what): \(found) found, at most \(limit) allowed"
        case .checksum(let what): "the checksum of \(what) does not match; it was damaged"
        case .malformed(let reason): reason
        case .unknownMessage: "a message of a kind that this version does not know"
        }
    }
}
