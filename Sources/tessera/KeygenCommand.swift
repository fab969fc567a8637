import ArgumentParser
import DurableFiles
import Foundation
import ZeroMQTransport

/// Makes a key.
struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Make a key for a coordinator or a worker.",
        discussion: """
            Writes the secret key to FILE, which only its owner can read, and the public one to \
            FILE.pub; prints the public one. Nothing is overwritten. A coordinator takes its key \
            with --key and its workers' .pub files in the folder --authorized-keys; a worker takes \
            its key with --key and the coordinator's .pub with --server-key.

            EXAMPLES
              tessera keygen --output server.key
              tessera keygen --output lake-1.key && cp lake-1.key.pub /etc/tessera/authorized/
            """
    )

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Where the secret key goes.", valueName: "file")
    )
    var output = "tessera.key"

    func run() throws {
        let open = output + ".pub"
        for path in [output, open] where FileManager.default.fileExists(atPath: path) {
            throw KeyFileError.exists(path: path)
        }
        try AtomicFile.check(output, named: "--output", access: .secret)
        let key = try CurveKeyPair.generate()
        try KeyFiles.write(key.fileText, to: output, access: .secret)
        do {
            try KeyFiles.write(key.publicKey.fileText, to: open, access: .readers)
        } catch {
            try KeyFiles.remove(output)
            throw error
        }
        say("secret key in \(output): keep it; public key in \(open): hand it out")
        printLine("\(key.publicKey)")
    }
}
