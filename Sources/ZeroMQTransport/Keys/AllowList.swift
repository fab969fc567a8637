internal import Foundation

/// Seconds since 1970 by the wall clock: the one thing in the cluster that a date decides.
package typealias UnixTime = Int64

/// One key that may come in.
package struct AuthorizedKey: Hashable, Sendable {
    /// What people call its holder.
    package let name: String
    package let key: CurvePublicKey
    /// The last second in which it may connect; nil is for ever.
    package let expiry: UnixTime?

    package init(name: String, key: CurvePublicKey, expiry: UnixTime?) {
        self.name = name
        self.key = key
        self.expiry = expiry
    }

    package func isExpired(at now: UnixTime) -> Bool { expiry.map { now > $0 } ?? false }

    /// What a file in the folder of authorised keys holds.
    package var fileText: String {
        var fields = [("name", name), ("public", "\(key)")]
        if let expiry { fields.append(("expires", DateText.render(expiry))) }
        return KeyText.render(
            comment:
                "A key that may connect to a tessera coordinator. Delete the file to revoke it.",
            fields.map { (name: $0.0, value: $0.1) })
    }

    /// Reads such a file, or a plain .pub file, which is valid for ever. `name` is the file's.
    ///
    /// Throws ``KeyFileProblem`` with what is wrong, in words that follow the file's name.
    package init(fileText: String, name: String) throws(KeyFileProblem) {
        let fields = KeyText(parsing: fileText)?.fields ?? [:]
        if fields["secret"] != nil {
            throw KeyFileProblem("holds a secret key; only the .pub file belongs here")
        }
        guard let key = CurvePublicKey(fileText: fileText) else {
            throw KeyFileProblem("holds no public key")
        }
        var expiry: UnixTime?
        if let text = fields["expires"] {
            guard let time = DateText.parse(text) else {
                throw KeyFileProblem(
                    "has an unreadable date '\(text)'; expected one like 2030-01-31T12:00:00Z")
            }
            expiry = time
        }
        self.init(name: fields["name"] ?? name, key: key, expiry: expiry)
    }
}

/// Why a file in the folder of authorised keys authorises nobody.
package struct KeyFileProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

/// Who may come in. A value: a folder that changes makes a new one.
package struct AllowList: Hashable, Sendable {
    /// What a handshake is answered.
    package enum Verdict: Hashable, Sendable {
        case admitted(name: String)
        case unknown
        case expired(name: String)
    }

    private let entries: [CurvePublicKey: AuthorizedKey]

    /// Of two entries for one key the longer one counts.
    package init(_ keys: [AuthorizedKey] = []) {
        entries = Dictionary(keys.map { ($0.key, $0) }) { first, second in
            (first.expiry ?? .max) >= (second.expiry ?? .max) ? first : second
        }
    }

    package var keys: Set<CurvePublicKey> { Set(entries.keys) }

    package func verdict(on key: CurvePublicKey, at now: UnixTime) -> Verdict {
        guard let entry = entries[key] else { return .unknown }
        return entry.isExpired(at: now) ? .expired(name: entry.name) : .admitted(name: entry.name)
    }
}

/// Dates in files and messages: ISO 8601 in UTC, to the second.
package enum DateText {
    package static func render(_ time: UnixTime) -> String {
        Date(timeIntervalSince1970: TimeInterval(time)).formatted(.iso8601)
    }

    package static func parse(_ text: String) -> UnixTime? {
        guard let date = try? Date(text, strategy: .iso8601) else { return nil }
        return UnixTime(exactly: date.timeIntervalSince1970.rounded())
    }

    /// By the wall clock.
    package static var now: UnixTime { UnixTime(Date().timeIntervalSince1970.rounded(.down)) }
}
