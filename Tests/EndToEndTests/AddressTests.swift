import Foundation
import TestSupport
import Testing

/// What the machine that runs the tests can do.
private enum Machine {
    static let hasIPv6: Bool = {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var place = sockaddr_in6()
        place.sin6_family = sa_family_t(AF_INET6)
        place.sin6_addr.__in6_u.__u6_addr8.15 = 1
        return withUnsafePointer(to: &place) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
            }
        }
    }()
}

@Suite("Addresses of either family, in real processes", .watched, .timeLimit(.minutes(10)))
struct AddressTests {
    private func run(_ folder: TemporaryFolder, _ listen: String) async throws {
        let (model, join) = (folder.file("tiny"), folder.file("a.join"))
        let made = try await CommandLineTool.run(["synthesize", "tiny", "--output", model])
        try #require(made.status == 0, "\(made)")
        let coordinator = try await RunningTool([
            "generate", "--prompt", "x", "--model", model, "--size", "1x", "--steps", "2",
            "--listen", listen, "--join", join, "--output", folder.file("a.png"),
        ])
        try #require(try await coordinator.hasShown("waiting for workers at tcp://"))
        let worker = try await CommandLineTool.run(["worker", "--join", join, "--model", model])
        #expect(worker.status == 0, "\(worker)")
        let outcome = try await coordinator.outcome()
        #expect(outcome.status == 0, "\(outcome)")
        let port = try #require(
            outcome.errors.components(separatedBy: "waiting for workers at ").last?
                .prefix { $0 != "\n" }.split(separator: ":").last)
        #expect(UInt16(port) ?? 0 > 0, "\(outcome)")
    }

    @Test(
        "a worker joins by IPv6",
        .enabled(if: Machine.hasIPv6, "this machine has no ::1"),
        arguments: ["tcp://[::1]:0", "tcp://[::]:*"])
    func six(listen: String) async throws { try await run(TemporaryFolder(), listen) }

    @Test(
        "a worker joins by name and by interface", arguments: ["tcp://localhost:*", "tcp://lo:0"])
    func names(listen: String) async throws { try await run(TemporaryFolder(), listen) }

    @Test(
        "an address that cannot be listened at is said with the reason, before a model is loaded",
        arguments: [
            ("tcp://no-such-host.invalid:5570", "no-such-host.invalid"),
            ("tcp://::1:5570", "in brackets"), ("tcp://[::1:5570", "not closed"),
            ("tcp://[::]:5570", "--join"), ("tcp://127.0.0.1:5570/", "slash"),
            ("TCP://127.0.0.1:5570", "tcp://"),
        ])
    func refused(listen: String, reason: String) async throws {
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", "x", "--output", "a.png", "--model", "/no/such/model",
            "--listen", listen,
        ])
        #expect(outcome.status == 64 || outcome.status == 69, "\(outcome)")
        #expect(outcome.errors.contains(reason), "\(outcome)")
        #expect(outcome.errors.contains(listen), "\(outcome)")
    }

    @Test(
        "a worker that reaches nobody ends with the reason",
        arguments: [
            ("tcp://localhost:9", "connection refused"),
            ("tcp://no-such-host.invalid:5570", "cannot be looked up"),
        ])
    func unreached(place: String, reason: String) async throws {
        let outcome = try await CommandLineTool.run([
            "worker", "--connect", place, "--coordinator-timeout", "3",
        ])
        #expect(outcome.status == 69, "\(outcome)")
        #expect(outcome.errors.contains(reason), "\(outcome)")
        #expect(outcome.errors.contains(place), "\(outcome)")
    }

    @Test(
        "a name that means another machine is refused without keys, as its address is",
        .enabled(if: Namespace.isAvailable, "mount namespaces are not to be had here"))
    func plaintextName() async throws {
        let folder = try TemporaryFolder()
        let hosts = folder.file("hosts")
        try "127.0.0.1 mixed.test\n192.0.2.7 mixed.test\n".write(
            toFile: hosts, atomically: false, encoding: .utf8)
        let worker = try await RunningTool(
            ["worker", "--connect", "tcp://mixed.test:5570", "--model", "/no/such"], hosts: hosts)
        let outcome = try await worker.outcome()
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("--insecure"), "\(outcome)")
    }

    @Test(
        "a name's other address is dialled when nobody listens at the first",
        .enabled(
            if: Namespace.isAvailable && Machine.hasIPv6,
            "mount namespaces and ::1 are not to be had here"))
    func secondAddress() async throws {
        let folder = try TemporaryFolder()
        let (hosts, model) = (folder.file("hosts"), folder.file("tiny"))
        let made = try await CommandLineTool.run(["synthesize", "tiny", "--output", model])
        try #require(made.status == 0, "\(made)")
        try "::1 both.test\n127.0.0.1 both.test\n".write(
            toFile: hosts, atomically: false, encoding: .utf8)
        for listen in ["tcp://127.0.0.1:*", "tcp://[::1]:*"] {
            let coordinator = try await RunningTool([
                "generate", "--prompt", "x", "--model", model, "--size", "1x", "--steps", "2",
                "--listen", listen, "--output", folder.file("a.png"),
            ])
            try #require(try await coordinator.hasShown("waiting for workers at tcp://"))
            let port = try #require(
                coordinator.said.components(separatedBy: "waiting for workers at ").last?
                    .prefix { $0 != "\n" }.split(separator: ":").last)
            let worker = try await RunningTool(
                ["worker", "--connect", "tcp://both.test:\(port)", "--model", model], hosts: hosts)
            let (left, done) = (try await worker.outcome(), try await coordinator.outcome())
            #expect(left.status == 0, "\(left)")
            #expect(done.status == 0, "\(done)")
        }
    }
}
