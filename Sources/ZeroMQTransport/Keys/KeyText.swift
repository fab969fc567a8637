/// What key files hold: `name = value` lines, and comments that begin with `#`.
struct KeyText: Hashable, Sendable {
    private(set) var fields: [String: String] = [:]

    /// Nil when a line is neither, or a name comes twice.
    init?(parsing text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.trimmed
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let equals = line.firstIndex(of: "=") else { return nil }
            let name = line[..<equals].trimmed
            let value = line[line.index(after: equals)...].trimmed
            guard !name.isEmpty, fields.updateValue(value, forKey: name) == nil else {
                return nil
            }
        }
    }

    static func render(comment: String, _ fields: [(name: String, value: String)]) -> String {
        let lines = comment.split(separator: "\n").map { "# \($0)" }
        return (lines + fields.map { "\($0.name) = \($0.value)" }).joined(separator: "\n") + "\n"
    }
}

extension StringProtocol {
    fileprivate var trimmed: String {
        let start = drop { $0 == " " || $0 == "\t" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}

extension CurveKeyPair {
    /// What `tessera keygen` writes.
    package var fileText: String {
        KeyText.render(
            comment: """
                A tessera secret key. Whoever can read this file is its owner to the cluster:
                keep it at mode 0600 and never send it. The .pub file beside it is for others.
                """,
            [
                ("public", "\(publicKey)"),
                ("secret", secretText),
            ])
    }

    /// Nil when the text is of another kind or the halves do not belong together.
    package init?(fileText: String) {
        guard let fields = KeyText(parsing: fileText)?.fields,
            let publicKey = fields["public"].flatMap(CurvePublicKey.init(_:)),
            let secret = fields["secret"].flatMap(Base64URL.decode(_:))
        else { return nil }
        self.init(publicKey: publicKey, secret: secret)
    }
}

extension CurvePublicKey {
    /// What `tessera keygen` writes into the .pub file.
    package var fileText: String {
        KeyText.render(
            comment: "A tessera public key; it may be shown to anyone.", [("public", "\(self)")])
    }

    /// The public key in a key file of either kind, or a key by itself.
    package init?(fileText: String) {
        if let key = KeyText(parsing: fileText)?.fields["public"].flatMap(CurvePublicKey.init(_:)) {
            self = key
        } else {
            self.init(fileText.filter { !$0.isWhitespace })
        }
    }
}

extension CurveKeyPair {
    /// The secret half in base64url, for a file that only its owner can read.
    package var secretText: String { Base64URL.encode(secret) }

    /// Nil when the halves do not belong together.
    package init?(publicKey: CurvePublicKey, secretText: String) {
        guard let secret = Base64URL.decode(secretText) else { return nil }
        self.init(publicKey: publicKey, secret: secret)
    }
}
