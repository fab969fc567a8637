import Foundation
import TestSupport
import Testing

private func quickRun(to path: String, _ more: [String] = []) -> [String] {
    [
        "generate", "--prompt", "a mountain range at sunset above a lake", "--size", "256x256",
        "--steps", "4", "--seed", "7", "--method", "cutdiffusion", "--threads", "1", "--output",
        path,
    ] + more
}

@Suite("--fault, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct FaultTests {
    @Test(
        "a specification that cannot be is refused with what is possible, and nothing is begun",
        arguments: [
            (["--workers", "1", "--fault", "result:dorp"], "drop, dup"),
            (["--workers", "1", "--fault", "compute:nan"], "worker --fault"),
            (["--workers", "1", "--worker-fault", "1:result:drop"], "--workers 1"),
            (["--worker-fault", "0:result:drop"], "needs --workers"),
            (["--workers", "1", "--worker-fault", "result:drop"], "such as 0:compute:slow=10x"),
            (["--workers", "1", "--worker-fault", "0:step:kill@2"], "generate --fault"),
        ])
    func refused(arguments: [String], hint: String) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            quickRun(to: folder.file("a.png"), arguments))
        #expect(outcome.status == 64 && outcome.errors.contains(hint), "\(outcome)")
        #expect(try folder.contents.isEmpty)
    }

    @Test("a worker refuses faults that are a coordinator's")
    func refusedByWorker() async throws {
        let outcome = try await CommandLineTool.run([
            "worker", "--connect", "tcp://127.0.0.1:1", "--fault", "checkpoint:enospc",
        ])
        #expect(outcome.status == 64 && outcome.errors.contains("generate --fault"), "\(outcome)")
    }

    @Test("a run with faults says so loudly, counts them, and makes the same bytes")
    func counted() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(quickRun(to: folder.file("quiet.png")))
        try #require(quiet.status == 0, "\(quiet)")
        #expect(!quiet.errors.contains("FAULT"))
        let log = folder.file("faults.log")
        let outcome = try await CommandLineTool.run(
            quickRun(
                to: folder.file("faulty.png"),
                [
                    "--workers", "2", "--json", "--fault", "result:dup@1/3;any:delay=5ms",
                    "--worker-fault", "*:hello:dup;compute:fail@3", "--fault-log", log,
                ]))
        try #require(outcome.status == 0, "\(outcome)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("faulty.png")))
        #expect(outcome.errors.contains("FAULTS ARE BEING INJECTED on purpose"))
        #expect(outcome.errors.contains("into worker 1: hello:dup;compute:fail@3"))

        let events = try jsonLines(outcome.output)
        #expect(events.contains { $0["event"] as? String == "faults" })
        #expect(events.allSatisfy { $0["ms"] is Int })
        let done = try #require(
            events.first { $0["fault"] as? String == "result:dup@1/3" }?["injected"] as? Int)
        let logged = try jsonLines(String(contentsOfFile: log, encoding: .utf8))
        #expect(done > 0)
        #expect(logged.count { $0["fault"] as? String == "result:dup@1/3" } == done)
        #expect(logged.contains { ($0["who"] as? String)?.hasPrefix("worker") == true })
    }

    @Test("a coordinator dies at the step it is told to, and goes on from there")
    func killedAtStep() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(quickRun(to: folder.file("quiet.png")))
        try #require(quiet.status == 0, "\(quiet)")
        let state = ["--state-dir", folder.file("state")]
        let killed = try await CommandLineTool.run(
            quickRun(to: folder.file("a.png"), state + ["--fault", "step:kill@2"]))
        #expect(killed.status == 128 + SIGKILL, "\(killed)")
        let aborted = try await CommandLineTool.run(
            quickRun(to: folder.file("a.png"), state + ["--resume", "--fault", "tile:abort@3"]))
        #expect(aborted.status == 128 + SIGABRT, "\(aborted)")
        // The last step's checkpoint may have been on its way to the disk.
        let resumed = ["resuming after step 1", "resuming after step 2"]
        #expect(resumed.contains { aborted.errors.contains($0) }, "\(aborted)")
        let outcome = try await CommandLineTool.run(
            quickRun(to: folder.file("a.png"), state + ["--resume"]))
        try #require(outcome.status == 0, "\(outcome)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("a.png")))
    }

    private func jsonLines(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:]
        }
    }
}
