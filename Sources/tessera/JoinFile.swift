import DurableFiles
import Foundation
import ZeroMQTransport

/// What a worker needs to find a coordinator and to be let in, as a file that both can read.
struct JoinFile {
    /// A worker's half of a protected connection.
    struct Keys {
        let server: CurvePublicKey
        let worker: CurveKeyPair
    }

    /// Such as `tcp://10.0.0.1:5570`.
    let endpoint: String
    /// Whether the coordinator was started with `--insecure`.
    let insecure: Bool
    /// Nil: plaintext.
    let keys: Keys?

    var security: DialSecurity {
        keys.map { .curve(own: $0.worker, server: $0.server) }
            ?? .plaintext(mayLeaveMachine: insecure)
    }

    // MARK: Reading

    /// What `--join` names: a file, a token, or `-` for either on standard input.
    ///
    /// Throws ``CommandFailure`` or ``KeyFileError``.
    static func resolve(_ argument: String) throws -> JoinFile {
        if argument == "-" {
            let input = try FileHandle.standardInput.read(upToCount: 64 << 10) ?? Data()
            return try parse(String(decoding: input, as: UTF8.self), from: "standard input")
        }
        if argument.hasPrefix(JoinToken.prefix) { return try parse(token: argument) }
        return try read(argument)
    }

    private static func read(_ path: String) throws -> JoinFile {
        let text: String
        do {
            text = try KeyFiles.read(path, secret: false)
        } catch KeyFileError.unreadable(_, let reason) {
            throw CommandFailure(
                .badData,
                "\(path) cannot be read (\(reason)); generate --listen … --join writes such a "
                    + "file, tessera token create prints a token")
        }
        let file = try parse(text, from: path)
        // Only now is it known that there is a secret in it.
        if file.keys != nil { _ = try KeyFiles.read(path, secret: true) }
        return file
    }

    private static func parse(_ text: String, from place: String) throws -> JoinFile {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        if text.hasPrefix("tessera"), !text.contains("\n") { return try parse(token: text) }
        guard let content = try? JSONDecoder().decode(Content.self, from: Data(text.utf8)),
            let file = JoinFile(content)
        else {
            throw CommandFailure(
                .badData,
                "\(place) holds no join file and no token; generate --listen … --join writes "
                    + "the one, tessera token create prints the other")
        }
        return file
    }

    private static func parse(token text: String) throws(CommandFailure) -> JoinFile {
        do {
            let token = try JoinToken(text)
            if let expiry = token.expiry, token.isExpired(at: DateText.now) {
                throw CommandFailure(
                    .badData,
                    "the token for \(token.endpoint) expired at \(DateText.render(expiry)); ask "
                        + "for a new one (tessera token create), and see that this machine's "
                        + "clock is right")
            }
            return JoinFile(
                endpoint: token.endpoint, insecure: false,
                keys: Keys(server: token.serverKey, worker: token.workerKey))
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.badData, "the token \(error)")
        }
    }

    // MARK: Writing

    /// The file appears complete or not at all; one with a key in it is its owner's alone.
    ///
    /// Throws ``CommandFailure``.
    func write(to path: String) throws(CommandFailure) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            let text = String(decoding: try encoder.encode(Content(self)), as: UTF8.self)
            try KeyFiles.write(
                text + "\n", to: path, access: keys == nil ? .everyone : .secret, replacing: true)
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
    }

    /// The file's own shape.
    private struct Content: Codable {
        var endpoint: String
        var insecure: Bool
        var serverKey: String?
        var workerPublicKey: String?
        var workerSecretKey: String?

        init(_ file: JoinFile) {
            endpoint = file.endpoint
            insecure = file.insecure
            serverKey = file.keys?.server.description
            workerPublicKey = file.keys?.worker.publicKey.description
            workerSecretKey = file.keys?.worker.secretText
        }

        private enum CodingKeys: String, CodingKey {
            case endpoint, insecure
            case serverKey = "server_key"
            case workerPublicKey = "worker_public_key"
            case workerSecretKey = "worker_secret_key"
        }
    }

    private init?(_ content: Content) {
        endpoint = content.endpoint
        insecure = content.insecure
        let texts = [content.serverKey, content.workerPublicKey, content.workerSecretKey]
        if texts.allSatisfy({ $0 == nil }) {
            keys = nil
            return
        }
        guard let server = content.serverKey.flatMap(CurvePublicKey.init(_:)),
            let open = content.workerPublicKey.flatMap(CurvePublicKey.init(_:)),
            let hidden = content.workerSecretKey,
            let worker = CurveKeyPair(publicKey: open, secretText: hidden)
        else { return nil }
        keys = Keys(server: server, worker: worker)
    }

    init(endpoint: String, insecure: Bool, keys: Keys? = nil) {
        self.endpoint = endpoint
        self.insecure = insecure
        self.keys = keys
    }
}
