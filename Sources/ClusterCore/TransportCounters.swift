/// Why a transport turned a connection or a message away.
package enum RefusalReason: String, CaseIterable, Codable, CodingKeyRepresentable, Sendable {
    /// A key that the coordinator has never let in.
    case unknownKey
    /// A key that was let in before and is no longer authorised; also a session that was ended.
    case revokedKey
    /// A key whose time is over.
    case expiredKey
    /// The list of authorised keys could not be read just then.
    case listUnreadable
    /// The client does not encrypt, or the two ends do not agree whether to.
    case noKey
    /// The client took this coordinator for another: it encrypts for another server key.
    case wrongServerKey
    /// Broken handshake commands.
    case badHandshake
    /// What was sent first is no ZMTP/3 greeting: an HTTP request, a TLS hello, random bytes.
    case notZMTP
    /// The connection ended, or its time ran out, before the handshake was over: a port scanner,
    /// a half-open connection.
    case abandoned
    /// The connection was established and never said a whole word.
    case silent
    /// The descriptor table is nearly full, and what is left belongs to the running job.
    case noDescriptors
    /// The operating system could not accept the connection.
    case acceptFailed
    /// A frame above `Limits.maximumFrameBytes`.
    case oversizedFrame
    /// More frames than a message may have.
    case tooManyFrames
    /// More bytes than a message may have, or too long a time, without the message's end.
    case endlessMessage
    /// Connections that sent more messages than `Limits.maximumMalformed` that make no sense.
    case malformed
    /// A message by one key under the address of another.
    case forgedAddress

    /// For people.
    package var description: String {
        switch self {
        case .unknownKey: "unknown key"
        case .revokedKey: "revoked key"
        case .expiredKey: "expired key"
        case .listUnreadable: "list of keys unreadable"
        case .noKey: "no key"
        case .wrongServerKey: "wrong server key"
        case .badHandshake: "broken handshake"
        case .notZMTP: "not ZeroMQ"
        case .abandoned: "handshake abandoned"
        case .silent: "said nothing"
        case .noDescriptors: "no descriptors left (ulimit -n)"
        case .acceptFailed: "not accepted by the system"
        case .oversizedFrame: "oversized frame"
        case .tooManyFrames: "too many frames"
        case .endlessMessage: "endless message"
        case .malformed: "malformed messages"
        case .forgedAddress: "forged address"
        }
    }
}

extension RefusalReason: CustomStringConvertible {}

/// What came to a transport's door in its life. All counts begin at 0 and never fall.
package struct TransportCounters: Hashable, Sendable, Codable {
    /// Connections that the operating system handed over.
    package var accepted = 0
    /// Handshakes that ended well.
    package var established = 0
    /// Connections that ended, for whatever reason.
    package var ended = 0
    /// Established connections that ended before a whole message came: among them those that
    /// began with a frame so large that the library ended them at once.
    package var endedUnheard = 0
    /// Whole messages that were handed on.
    package var messages = 0
    /// Connections and messages turned away, by reason; reasons that never occurred are left out.
    package var refused: [RefusalReason: Int] = [:]

    package init() {}

    /// All refusals together.
    package var totalRefused: Int { refused.values.reduce(0, +) }

    package mutating func refuse(_ reason: RefusalReason, _ count: Int = 1) {
        refused[reason, default: 0] += count
    }

    /// `12 refused: 10 not ZeroMQ, 2 unknown key`; nil when nothing was.
    package var refusalSummary: String? {
        guard totalRefused > 0 else { return nil }
        let parts = RefusalReason.allCases.compactMap { reason in
            refused[reason].map { "\($0) \(reason)" }
        }
        return "\(totalRefused) refused: " + parts.joined(separator: ", ")
    }
}
