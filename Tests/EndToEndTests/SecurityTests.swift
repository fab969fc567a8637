import Foundation
import TestSupport
import Testing

/// An address of this machine that Tessera takes for one that leaves it: 0.0.0.0 is every one of
/// them, and workers dial back to the first.
private let everywhere = "tcp://0.0.0.0:*"

private func mode(of path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
}

/// A run with an address that must be encrypted; more steps than one would wait for.
private func run(_ output: String, _ more: [String], steps: Int = 4) -> [String] {
    [
        "generate", "--prompt", "a lake", "--size", "128x128", "--steps", "\(steps)", "--seed", "7",
        "--worker-timeout", "60", "--output", output,
    ] + more
}

extension RunningTool {
    /// The address after this text on either stream, up to the line's end.
    fileprivate func address(after text: String) async throws -> String? {
        guard try await hasShown(text) else { return nil }
        // The line is complete once the next one is there, or right away: lines are collected
        // whole.
        return said.components(separatedBy: text).last?.components(separatedBy: "\n").first
    }
}

@Suite("Keys on the command line", .watched)
struct KeyCommandTests {
    @Test("keygen writes a secret that is its owner's alone, and overwrites nothing")
    func keygen() async throws {
        let folder = try TemporaryFolder()
        let key = folder.file("a.key")
        let first = try await CommandLineTool.run(["keygen", "--output", key])
        #expect(first.status == 0, "\(first)")
        #expect(try mode(of: key) == 0o600)
        #expect(try mode(of: key + ".pub") == 0o644)
        let printed = first.output.trimmingCharacters(in: .whitespacesAndNewlines)
        let open = try String(contentsOfFile: key + ".pub", encoding: .utf8)
        #expect(printed.count == 43 && open.contains(printed))
        let before = try Data(contentsOf: URL(fileURLWithPath: key))
        for taken in [key, String(key.dropLast(4))] {
            // The second would write a .pub file that is there.
            if taken != key { try Data().write(to: URL(fileURLWithPath: taken + ".pub")) }
            let again = try await CommandLineTool.run(["keygen", "--output", taken])
            #expect(again.status == 64 && again.errors.contains("not overwritten"), "\(again)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: key)) == before)
        #expect(try folder.contents == ["a.key", "a.key.pub", "a.pub"])
    }

    @Test("token create, list and revoke agree")
    func token() async throws {
        let folder = try TemporaryFolder()
        let (key, allowed) = (folder.file("server.key"), folder.file("allowed"))
        _ = try await CommandLineTool.run(["keygen", "--output", key])
        for (name, lifetime) in [("lake-1", "7d"), ("lake-2", "never")] {
            let created = try await CommandLineTool.run([
                "token", "create", "--endpoint", "tcp://10.0.0.1:5570", "--key", key,
                "--authorized-keys", allowed, "--name", name, "--expires", lifetime,
            ])
            #expect(created.status == 0, "\(created)")
            #expect(created.output.hasPrefix("tessera1."))
            #expect(created.output.split(separator: "\n").count == 1)
        }
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: allowed).sorted()
                == ["lake-1.pub", "lake-2.pub"])
        let list = try await CommandLineTool.run([
            "token", "list", "--authorized-keys", allowed, "--json",
        ])
        #expect(list.output.contains("\"name\":\"lake-1\""))
        #expect(list.output.contains("\"state\":\"valid\""))
        let revoked = try await CommandLineTool.run([
            "token", "revoke", "--authorized-keys", allowed, "lake-1",
        ])
        #expect(revoked.status == 0, "\(revoked)")
        let unknown = try await CommandLineTool.run([
            "token", "revoke", "--authorized-keys", allowed, "lake-1",
        ])
        #expect(unknown.status == 65 && unknown.errors.contains("lake-1"), "\(unknown)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: allowed) == ["lake-2.pub"])
    }

    /// What a person gets wrong, and what must be in the answer.
    struct Mistake: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let arguments: [String]
        let status: Int32
        let mentions: String
    }

    @Test(
        "what is wrong with keys is said in one sentence, before a model is loaded",
        arguments: [
            Mistake(
                testDescription: "an address off this machine without any key",
                arguments: [
                    "generate", "--prompt", "x", "--output", "/tmp/x.png", "--listen", everywhere,
                ],
                status: 64, mentions: "--join"),
            Mistake(
                testDescription: "plaintext and a key",
                arguments: [
                    "generate", "--prompt", "x", "--output", "/tmp/x.png", "--listen", everywhere,
                    "--insecure", "--key", "k",
                ],
                status: 64, mentions: "choose one"),
            Mistake(
                testDescription: "a folder of keys that is not there",
                arguments: [
                    "generate", "--prompt", "x", "--output", "/tmp/x.png", "--listen", everywhere,
                    "--join", "/tmp/x.join", "--authorized-keys", "/nowhere",
                ],
                status: 65, mentions: "/nowhere"),
            Mistake(
                testDescription: "a worker's key without the server's",
                arguments: ["worker", "--connect", "tcp://10.0.0.1:5570", "--key", "k"],
                status: 64, mentions: "--server-key"),
            Mistake(
                testDescription: "a token that lost its end",
                arguments: ["worker", "--join", "tessera1.AAAAAAAA"],
                status: 65, mentions: "damaged"),
            Mistake(
                testDescription: "a token of a later version",
                arguments: ["worker", "--join", "-"],
                status: 65, mentions: "standard input"),
            Mistake(
                testDescription: "plaintext off this machine",
                arguments: ["worker", "--connect", "tcp://10.0.0.1:5570"],
                status: 64, mentions: "--insecure"),
            Mistake(
                testDescription: "a lifetime without a unit",
                arguments: [
                    "token", "create", "--endpoint", "tcp://10.0.0.1:5570", "--key", "k",
                    "--authorized-keys", "/tmp/k", "--expires", "24",
                ],
                status: 64, mentions: "--expires"),
        ])
    func mistakes(mistake: Mistake) async throws {
        let outcome = try await CommandLineTool.run(mistake.arguments)
        #expect(outcome.status == mistake.status, "\(outcome)")
        #expect(outcome.errors.contains(mistake.mentions), "\(outcome)")
    }

    @Test("a join file, or a key, that others can read is refused with what to run")
    func exposed() async throws {
        let folder = try TemporaryFolder()
        let (key, join) = (folder.file("a.key"), folder.file("lake.join"))
        _ = try await CommandLineTool.run(["keygen", "--output", key])
        let pair = try String(contentsOfFile: key, encoding: .utf8).split(separator: "\n")
            .compactMap { $0.split(separator: "= ").last.map(String.init) }
        try """
        {"endpoint": "tcp://127.0.0.1:1", "insecure": false, "server_key": "\(pair[2])",
         "worker_public_key": "\(pair[2])", "worker_secret_key": "\(pair[3])"}
        """.write(toFile: join, atomically: true, encoding: .utf8)
        for path in [key, join] {
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
        }
        let connect = [
            "--connect", "tcp://127.0.0.1:1", "--key", key, "--server-key", key + ".pub",
        ]
        for (arguments, path) in [(["--join", join], join), (connect, key)] {
            let outcome = try await CommandLineTool.run(["worker"] + arguments)
            #expect(outcome.status == 65, "\(outcome)")
            #expect(outcome.errors.contains("chmod 600 \(path)"), "\(outcome)")
        }
    }
}

@Suite("Encrypted runs, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct EncryptedRunTests {
    @Test("off this machine keys are made and handed over by the join file; the bytes are the same")
    func closedByDefault() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(run(folder.file("quiet.png"), []))
        try #require(quiet.status == 0, "\(quiet)")
        let join = folder.file("lake.join")
        let coordinator = try await RunningTool(
            run(
                folder.file("a.png"),
                ["--listen", everywhere, "--join", join, "--workers", "1", "--json"]))
        try #require(try await coordinator.hasShown("waiting for workers"))
        #expect(try mode(of: join) == 0o600)
        let worker = try await RunningTool(["worker", "--join", join, "--coordinator-timeout", "9"])
        let outcome = try await coordinator.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        #expect(!outcome.errors.contains("WARNING"), "\(outcome)")
        #expect(outcome.output.contains("\"event\":\"transport\""), "\(outcome)")
        // Late comers find nobody.
        #expect([0, 69].contains(try await worker.outcome().status))
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("a.png")))
    }

    @Test("--insecure shouts on both sides, and as an event")
    func insecure() async throws {
        let folder = try TemporaryFolder()
        let join = folder.file("lake.join")
        let coordinator = try await RunningTool(
            run(
                folder.file("a.png"),
                ["--listen", everywhere, "--join", join, "--insecure", "--json"]
            ))
        try #require(try await coordinator.hasShown("waiting for workers"))
        let worker = try await CommandLineTool.run([
            "worker", "--join", join, "--coordinator-timeout", "30",
        ])
        let outcome = try await coordinator.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        for errors in [outcome.errors, worker.errors] {
            #expect(errors.contains("WARNING: --insecure"), "\(errors)")
            #expect(errors.components(separatedBy: "!!").count > 8, "\(errors)")
        }
        #expect(outcome.output.contains("\"event\":\"insecure\""), "\(outcome)")
    }

    @Test("a token lets a worker in; a revoked one is thrown out of a live session with code 65")
    func tokens() async throws {
        let folder = try TemporaryFolder()
        let (key, allowed) = (folder.file("server.key"), folder.file("allowed"))
        _ = try await CommandLineTool.run(["keygen", "--output", key])
        try FileManager.default.createDirectory(
            atPath: allowed, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        let coordinator = try await RunningTool(
            run(
                folder.file("a.png"),
                [
                    "--listen", "tcp://127.0.0.1:*", "--key", key, "--authorized-keys", allowed,
                    "--json",
                ], steps: 40))
        let address = try #require(try await coordinator.address(after: "waiting for workers at "))
        let endpoint = String(address.prefix { $0 != "\"" })
        func token(_ name: String) async throws -> String {
            let created = try await CommandLineTool.run([
                "token", "create", "--endpoint", endpoint, "--key", key + ".pub",
                "--authorized-keys", allowed, "--name", name,
            ])
            try #require(created.status == 0, "\(created)")
            let path = folder.file(name + ".token")
            try created.output.write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            return path
        }
        let (good, bad) = (try await token("good"), try await token("bad"))
        // It would be done before its token is revoked.
        let doomed = try await RunningTool([
            "worker", "--join", bad, "--name", "doomed", "--fault", "compute:delay=1s",
        ])
        try #require(try await coordinator.hasShown("doomed joined"))
        let revoked = try await CommandLineTool.run([
            "token", "revoke", "--authorized-keys", allowed, "bad",
        ])
        try #require(revoked.status == 0, "\(revoked)")
        let end = try await doomed.outcome()
        #expect(end.status == 65, "\(end)")
        #expect(end.errors.contains("refused this worker's key"), "\(end)")
        let worker = try await RunningTool(["worker", "--join", good, "--name", "faithful"])
        let outcome = try await coordinator.outcome()
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.contains("faithful joined"), "\(outcome)")
        #expect(outcome.output.contains("\"revokedKey\":"), "\(outcome)")
        #expect(try await worker.outcome().status == 0)
    }

    @Test("a resumed coordinator is the same one to its workers, which come back on their own")
    func lastingIdentity() async throws {
        let folder = try TemporaryFolder()
        let (join, state) = (folder.file("lake.join"), folder.file("state"))
        let arguments = { (port: String) in
            run(
                folder.file("a.png"),
                [
                    "--listen", "tcp://0.0.0.0:\(port)", "--join", join, "--state-dir", state,
                    "--json",
                ], steps: 60)
        }
        let first = try await RunningTool(arguments("*"))
        let address = try #require(try await first.address(after: "waiting for workers at "))
        let port = try #require(address.prefix { $0 != "\"" }.split(separator: ":").last)
        let worker = try await RunningTool(["worker", "--join", join, "--name", "faithful"])
        try #require(try await first.hasShown("\"event\":\"step\""))
        let before = try String(contentsOfFile: join, encoding: .utf8)
        first.send(signal: SIGKILL)
        _ = try await first.outcome()
        let second = try await CommandLineTool.run(arguments(String(port)) + ["--resume"])
        #expect(second.status == 0, "\(second)")
        #expect(second.output.contains("faithful joined"), "\(second)")
        #expect(try String(contentsOfFile: join, encoding: .utf8) == before)
        #expect(try await worker.outcome().status == 0)
    }

    @Test("strangers at the door are refused and counted, and the picture is the same")
    func strangers() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(run(folder.file("quiet.png"), [], steps: 40))
        try #require(quiet.status == 0, "\(quiet)")
        let join = folder.file("lake.join")
        let coordinator = try await RunningTool(
            run(
                folder.file("a.png"), ["--listen", everywhere, "--join", join, "--json"], steps: 40
            ))
        let address = try #require(try await coordinator.address(after: "waiting for workers at "))
        let port = try #require(
            address.prefix { $0 != "\"" }.split(separator: ":").last.flatMap { UInt16($0) })
        func knock() {
            for number in 0..<200 {
                let greetings = ["", "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "SSH-2.0-x\r\n"]
                Stranger.knock(port, saying: greetings[number % greetings.count])
            }
        }
        // Before there is a worker: the run cannot be over by the time the keyless one dials.
        knock()
        let keyless = try await CommandLineTool.run([
            "worker", "--connect", "tcp://127.0.0.1:\(port)", "--coordinator-timeout", "30",
        ])
        #expect(keyless.status == 65, "\(keyless)")
        #expect(keyless.errors.contains("wants an encrypted connection"), "\(keyless)")
        let worker = try await RunningTool(["worker", "--join", join])
        try #require(try await coordinator.hasShown("joined"))
        knock()
        let outcome = try await coordinator.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.contains("at the door: "), "\(outcome)")
        #expect(outcome.errors.components(separatedBy: "refused: ").count < 15, "\(outcome)")
        #expect(outcome.output.contains("\"noKey\":"), "\(outcome)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("a.png")))
        #expect(try await worker.outcome().status == 0)
    }

    @Test("matrix 59: with 64 descriptors newcomers are refused and the job goes on")
    func fewDescriptors() async throws {
        let folder = try TemporaryFolder()
        let arguments = run(
            folder.file("a.png"),
            [
                "--listen", "tcp://127.0.0.1:*", "--workers", "1", "--state-dir",
                folder.file("state"), "--json",
            ], steps: 120)
        let coordinator = try await RunningTool(
            arguments, descriptors: 64)
        let address = try #require(try await coordinator.address(after: "waiting for workers at "))
        let port = try #require(
            address.prefix { $0 != "\"" }.split(separator: ":").last.flatMap { UInt16($0) })
        try #require(try await coordinator.hasShown("joined"))
        let crowd = (0..<200).map { _ in Stranger(port) }
        let outcome = try await coordinator.outcome()
        _ = crowd.count
        // Once a second, if work waits for its threads, libdispatch opens /proc/self/task/…/stat and
        // ends the process where it gets no descriptor: for a moment the strangers have them all.
        guard outcome.status != 128 + SIGILL else {
            withKnownIssue("libdispatch found no descriptor", isIntermittent: true) {
                Issue.record("\(outcome)")
            }
            return
        }
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.contains("\"noDescriptors\":"), "\(outcome)")
    }

    @Test(
        "matrix 64: a coordinator that came back at another address of its name is found",
        .enabled(if: Namespace.isAvailable, "mount namespaces are not to be had here"))
    func renamed() async throws {
        let folder = try TemporaryFolder()
        let (server, key, allowed) = (
            folder.file("server.key"), folder.file("worker.key"), folder.file("allowed")
        )
        for path in [server, key] {
            _ = try await CommandLineTool.run(["keygen", "--output", path])
        }
        try FileManager.default.createDirectory(
            atPath: allowed, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        try FileManager.default.copyItem(atPath: key + ".pub", toPath: allowed + "/worker.pub")
        let hosts = folder.file("hosts")
        let arguments = { (address: String, port: String) in
            run(
                folder.file("a.png"),
                [
                    "--listen", "tcp://\(address):\(port)", "--key", server, "--authorized-keys",
                    allowed, "--state-dir", folder.file("state"), "--json",
                ], steps: 60)
        }
        let first = try await RunningTool(arguments("127.0.0.2", "*"))
        let address = try #require(try await first.address(after: "waiting for workers at "))
        let port = try #require(address.prefix { $0 != "\"" }.split(separator: ":").last)
        try "127.0.0.2 coordinator.test\n".write(toFile: hosts, atomically: false, encoding: .utf8)
        let worker = try await RunningTool(
            [
                "worker", "--connect", "tcp://coordinator.test:\(port)", "--key", key,
                "--server-key", server + ".pub", "--name", "faithful",
            ], hosts: hosts)
        try #require(try await first.hasShown("\"event\":\"step\""))
        first.send(signal: SIGKILL)
        _ = try await first.outcome()
        // In place: what is mounted is the file, not its name.
        try "127.0.0.3 coordinator.test\n".write(toFile: hosts, atomically: false, encoding: .utf8)
        let second = try await CommandLineTool.run(
            arguments("127.0.0.3", String(port)) + ["--resume"])
        #expect(second.status == 0, "\(second)")
        #expect(second.output.contains("faithful joined"), "\(second)")
        #expect(try await worker.outcome().status == 0)
    }
}

/// Whether this process may give another one a view of its own of the file system.
enum Namespace {
    static let isAvailable: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        process.arguments = ["--mount", "--map-root-user", "true"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()
}

/// A TCP connection that stays open as long as the value lives.
private final class Stranger {
    private let descriptor: Int32

    init(_ port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    deinit { close(descriptor) }

    static func knock(_ port: UInt16, saying text: String) {
        let stranger = Stranger(port)
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes {
            send(stranger.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
    }
}
