import Foundation
import TestSupport
import Testing

@Suite("Event logs of real runs", .watched, .serialized, .timeLimit(.minutes(10)))
struct EventLogTests {
    private func run(_ picture: String, log: String, steps: Int = 6) -> [String] {
        [
            "generate", "--prompt", "a lake", "--size", "256x256", "--steps", "\(steps)",
            "--workers", "3", "--json", "--output", picture, "--event-log", log,
        ]
    }

    private func replay(_ log: String, _ more: String...) async throws -> CommandLineTool.Outcome {
        try await CommandLineTool.run(["simulate", "--replay", log] + more)
    }

    @Test("a run in which a worker was killed replays clean; a log that was touched does not")
    func killedWorker() async throws {
        let folder = try TemporaryFolder()
        let log = folder.file("run.events")
        let marker = UUID().uuidString
        let tool = try await RunningTool(
            run(folder.file("a.png"), log: log, steps: 60),
            environment: ["TESSERA_TEST_MARK": marker])
        // One that has not joined yet would not be missed.
        try #require(try await tool.hasShown("\"live\":3"))
        try #require(try await tool.hasShown("\"event\":\"step\""))
        let workers = processes(marked: marker).filter { $0 != tool.processID }
        kill(try #require(workers.first), SIGKILL)
        let outcome = try await tool.outcome()
        try #require(outcome.status == 0, "\(outcome)")

        let clean = try await replay(log)
        #expect(clean.status == 0, "\(clean)")
        #expect(clean.output.contains("every invariant held"), "\(clean)")
        #expect(clean.output.contains("worker 2: "), "\(clean)")
        #expect(clean.output.contains("is lost"), "\(clean)")
        let json = try await replay(log, "--json")
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        let summary = try #require(object as? [String: Any])
        #expect(summary["clean"] as? Bool == true)
        #expect(summary["end"] as? String == "complete")
        let counters = try #require(summary["counters"] as? [String: Any])
        #expect(counters["accepted"] as? Int == summary["answers"] as? Int)
        #expect(try await replay(log, "--trace").output.contains("is accepted"))
        try await touch(try String(contentsOfFile: log, encoding: .utf8), in: folder)
    }

    /// Everything that can happen to a log on its way is seen, and said with its line.
    private func touch(_ text: String, in folder: TemporaryFolder) async throws {
        var lines = text.split(separator: "\n").map(String.init)
        let victim = try #require(lines.firstIndex { $0.contains("\"answered\"") })
        func outcome(_ lines: [String], ending: String = "\n") async throws
            -> CommandLineTool.Outcome
        {
            let path = folder.file("touched.events")
            try (lines.joined(separator: "\n") + ending)
                .write(toFile: path, atomically: true, encoding: .utf8)
            return try await replay(path)
        }

        var changed = lines
        changed[victim] = changed[victim].replacing("\"number\":1", with: "\"number\":2")
        try #require(changed != lines)
        let tampered = try await outcome(changed)
        #expect(tampered.status == 65, "\(tampered)")
        #expect(tampered.errors.contains("line \(victim + 1)"), "\(tampered)")

        var missing = lines
        missing.remove(at: victim)
        #expect(try await outcome(missing).status == 65)
        var doubled = lines
        doubled.insert(lines[victim], at: victim)
        #expect(try await outcome(doubled).status == 65)

        // Killed in the middle of a line: all before it is good.
        let cut = try await outcome(
            Array(lines[..<victim]) + [String(lines[victim].prefix(40))], ending: "")
        #expect(cut.status == 0, "\(cut)")
        #expect(cut.output.contains("was killed"), "\(cut)")

        // Another program's decisions: the events are whole, what came of them differs.
        let digest = try #require(lines[victim].firstMatch(of: /"effects":"[0-9a-f]+"/))
        lines[victim].replaceSubrange(digest.range, with: "\"effects\":\"0000000000000000\"")
        let other = try await outcome(lines)
        #expect(other.status == 70, "\(other)")
        #expect(other.output.contains("from line \(victim + 1) on"), "\(other)")

        lines[0] = lines[0].replacing("\"format\":1", with: "\"format\":9")
        let newer = try await outcome(lines)
        #expect(newer.status == 65 && newer.errors.contains("format 9"), "\(newer)")
    }

    @Test("what is no event log is refused with the reason")
    func foreign() async throws {
        let folder = try TemporaryFolder()
        for (name, bytes) in [("empty", ""), ("text", "hello\n"), ("json", "{\"a\":1}\n")] {
            let path = folder.file(name)
            try bytes.write(toFile: path, atomically: true, encoding: .utf8)
            let outcome = try await replay(path)
            #expect(
                outcome.status == 65 && outcome.errors.contains("is no event log"), "\(outcome)")
        }
        let nothing = try await replay(folder.file("nothing"))
        #expect(nothing.status == 65 && nothing.errors.contains("no such file"), "\(nothing)")
        let directory = try await replay(folder.path)
        #expect(directory.status == 65 && directory.errors.contains("a folder"), "\(directory)")
    }

    @Test("a full disk ends the log with a warning, and not the run")
    func fullDisk() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            run(folder.file("a.png"), log: "/dev/full", steps: 2))
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.contains("/dev/full ends early"), "\(outcome)")
        #expect(try folder.contents == ["a.png"])
    }

    @Test("a log that cannot be made, or would stay empty, is refused before anything is computed")
    func refused() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            run(folder.file("a.png"), log: folder.file("none/run.events")))
        #expect(outcome.status == 64 && outcome.errors.contains("event log"), "\(outcome)")
        try #require(mkfifo(folder.file("pipe"), 0o600) == 0)
        let pipe = try await CommandLineTool.run(
            run(folder.file("a.png"), log: folder.file("pipe")))
        #expect(pipe.status == 64 && pipe.errors.contains("nobody reads"), "\(pipe)")
        let alone = try await CommandLineTool.run([
            "generate", "--prompt", "a", "--output", folder.file("b.png"), "--event-log",
            folder.file("b.events"),
        ])
        #expect(alone.status == 64 && alone.errors.contains("--workers"), "\(alone)")
        #expect(try folder.contents == ["pipe"])
    }
}

@Suite("Many jobs in one life of a coordinator", .watched, .timeLimit(.minutes(10)))
struct ManyJobsTests {
    @Test("leave no descriptor, thread, process or memory behind")
    func nothingLeft() async throws {
        let outcome = try await CommandLineTool.run(
            ["bench", "jobs", "--jobs", "6", "--workers", "2", "--json"])
        #expect(outcome.status == 0, "\(outcome)")
        let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        let report = try #require(object as? [String: Any])
        #expect(report["children_left"] as? Int == 0)
        #expect(report["same_picture"] as? Bool == true)
    }
}
