import Foundation
import ImageOutput
import TestSupport
import Testing

/// A short run of the default model that has every part in it: stage one, windows, tiles.
private func quickRun(
    to path: String, _ more: [String] = [], size: String = "256x256"
) -> [String] {
    [
        "generate", "--prompt", "a mountain range at sunset above a lake", "--size", size,
        "--steps", "4", "--seed", "7", "--threads", "1", "--output", path,
    ] + more
}

@Suite("tessera generate, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct GenerateTests {
    @Test(
        "0, 1 and 3 workers make the same bytes",
        arguments: [
            ("256x256", 4, "cutdiffusion"), ("456x328", 2, "cutdiffusion"),
            ("456x328", 4, "upscale"), ("456x328", 4, "frecas"),
        ]
    )
    func sameBytesForAnyWorkers(size: String, steps: Int, method: String) async throws {
        let folder = try TemporaryFolder()
        var pictures: [Data] = []
        for workers in [0, 1, 3] {
            let path = folder.file("\(workers).png")
            let arguments = quickRun(
                to: path,
                ["--workers", "\(workers)", "--steps", "\(steps)", "--method", method],
                size: size)
            let outcome = try await CommandLineTool.run(arguments)
            try #require(outcome.status == 0, "\(outcome)")
            pictures.append(try Data(contentsOf: URL(fileURLWithPath: path)))
        }
        #expect(pictures[0] == pictures[1])
        #expect(pictures[0] == pictures[2])
        #expect(try folder.contents == ["0.png", "1.png", "3.png"])
    }

    @Test("a panorama's sides join, with any number of workers")
    func panorama() async throws {
        let folder = try TemporaryFolder()
        func make(_ name: String, _ more: [String]) async throws -> [UInt8] {
            let path = folder.file(name + ".png")
            let outcome = try await CommandLineTool.run(
                quickRun(
                    to: path, ["--method", "multidiffusion", "--steps", "8"] + more, size: "384x128"
                ))
            try #require(outcome.status == 0, "\(outcome)")
            return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        }
        let ring = try await make("0", ["--panorama"])
        #expect(try await make("3", ["--panorama", "--workers", "3"]) == ring)
        #expect(try await make("flat", []) != ring)
    }

    /// Two regions, each with a text of its own, and one for the rest.
    private static let regions = [
        "--method", "multidiffusion", "--region", "0,0,160,256:a sunset with an orange sky",
        "--region", "128,0,128,200:a night with a full moon",
    ]

    @Test("0, 1 and 3 workers make the same bytes of a picture with regions")
    func regionsOnAnyWorkers() async throws {
        let folder = try TemporaryFolder()
        var pictures: [Data] = []
        for workers in [0, 1, 3] {
            let path = folder.file("\(workers).png")
            let outcome = try await CommandLineTool.run(
                quickRun(to: path, ["--workers", "\(workers)"] + Self.regions))
            try #require(outcome.status == 0, "\(outcome)")
            pictures.append(try Data(contentsOf: URL(fileURLWithPath: path)))
        }
        #expect(pictures[0] == pictures[1])
        #expect(pictures[0] == pictures[2])
        let plain = try await CommandLineTool.run(
            quickRun(to: folder.file("plain.png"), ["--method", "multidiffusion"]))
        try #require(plain.status == 0, "\(plain)")
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("plain.png"))) != pictures[0])
    }

    @Test(
        "a worker killed in mid-run changes nothing in the picture",
        arguments: [[], ["--method", "frecas"], Self.regions])
    func killedWorker(more: [String]) async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(quickRun(to: folder.file("quiet.png"), more))
        try #require(quiet.status == 0, "\(quiet)")

        let marker = "TESSERA_TEST_MARK=\(UUID().uuidString)"
        let parts = marker.split(separator: "=").map(String.init)
        let tool = try await RunningTool(
            quickRun(to: folder.file("killed.png"), ["--workers", "2", "--json"] + more),
            environment: [parts[0]: parts[1]]
        )
        try #require(try await tool.hasShown("\"event\":\"step\""))
        let workers = processes(marked: marker).filter { $0 != tool.processID }
        let victim = try #require(workers.first)
        kill(victim, SIGKILL)
        let outcome = try await tool.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("killed.png")))
        #expect(processes(marked: marker).isEmpty)
    }

    @Test("workers that come by --join, as many as make it in time, change nothing")
    func joined() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(quickRun(to: folder.file("quiet.png")))
        try #require(quiet.status == 0, "\(quiet)")
        let join = folder.file("join.json")
        let coordinator = try await RunningTool(
            quickRun(
                to: folder.file("joined.png"), ["--listen", "tcp://127.0.0.1:*", "--join", join]))
        try #require(try await coordinator.hasShown("waiting for workers"))
        let arguments = ["worker", "--join", join, "--coordinator-timeout", "10"]
        let workers = [try await RunningTool(arguments), try await RunningTool(arguments)]
        let outcome = try await coordinator.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        for worker in workers {
            // The one that comes when all is over finds nobody: 69.
            #expect([0, 69].contains(try await worker.outcome().status))
        }
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("joined.png")))
    }

    @Test(
        "when all workers are killed again and again and nobody else can come, that is said at once"
    )
    func allWorkersKilled() async throws {
        let folder = try TemporaryFolder()
        let marker = UUID().uuidString
        let tool = try await RunningTool(
            quickRun(to: folder.file("a.png"), ["--workers", "2", "--json", "--steps", "200"]),
            environment: ["TESSERA_TEST_MARK": marker]
        )
        try #require(try await tool.hasShown("\"event\":\"step\""))
        // Each is started again for as long as its budget lasts.
        let killer = Task {
            while !Task.isCancelled {
                for worker in processes(marked: marker) where worker != tool.processID {
                    kill(worker, SIGKILL)
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        defer { killer.cancel() }
        let outcome = try await tool.outcome()
        #expect(outcome.status == 69, "\(outcome)")
        #expect(outcome.errors.contains("no worker is left"), "\(outcome)")
        #expect(try folder.contents.isEmpty)
    }

    @Test(
        "an interrupted run leaves no process and no file behind",
        arguments: [SIGINT, SIGTERM]
    )
    func interrupted(signal: Int32) async throws {
        let folder = try TemporaryFolder()
        let marker = UUID().uuidString
        let tool = try await RunningTool(
            quickRun(to: folder.file("a.png"), ["--workers", "2", "--json", "--steps", "200"]),
            environment: ["TESSERA_TEST_MARK": marker]
        )
        try #require(try await tool.hasShown("\"event\":\"step\""))
        tool.send(signal: signal)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 130, "\(outcome)")
        #expect(processes(marked: marker).isEmpty)
        #expect(try folder.contents.isEmpty)
    }

    @Test("an interrupted run says goodbye: workers of other machines end with it")
    func goodbye() async throws {
        let folder = try TemporaryFolder()
        let join = folder.file("join.json")
        let coordinator = try await RunningTool(
            quickRun(
                to: folder.file("a.png"),
                ["--listen", "tcp://127.0.0.1:*", "--join", join, "--json", "--steps", "200"]))
        try #require(try await coordinator.hasShown("waiting for workers"))
        let worker = try await RunningTool(["worker", "--join", join])
        try #require(try await coordinator.hasShown("\"event\":\"step\""))
        coordinator.send(signal: SIGTERM)
        #expect(try await coordinator.outcome().status == 130)
        // Without a goodbye it would dial for ten minutes.
        let end = try await worker.outcome()
        #expect(end.status == 0)
        for told in ["looks for a coordinator at tcp://", "joined", "left; tasks computed: "] {
            #expect(end.errors.contains(told), "\(end)")
        }
    }

    @Test("a killed run goes on from its state folder and makes the same bytes")
    func resumed() async throws {
        let folder = try TemporaryFolder()
        let quiet = try await CommandLineTool.run(quickRun(to: folder.file("quiet.png")))
        try #require(quiet.status == 0, "\(quiet)")
        let arguments = quickRun(
            to: folder.file("resumed.png"), ["--state-dir", folder.file("state"), "--json"])
        let first = try await RunningTool(arguments)
        try #require(try await first.hasShown("\"event\":\"checkpoint\""))
        first.send(signal: SIGKILL)
        _ = try await first.outcome()

        let refused = try await CommandLineTool.run(arguments)
        #expect(refused.status == 65 && refused.errors.contains("--resume"), "\(refused)")
        let resumed = try await CommandLineTool.run(arguments + ["--resume"])
        try #require(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resuming after step"))
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("resumed.png")))
    }

    @Test("the picture says how to make it again")
    func provenance() async throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a.png")
        let outcome = try await CommandLineTool.run(quickRun(to: path))
        try #require(outcome.status == 0, "\(outcome)")
        let picture = try PNGPicture(path: path)
        #expect(picture.width == 256 && picture.height == 256)
        let text = try #require(picture.texts.first { $0.keyword == "tessera" }?.text)
        let record = try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let request = try #require(record["request"] as? [String: Any])
        #expect(request["prompt"] as? String == "a mountain range at sunset above a lake")
        #expect(request["seed"] as? Int == 7)
        #expect((record["plan"] as? String)?.count == 16)
        #expect((record["weights"] as? String)?.count == 16)
        #expect(record["version"] as? String != nil)
    }
}
