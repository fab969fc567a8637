/// How a coordinator's socket is protected.
package enum ListenSecurity: Sendable {
    /// Nothing is encrypted and everyone may come in; off this machine only when that is said.
    case plaintext(mayLeaveMachine: Bool)
    /// Encrypted by this key, for those whose keys are authorised.
    case curve(CurveKeyPair, AuthorizedKeys)

    package var allowsAnyAddress: Bool {
        switch self {
        case .plaintext(let mayLeave): mayLeave
        case .curve: true
        }
    }

    var keys: AuthorizedKeys? {
        if case .curve(_, let keys) = self { keys } else { nil }
    }
}

/// How a worker's connection is protected.
package enum DialSecurity: Sendable {
    /// Nothing is encrypted; off this machine only when that is said.
    case plaintext(mayLeaveMachine: Bool)
    /// Encrypted by the worker's own key, for the one coordinator that has the server key.
    case curve(own: CurveKeyPair, server: CurvePublicKey)

    package var allowsAnyAddress: Bool {
        switch self {
        case .plaintext(let mayLeave): mayLeave
        case .curve: true
        }
    }
}
