package import ClusterCore
internal import CZeroMQ

/// Who somebody is to a cluster: the public half of a CURVE key.
package struct CurvePublicKey: Hashable, Sendable, CustomStringConvertible {
    package static let byteCount = 32
    package let bytes: [UInt8]

    /// Nil unless there are 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Reads 43 characters of base64url, or the 40 of Z85 that other ZeroMQ programs print.
    package init?(_ text: some StringProtocol) {
        let decoded = text.utf8.count == 40 ? Z85.decode(text) : Base64URL.decode(text)
        guard let decoded else { return nil }
        self.init(bytes: decoded)
    }

    /// 43 characters of base64url.
    package var description: String { Base64URL.encode(bytes) }

    /// Enough of it to tell keys apart in a log.
    package var short: String { String(description.prefix(8)) }
}

/// Both halves of a CURVE key. Its text shows the public one only.
package struct CurveKeyPair: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    package let publicKey: CurvePublicKey
    let secret: [UInt8]

    /// Nil unless the two halves belong together.
    init?(publicKey: CurvePublicKey, secret: [UInt8]) {
        guard secret.count == CurvePublicKey.byteCount, let text = Z85.encode(secret) else {
            return nil
        }
        var derived = [CChar](repeating: 0, count: 41)
        guard unsafe zmq_curve_public(&derived, text) == 0,
            CurvePublicKey(Self.text(derived)) == publicKey
        else { return nil }
        self.publicKey = publicKey
        self.secret = secret
    }

    private init(publicKey: CurvePublicKey, knownSecret secret: [UInt8]) {
        self.publicKey = publicKey
        self.secret = secret
    }

    /// A fresh pair from the system's random numbers. Throws ``TransportError`` when the libzmq
    /// that is loaded was built without CURVE.
    package static func generate() throws(TransportError) -> CurveKeyPair {
        var (open, hidden) = ([CChar](repeating: 0, count: 41), [CChar](repeating: 0, count: 41))
        guard unsafe zmq_curve_keypair(&open, &hidden) == 0,
            let publicKey = CurvePublicKey(text(open)), let secret = Z85.decode(text(hidden))
        else {
            throw .system(
                operation: "make", endpoint: "a CURVE key",
                reason: "libzmq \(ZeroMQLibrary.version) was built without CURVE; install one "
                    + "with libsodium (tessera doctor)")
        }
        return CurveKeyPair(publicKey: publicKey, knownSecret: secret)
    }

    private static func text(_ characters: [CChar]) -> String {
        String(
            decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    package var description: String { "\(publicKey) (secret not shown)" }

    package var customMirror: Mirror { Mirror(self, children: ["publicKey": publicKey]) }
}
