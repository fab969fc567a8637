import ClusterCore
import DurableFiles
import Foundation
import TestSupport
import Testing

@testable import ZeroMQTransport

@Suite("Text forms of keys", .watched)
struct TextEncodingTests {
    @Test("RFC 32's example in Z85")
    func z85Vector() {
        let bytes: [UInt8] = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]
        #expect(Z85.encode(bytes) == "HelloWorld")
        #expect(Z85.decode("HelloWorld") == bytes)
    }

    @Test("what is no Z85 is nil", arguments: ["Hell", "Hello~", "%nSc1x", "%%%%%", "é234"])
    func badZ85(text: String) {
        #expect(Z85.decode(text) == nil)
    }

    @Test(
        "RFC 4648's examples in base64url",
        arguments: [
            ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"),
            ("\u{3e}\u{3f}\u{3f}", "Pj8_"),
        ])
    func base64Vector(plain: String, encoded: String) {
        #expect(Base64URL.encode(Array(plain.utf8)) == encoded)
        #expect(Base64URL.decode(encoded) == Array(plain.utf8))
    }

    @Test("what is no base64url is nil", arguments: ["Z", "Zh", "Zm9", "Zg==", "Zm 9v", "Zm+v"])
    func badBase64(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test("every length comes back", arguments: 0..<70)
    func roundTrip(count: Int) {
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
        #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        if count % 4 == 0 { #expect(Z85.encode(bytes).flatMap(Z85.decode(_:)) == bytes) }
    }
}

@Suite("Keys", .watched)
struct CurveKeyTests {
    @Test("a fresh pair belongs together, and no two are alike")
    func generate() throws {
        let (first, second) = (try CurveKeyPair.generate(), try CurveKeyPair.generate())
        #expect(first != second)
        #expect(CurveKeyPair(publicKey: first.publicKey, secret: first.secret) == first)
        #expect(CurveKeyPair(publicKey: second.publicKey, secret: first.secret) == nil)
    }

    @Test("a public key is read in base64url and in Z85")
    func forms() throws {
        let key = try CurveKeyPair.generate().publicKey
        #expect(CurvePublicKey(key.description) == key)
        #expect(CurvePublicKey(try #require(Z85.encode(key.bytes))) == key)
        #expect(CurvePublicKey(key.description.dropLast()) == nil)
        #expect(CurvePublicKey("") == nil)
    }

    @Test("key files are read as they are written, and hold no more than they say")
    func files() throws {
        let pair = try CurveKeyPair.generate()
        #expect(CurveKeyPair(fileText: pair.fileText) == pair)
        #expect(CurvePublicKey(fileText: pair.publicKey.fileText) == pair.publicKey)
        #expect(CurvePublicKey(fileText: "\(pair.publicKey)\n") == pair.publicKey)
        #expect(CurveKeyPair(fileText: pair.publicKey.fileText) == nil)
        #expect(!pair.publicKey.fileText.contains(pair.secretText))
    }

    @Test("a pair's own text, and what a debugger prints, do not show the secret")
    func redacted() throws {
        let pair = try CurveKeyPair.generate()
        var dumped = ""
        dump(pair, to: &dumped)
        for text in ["\(pair)", String(reflecting: pair), dumped] {
            #expect(!text.contains(pair.secretText))
            #expect(!text.contains(pair.secret.map(String.init).joined(separator: ", ")))
        }
    }
}

@Suite("Tokens", .watched)
struct JoinTokenTests {
    private func token(expiry: UnixTime? = 2_000_000_000) throws -> JoinToken {
        JoinToken(
            endpoint: "tcp://cluster.example:5570",
            serverKey: try CurveKeyPair.generate().publicKey,
            workerKey: try .generate(), expiry: expiry)
    }

    @Test("a token comes back whole", arguments: [nil, 2_000_000_000] as [UnixTime?])
    func roundTrip(expiry: UnixTime?) throws {
        let token = try token(expiry: expiry)
        #expect(try JoinToken(token.text) == token)
        #expect(token.text.hasPrefix("tessera1."))
        #expect(!"\(token)".contains(token.workerKey.secretText))
    }

    @Test("a token with any one character changed or lost is damaged")
    func damaged() throws {
        let text = Array(try token().text)
        for index in text.indices.dropFirst(JoinToken.prefix.count) {
            var changed = text
            changed[index] = changed[index] == "A" ? "B" : "A"
            #expect(throws: JoinToken.Problem.damaged) { try JoinToken(String(changed)) }
            changed = text
            changed.remove(at: index)
            #expect(throws: JoinToken.Problem.damaged) { try JoinToken(String(changed)) }
        }
    }

    @Test(
        "what is no token of this version is said to be what it is",
        arguments: [
            ("", JoinToken.Problem.notAToken), ("hello", .notAToken),
            ("tessera2.AAAA", .laterVersion),
            ("tessera1.", .damaged), ("tessera1.AAAA", .damaged), ("tessera1.!!", .damaged),
        ])
    func foreign(text: String, problem: JoinToken.Problem) {
        #expect(throws: problem) { try JoinToken(text) }
    }

    @Test("it is over after its last second")
    func expiry() throws {
        let token = try token(expiry: 1000)
        #expect(!token.isExpired(at: 1000))
        #expect(token.isExpired(at: 1001))
        let lasting = try self.token(expiry: nil)
        #expect(!lasting.isExpired(at: .max))
    }
}

@Suite("The list of authorised keys", .watched)
struct AllowListTests {
    @Test("a key is unknown, admitted, or expired")
    func verdicts() throws {
        let (known, stranger) = (
            try CurveKeyPair.generate().publicKey, try CurveKeyPair.generate().publicKey
        )
        let list = AllowList([AuthorizedKey(name: "lake-1", key: known, expiry: 1000)])
        #expect(list.verdict(on: known, at: 1000) == .admitted(name: "lake-1"))
        #expect(list.verdict(on: known, at: 1001) == .expired(name: "lake-1"))
        #expect(list.verdict(on: stranger, at: 0) == .unknown)
        #expect(AllowList().verdict(on: known, at: 0) == .unknown)
    }

    @Test("of two entries for one key the longer one counts")
    func twice() throws {
        let key = try CurveKeyPair.generate().publicKey
        let entries = [
            AuthorizedKey(name: "short", key: key, expiry: 10),
            AuthorizedKey(name: "long", key: key, expiry: nil),
        ]
        for order in [entries, entries.reversed()] {
            #expect(AllowList(order).verdict(on: key, at: 11) == .admitted(name: "long"))
        }
    }

    @Test("a folder is read again when a file comes, goes or changes")
    func reload() throws {
        let folder = try KeyFolder()
        let (first, second) = (
            try CurveKeyPair.generate().publicKey, try CurveKeyPair.generate().publicKey
        )
        try folder.authorize("first", first)
        let keys = try AuthorizedKeys(folder: folder.authorized)
        #expect(keys.snapshot.list.keys == [first])
        #expect(keys.refresh() == nil)
        try folder.authorize("second", second)
        #expect(keys.refresh() != nil)
        #expect(keys.snapshot.list.keys == [first, second])
        try folder.revoke("first")
        #expect(keys.refresh() != nil)
        #expect(keys.snapshot.list.keys == [second])
        try folder.write("second.pub", "nonsense")
        #expect(keys.refresh()?.contains { $0.contains("second.pub") } == true)
        #expect(keys.snapshot.list.keys.isEmpty)
    }

    @Test("a folder that cannot be read lets nobody new in and throws nobody out")
    func unreadable() throws {
        let folder = try KeyFolder()
        let key = try CurveKeyPair.generate().publicKey
        try folder.authorize("first", key)
        let keys = try AuthorizedKeys(folder: folder.authorized)
        let doorkeeper = Doorkeeper(keys: keys)
        try FileManager.default.moveItem(atPath: folder.path, toPath: folder.path + "-away")
        #expect(keys.refresh()?.first?.contains("cannot be read") == true)
        #expect(keys.refresh() == nil)
        #expect(keys.snapshot.list.keys == [key])
        #expect(doorkeeper.answer(try request(for: key), at: 0) == .failed)
        try FileManager.default.moveItem(atPath: folder.path + "-away", toPath: folder.path)
        #expect(keys.refresh() != nil)
        #expect(doorkeeper.answer(try request(for: key), at: 0) == .welcome(userID: "\(key)"))
    }

    @Test("a folder or a file that others may write to authorises nobody")
    func writable() throws {
        let folder = try KeyFolder()
        try folder.authorize("first", try CurveKeyPair.generate().publicKey)
        #expect(chmod(folder.path + "/first.pub", 0o666) == 0)
        #expect(try AuthorizedKeys(folder: folder.authorized).snapshot.list.keys.isEmpty)
        #expect(chmod(folder.path, 0o777) == 0)
        #expect(throws: KeyFileError.writableByOthers(path: folder.path)) {
            try AuthorizedKeys(folder: folder.authorized)
        }
    }

    @Test("a secret key in the folder authorises nobody")
    func secretInFolder() throws {
        let folder = try KeyFolder()
        try folder.write("mistake.key", try CurveKeyPair.generate().fileText)
        let keys = try AuthorizedKeys(folder: folder.authorized)
        #expect(keys.snapshot.list.keys.isEmpty)
        #expect(keys.problems.first?.contains("secret key") == true)
    }

    @Test("a missing folder is an error, not an open door")
    func missing() {
        #expect(throws: KeyFileError.self) {
            try AuthorizedKeys(folder: AuthorizedFolder(path: "/nowhere/at/all"))
        }
    }

    @Test("the door knows a revoked key from one it never saw")
    func revoked() throws {
        let folder = try KeyFolder()
        let (key, stranger) = (
            try CurveKeyPair.generate().publicKey, try CurveKeyPair.generate().publicKey
        )
        try folder.authorize("first", key)
        let doorkeeper = Doorkeeper(keys: try AuthorizedKeys(folder: folder.authorized))
        #expect(doorkeeper.answer(try request(for: key), at: 0) == .welcome(userID: "\(key)"))
        try folder.revoke("first")
        #expect(doorkeeper.refresh())
        #expect(doorkeeper.answer(try request(for: key), at: 0) == .denied)
        #expect(doorkeeper.answer(try request(for: stranger), at: 0) == .denied)
        #expect(doorkeeper.takeNews().refused == [.revokedKey: 1, .unknownKey: 1])
        #expect(doorkeeper.takeNews().refused.isEmpty)
    }

    @Test("a client of another mechanism or domain is denied")
    func mechanism() throws {
        let key = try CurveKeyPair.generate().publicKey
        let keys = try AuthorizedKeys(
            folder: nil, extra: [AuthorizedKey(name: "a", key: key, expiry: nil)])
        let doorkeeper = Doorkeeper(keys: keys)
        #expect(doorkeeper.answer(try request(for: key, mechanism: "NULL"), at: 0) == .denied)
        #expect(doorkeeper.answer(try request(for: key, domain: "other"), at: 0) == .denied)
        #expect(doorkeeper.answer(try request(for: key), at: 0) == .welcome(userID: "\(key)"))
    }

    private func request(
        for key: CurvePublicKey, mechanism: String = "CURVE", domain: String = "tessera"
    ) throws -> ZAPRequest {
        let texts = ["1.0", "7", domain, "127.0.0.1", "", mechanism]
        return try #require(ZAPRequest(frames: texts.map { Array($0.utf8) } + [key.bytes]))
    }
}

@Suite("Key files", .watched)
struct KeyFileTests {
    @Test("a secret that others can read is refused with what to run")
    func exposed() throws {
        let folder = try KeyFolder()
        let path = folder.path + "/a.key"
        let pair = try CurveKeyPair.generate()
        try KeyFiles.write(pair.fileText, to: path, access: .secret)
        #expect(try KeyFiles.keyPair(at: path) == pair)
        for mode: mode_t in [0o640, 0o604, 0o644, 0o660] {
            #expect(chmod(path, mode) == 0)
            let error = #expect(throws: KeyFileError.exposed(path: path, mode: mode)) {
                try KeyFiles.keyPair(at: path)
            }
            #expect(error?.description.contains("chmod 600 \(path)") == true)
        }
    }

    @Test("a file that is there is not replaced, and nothing is left behind")
    func exists() throws {
        let folder = try KeyFolder()
        let path = folder.path + "/a.key"
        try KeyFiles.write("one", to: path, access: .secret)
        #expect(throws: KeyFileError.exists(path: path)) {
            try KeyFiles.write("two", to: path, access: .secret)
        }
        #expect(try KeyFiles.read(path, secret: true) == "one")
        try KeyFiles.write("three", to: path, access: .secret, replacing: true)
        #expect(try KeyFiles.read(path, secret: true) == "three")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.key"])
    }

    @Test("folders, huge files and other text are no keys")
    func notAKey() throws {
        let folder = try KeyFolder()
        #expect(throws: KeyFileError.self) { try KeyFiles.read(folder.path, secret: false) }
        try folder.write("big", String(repeating: "a", count: 1 << 20))
        #expect(throws: KeyFileError.self) {
            try KeyFiles.publicKey(at: folder.path + "/big")
        }
        try folder.write("prose", "the secret of life\n")
        #expect(throws: KeyFileError.self) {
            try KeyFiles.publicKey(at: folder.path + "/prose")
        }
    }
}

/// A folder of authorised keys that goes away with its owner.
final class KeyFolder: Sendable {
    let path: String
    var authorized: AuthorizedFolder { AuthorizedFolder(path: path) }

    init() throws {
        path = NSTemporaryDirectory() + "tessera-keys-\(UUID().uuidString)"
        try KeyFiles.makeFolder(path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func authorize(
        _ name: String, _ key: CurvePublicKey, expiry: UnixTime? = nil
    ) throws {
        let entry = AuthorizedKey(name: name, key: key, expiry: expiry)
        try KeyFiles.write(entry.fileText, to: "\(path)/\(name).pub", access: .readers)
    }

    func revoke(_ name: String) throws { try KeyFiles.remove("\(path)/\(name).pub") }

    func write(_ file: String, _ text: String) throws {
        try KeyFiles.write(text, to: "\(path)/\(file)", access: .secret, replacing: true)
    }
}
