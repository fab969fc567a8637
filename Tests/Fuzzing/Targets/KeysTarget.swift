import Tensors

@testable import ZeroMQTransport

/// Any join token, key file or entry of the folder of authorised keys: it is read or refused, and
/// what is read can be written, and reads as the same.
///
/// The first byte says which of them the others are.
enum KeysTarget: FuzzTarget {
    private enum Kind: UInt8, CaseIterable {
        case token, sealedToken, pair, authorized, publicKey
    }

    /// A pair that is nobody's.
    private static let secret = Array(1...32 as ClosedRange<UInt8>)
    private static let publicKey = hexadecimal(
        "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")

    private static func hexadecimal(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map {
            UInt8(digits[$0] << 4 | digits[$0 + 1])
        }
    }

    static func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let bytes = Array(input.dropFirst())
        let text = String(decoding: bytes, as: UTF8.self)
        switch Kind(rawValue: first % UInt8(Kind.allCases.count)) {
        case .token: check(token: text)
        case .sealedToken: check(token: sealed(bytes))
        case .pair:
            guard let pair = CurveKeyPair(fileText: text) else { return }
            guard CurveKeyPair(fileText: pair.fileText) == pair else { broken("\(pair) differs") }
        case .authorized:
            guard let key = try? AuthorizedKey(fileText: text, name: "n") else { return }
            guard (try? AuthorizedKey(fileText: key.fileText, name: "")) == key else {
                broken("\(key) differs from what its file says:\n\(key.fileText)")
            }
        case .publicKey, nil:
            guard let key = CurvePublicKey(fileText: text) else { return }
            guard CurvePublicKey(fileText: key.fileText) == key, CurvePublicKey("\(key)") == key
            else { broken("\(key) differs") }
        }
    }

    private static func check(token text: String) {
        guard let token = try? JoinToken(text) else { return }
        guard token.text == text else { broken("\(token) was another text") }
        // What people are told.
        _ = token.expiry.map(DateText.render)
        _ = token.isExpired(at: 0)
    }

    /// A token of right keys and checksum, with eight bytes of expiry and any endpoint.
    private static func sealed(_ bytes: [UInt8]) -> String {
        let expiry = Array((bytes + [UInt8](repeating: 0, count: 8)).prefix(8))
        let body = expiry + publicKey + publicKey + secret + bytes.dropFirst(8)
        return JoinToken.prefix
            + Base64URL.encode(body + WireInput.littleEndian(CRC32C.of(body)))
    }

    static var seeds: [String: [UInt8]] {
        guard let key = CurvePublicKey(bytes: publicKey),
            let pair = CurveKeyPair(publicKey: key, secret: secret)
        else { broken("the two halves do not belong together") }
        func input(_ kind: Kind, _ text: String) -> [UInt8] { [kind.rawValue] + text.utf8 }
        let endpoint = Array("tcp://10.0.0.1:5555".utf8)
        let token = JoinToken(
            endpoint: "tcp://a.example:5555", serverKey: key, workerKey: pair, expiry: 2_000_000_000
        )
        return [
            "token": input(.token, token.text),
            "later-token": input(.token, "tessera2.AAAA"),
            "sealed-token": [Kind.sealedToken.rawValue] + [0, 0x94, 0x35, 0x77, 0, 0, 0, 0]
                + endpoint,
            "hostile-expiry": [Kind.sealedToken.rawValue]
                + [255, 255, 255, 255, 255, 255, 255, 127] + endpoint,
            "pair": input(.pair, pair.fileText),
            "authorized": input(
                .authorized, AuthorizedKey(name: "lake", key: key, expiry: 2_000_000_000).fileText),
            "secret-in-folder": input(.authorized, pair.fileText),
            "z85": input(.publicKey, Z85.encode(publicKey) ?? ""),
            "twice": input(.authorized, "public = \(key)\npublic = \(key)\n"),
        ]
    }
}
