/// A question of the ZeroMQ Authentication Protocol, RFC 27: may this client come in?
struct ZAPRequest: Hashable, Sendable {
    let id: [UInt8]
    let domain: String
    let mechanism: String
    /// CURVE: the client's public key.
    let credentials: [[UInt8]]

    /// The only domain that is asked about here.
    static let domain = "tessera"
    static let version = Array("1.0".utf8)

    /// Nil when it is no question of this version: version, id, domain, address, identity,
    /// mechanism, credentials.
    init?(frames: [[UInt8]]) {
        guard frames.count >= 6, frames[0] == Self.version else { return nil }
        id = frames[1]
        domain = String(decoding: frames[2], as: UTF8.self)
        mechanism = String(decoding: frames[5], as: UTF8.self)
        credentials = Array(frames.dropFirst(6))
    }

    /// The key of a CURVE client.
    var key: CurvePublicKey? {
        guard mechanism == "CURVE", credentials.count == 1 else { return nil }
        return CurvePublicKey(bytes: credentials[0])
    }
}

/// The answer.
enum ZAPReply: Hashable, Sendable {
    /// The user id becomes a property of every message of the connection.
    case welcome(userID: String)
    /// For good: another attempt with the same key is pointless.
    case denied
    /// For now.
    case failed

    func frames(for request: ZAPRequest) -> [[UInt8]] {
        let (status, text, user) =
            switch self {
            case .welcome(let userID): ("200", "OK", userID)
            case .denied: ("400", "not authorised", "")
            case .failed: ("500", "ask again later", "")
            }
        return [
            ZAPRequest.version, request.id, Array(status.utf8), Array(text.utf8),
            Array(user.utf8), [],
        ]
    }
}
