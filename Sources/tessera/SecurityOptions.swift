import ArgumentParser
import ClusterCore
import DurableFiles
import Foundation
import ZeroMQTransport

/// Who may join a coordinator, and how what is said to them is protected.
struct SecurityOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            This coordinator's secret key, as tessera keygen writes it: workers recognise it \
            after a restart. Left out, --listen off this machine makes one of its own.
            """,
            valueName: "file")
    )
    var key: String?

    @Option(
        help: ArgumentHelp(
            """
            Workers whose public keys are in this folder may join, one .pub file each. Looked at \
            while running: a new file lets in, a deleted one throws out.
            """,
            valueName: "folder")
    )
    var authorizedKeys: String?

    @Flag(
        help: "Allow plaintext to leave this machine. Anyone on the network can read and forge it."
    )
    var insecure = false

    func validate() throws {
        if insecure && (key != nil || authorizedKeys != nil) {
            throw ValidationError(
                "--insecure sends plaintext, --key and --authorized-keys encrypt: choose one")
        }
    }

    /// Whether what comes to `listen` is to be encrypted.
    private func encrypts(_ listen: ListenAddress) -> Bool {
        if key != nil || authorizedKeys != nil { return true }
        return !insecure && !listen.staysOnMachine
    }

    /// Whom a file is for that says how to join at `listen`.
    func accessOfKeys(at listen: ListenAddress) -> FileAccess {
        encrypts(listen) ? .secret : .everyone
    }

    /// Says what is missing or unreadable, before anything is computed.
    func check(_ listen: ListenAddress, join: String?, stateDir: String?) throws {
        guard encrypts(listen) else { return }
        if join == nil && authorizedKeys == nil {
            throw CommandFailure(
                .usage,
                "\(listen) is for workers with keys, and none is authorised: say --join FILE "
                    + "to have a key made for them, --authorized-keys FOLDER for lasting ones, "
                    + "or --insecure on a network you trust")
        }
        if join == nil && key == nil && stateDir == nil {
            throw CommandFailure(
                .usage,
                "workers could not know this coordinator's key: give it with --key (tessera "
                    + "keygen makes one), or say --join FILE or --state-dir FOLDER")
        }
        if let key { _ = try KeyFiles.keyPair(at: key) }
        _ = try AuthorizedKeys(folder: authorizedKeys.map(AuthorizedFolder.init))
    }

    /// What to bind with, and what workers need to join; keys that are not there yet are made, in
    /// `stateDir` if there is one.
    func door(at listen: ListenAddress, join: String?, stateDir: String?) throws -> Door {
        guard encrypts(listen) else {
            return Door(security: .plaintext(mayLeaveMachine: insecure), keys: nil)
        }
        let store = try stateDir.map { try KeyStore(stateFolder: $0) }
        let server = try key.map { try KeyFiles.keyPair(at: $0) } ?? store.key("server")
        let worker = try store.key("worker")
        let authorized = try AuthorizedKeys(
            folder: authorizedKeys.map(AuthorizedFolder.init),
            extra: [AuthorizedKey(name: "join", key: worker.publicKey, expiry: nil)])
        return Door(
            security: .curve(server, authorized),
            keys: JoinFile.Keys(server: server.publicKey, worker: worker))
    }
}

/// How a coordinator listens, and what its own workers need.
struct Door {
    let security: ListenSecurity
    /// Nil: plaintext.
    let keys: JoinFile.Keys?

    /// What a worker needs to come to `endpoint`, which this machine alone can reach or not.
    func joinFile(for endpoint: Endpoint, staysOnMachine: Bool) -> JoinFile {
        JoinFile(
            endpoint: "\(endpoint)", insecure: keys == nil && !staysOnMachine, keys: keys)
    }
}

/// Keys of a coordinator that outlive it, in its state folder.
private struct KeyStore {
    private let folder: String

    /// Makes the folder.
    init(stateFolder: String) throws(KeyFileError) {
        folder = stateFolder + "/keys"
        try KeyFiles.makeFolder(folder)
    }

    /// The key of this name; a new one when there is none.
    func key(_ name: String) throws -> CurveKeyPair {
        let path = "\(folder)/\(name).key"
        if FileManager.default.fileExists(atPath: path) { return try KeyFiles.keyPair(at: path) }
        let key = try CurveKeyPair.generate()
        try KeyFiles.write(key.fileText, to: path, access: .secret)
        return key
    }
}

extension KeyStore? {
    /// Without a folder a key lives as long as this process.
    fileprivate func key(_ name: String) throws -> CurveKeyPair {
        try self?.key(name) ?? CurveKeyPair.generate()
    }
}

/// What `--insecure` shouts, on both sides.
enum InsecureBanner {
    static func text(_ endpoint: String) -> String {
        let lines = [
            "WARNING: --insecure: the connection is NOT ENCRYPTED and NOT AUTHENTICATED.",
            "Whoever can reach \(endpoint) can read what is sent, join as a",
            "worker, and forge answers. Leave --insecure out to have keys made:",
            "--listen with --join writes them, tessera token create hands them out.",
        ]
        let width = lines.map(\.count).max() ?? 0
        let edge = String(repeating: "!", count: width + 6)
        let body = lines.map {
            "!! " + $0.padding(toLength: width, withPad: " ", startingAt: 0) + " !!"
        }
        return ([edge] + body + [edge]).joined(separator: "\n")
    }
}
