internal import CChecksum

/// Everything a worker needs to join, as one string: where the coordinator is, its public key, and
/// a key pair that it has authorised.
///
/// `tessera1.` and base64url of: expiry (8 bytes, little-endian seconds, 0 is never), the
/// server's public key (32), the worker's public (32) and secret key (32), the endpoint in UTF-8,
/// and a CRC-32C of all that (4), which finds a character that was lost in copying. Whoever reads
/// a token can use it until it expires or is revoked.
package struct JoinToken: Hashable, Sendable, CustomStringConvertible {
    package let endpoint: String
    package let serverKey: CurvePublicKey
    package let workerKey: CurveKeyPair
    /// The last second in which the coordinator takes it; nil is for ever.
    package let expiry: UnixTime?

    package static let prefix = "tessera1."
    private static let fixedBytes = 8 + 3 * CurvePublicKey.byteCount
    /// More is no token.
    package static let maximumCharacters = 1024

    package init(
        endpoint: String,
        serverKey: CurvePublicKey,
        workerKey: CurveKeyPair,
        expiry: UnixTime?
    ) {
        self.endpoint = endpoint
        self.serverKey = serverKey
        self.workerKey = workerKey
        self.expiry = expiry
    }

    /// Why a text is no token, in words that follow "the token".
    package enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
        case laterVersion
        case notAToken
        case damaged

        package var description: String {
            switch self {
            case .laterVersion:
                "is of a later version of tessera; upgrade this one, or ask for an older token"
            case .notAToken: "does not begin with \(JoinToken.prefix)"
            case .damaged: "is damaged: a part is missing or changed; copy all of it again"
            }
        }
    }

    /// The string to hand over.
    package var text: String {
        var bytes = Self.bytes(of: UInt64(bitPattern: expiry ?? 0))
        bytes += serverKey.bytes + workerKey.publicKey.bytes + workerKey.secret
        bytes += Array(endpoint.utf8)
        bytes += Self.bytes(of: Self.checksum(bytes))
        return Self.prefix + Base64URL.encode(bytes)
    }

    package init(_ text: some StringProtocol) throws(Problem) {
        guard text.hasPrefix(Self.prefix) else {
            throw text.hasPrefix("tessera") && text.contains(".") ? .laterVersion : .notAToken
        }
        guard text.utf8.count <= Self.maximumCharacters,
            let bytes = Base64URL.decode(text.dropFirst(Self.prefix.count)),
            bytes.count > Self.fixedBytes + 4
        else { throw .damaged }
        let (body, sum) = (Array(bytes.dropLast(4)), Array(bytes.suffix(4)))
        func key(_ index: Int) -> [UInt8] {
            let start = 8 + index * CurvePublicKey.byteCount
            return Array(body[start..<start + CurvePublicKey.byteCount])
        }
        let expiry = UnixTime(
            bitPattern: body[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        guard Self.bytes(of: Self.checksum(body)) == sum, expiry >= 0,
            let endpoint = String(validating: body[Self.fixedBytes...], as: UTF8.self),
            let serverKey = CurvePublicKey(bytes: key(0)),
            let workerPublic = CurvePublicKey(bytes: key(1)),
            let workerKey = CurveKeyPair(publicKey: workerPublic, secret: key(2))
        else { throw .damaged }
        self.init(
            endpoint: endpoint, serverKey: serverKey, workerKey: workerKey,
            expiry: expiry == 0 ? nil : expiry)
    }

    package func isExpired(at now: UnixTime) -> Bool { expiry.map { now > $0 } ?? false }

    /// Without the secret.
    package var description: String { "token of \(workerKey.publicKey.short) for \(endpoint)" }

    private static func bytes(of value: some FixedWidthInteger) -> [UInt8] {
        stride(from: 0, to: value.bitWidth, by: 8).map {
            UInt8(truncatingIfNeeded: value >> $0)
        }
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe tsr_crc32c(0, $0.baseAddress, $0.count) }
    }
}
