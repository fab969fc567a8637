import ArgumentParser
import DurableFiles
import Foundation
import ZeroMQTransport

/// Lets workers in, and throws them out.
struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Let workers join with one string; list and revoke what was let in.",
        subcommands: [Create.self, List.self, Revoke.self]
    )

    /// The folder that all of them are about.
    struct FolderOptions: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "The folder that the coordinator was given as --authorized-keys.",
                valueName: "folder")
        )
        var authorizedKeys: String

        var folder: AuthorizedFolder { AuthorizedFolder(path: authorizedKeys) }
    }
}

extension TokenCommand {
    /// Makes a key, authorises it, and prints it.
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a token: all that a worker needs, in one string.",
            discussion: """
                The token holds the coordinator's address and public key and a fresh secret key \
                for the worker, whose public half goes into the folder, by name and with its \
                expiry. A running coordinator takes notice at once. Whoever reads the token can \
                join until it expires or is revoked, so hand it over like a password: on the \
                worker, "tessera worker --join -" reads it from standard input and "--join FILE" \
                from a file of mode 600, neither of which shows it in the list of processes.

                EXAMPLES
                  tessera token create --endpoint tcp://10.0.0.1:5570 --key server.key \\
                    --authorized-keys authorized --name lake-1 --expires 7d
                """
        )

        @Option(
            help: ArgumentHelp("The coordinator's address, as workers see it.", valueName: "url")
        )
        var endpoint: String

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "The coordinator's key: its file, its .pub file, or the public key itself.",
                valueName: "file|key")
        )
        var key: String

        @OptionGroup var options: FolderOptions

        @Option(help: "What to call the worker; worker-… and a part of its key if left out.")
        var name: String?

        @Option(
            help: ArgumentHelp(
                "How long it can be used to connect: 90m, 24h, 7d, 2w, or never.",
                valueName: "time")
        )
        var expires: TokenLifetime = .seconds(24 * 3600)

        func validate() throws {
            guard let name else { return }
            let isPlain = name.utf8.allSatisfy {
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
                    || UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 | 0x20
                    || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains($0)
            }
            guard isPlain, !name.hasPrefix("."), (1...64).contains(name.utf8.count) else {
                throw ValidationError(
                    "--name should be 1 to 64 letters, digits, '-', '_' and '.', not beginning "
                        + "with '.'; got '\(name)'")
            }
        }

        func run() throws {
            _ = try Endpoint(dialling: endpoint)
            let server = try PublicKeyArgument.read(key)
            let worker = try CurveKeyPair.generate()
            let name = name ?? "worker-\(worker.publicKey.short)"
            let expiry = expires.end(after: DateText.now)
            let entry = AuthorizedKey(name: name, key: worker.publicKey, expiry: expiry)
            try KeyFiles.makeFolder(options.authorizedKeys)
            try KeyFiles.write(
                entry.fileText, to: "\(options.authorizedKeys)/\(name).pub", access: .readers)
            say(
                "\(name) may join \(endpoint) "
                    + (expiry.map { "until \(DateText.render($0))" } ?? "for ever")
                    + "; revoke it with: tessera token revoke --authorized-keys "
                    + "\(options.authorizedKeys) \(name)")
            let token = JoinToken(
                endpoint: endpoint, serverKey: server, workerKey: worker, expiry: expiry)
            printLine(token.text)
        }
    }

    /// Shows who may join.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the keys that may join, and what is wrong with those that may not.")

        @OptionGroup var options: FolderOptions

        @Flag(help: "Print one JSON object instead of text.")
        var json = false

        private struct Row: Encodable {
            let file: String
            var name: String?
            var key: String?
            var expires: String?
            /// `valid`, `expired`, or what is wrong.
            let state: String
        }

        func run() throws {
            let now = DateText.now
            let rows = try options.folder.entries().map { entry in
                switch entry.content {
                case .success(let key):
                    Row(
                        file: entry.file, name: key.name, key: key.key.description,
                        expires: key.expiry.map(DateText.render),
                        state: key.isExpired(at: now) ? "expired" : "valid")
                case .failure(let problem): Row(file: entry.file, state: problem.description)
                }
            }
            if json {
                return try printJSON(["keys": rows])
            }
            for row in rows {
                let facts = [row.name ?? row.file, row.key, row.expires ?? "never", row.state]
                printLine(facts.compactMap { $0 }.joined(separator: "  "))
            }
        }
    }

    /// Takes a permission back.
    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take the permission to join back; a running coordinator ends the session.")

        @OptionGroup var options: FolderOptions

        @Argument(help: "The name that token list shows.")
        var name: String

        func run() throws {
            let entries = try options.folder.entries()
            let named = entries.filter { entry in
                let stem =
                    entry.file.hasSuffix(".pub") ? String(entry.file.dropLast(4)) : entry.file
                return stem == name || entry.file == name
                    || (try? entry.content.get().name) == name
            }
            guard !named.isEmpty else {
                throw CommandFailure(
                    .badData,
                    "\(options.authorizedKeys) authorises nobody named '\(name)'; tessera token "
                        + "list shows the names")
            }
            // The same key under another name would still let its holder in.
            let keys = Set(named.compactMap { try? $0.content.get().key })
            for entry in entries {
                let key = try? entry.content.get().key
                let isMeant = named.contains { $0.file == entry.file }
                guard isMeant || key.map(keys.contains) == true else { continue }
                try KeyFiles.remove("\(options.authorizedKeys)/\(entry.file)")
                printLine("revoked \(entry.file)")
            }
        }
    }
}

/// A public key on the command line: the key itself, or a file that holds it.
enum PublicKeyArgument {
    static func read(_ argument: String) throws(KeyFileError) -> CurvePublicKey {
        if let key = CurvePublicKey(argument) { return key }
        return try KeyFiles.publicKey(at: argument)
    }
}

/// `90m`, `24h`, `7d`, `2w`, `never`
enum TokenLifetime: Hashable, ExpressibleByArgument {
    case seconds(Int64)
    case never

    private static let units: [Character: Int64] = [
        "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800,
    ]

    init?(argument: String) {
        if argument == "never" {
            self = .never
            return
        }
        guard let unit = argument.last.flatMap({ Self.units[$0] }),
            let count = Int64(argument.dropLast()), (1...1_000_000).contains(count)
        else { return nil }
        self = .seconds(count * unit)
    }

    var defaultValueDescription: String {
        switch self {
        case .seconds(let seconds): "\(seconds / 3600)h"
        case .never: "never"
        }
    }

    func end(after now: UnixTime) -> UnixTime? {
        switch self {
        case .seconds(let seconds): now + seconds
        case .never: nil
        }
    }
}
