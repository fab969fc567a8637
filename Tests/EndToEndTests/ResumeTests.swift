import Foundation
import TestSupport
import Testing

/// When a run is killed or stopped: as soon as it has said `marker`.
private struct Moment: CustomTestStringConvertible, Sendable {
    let name: String
    let marker: String
    /// Kills the run at that very moment, however late the test would have noticed it.
    let fault: String
    var tilesKept = 0

    var testDescription: String { name }

    static func step(_ step: Int, _ name: String) -> Moment {
        Moment(
            name: name, marker: "{\"done\":\(step),\"event\":\"step\"", fault: "step:kill@\(step)")
    }

    static func tile(_ tile: Int, _ name: String) -> Moment {
        Moment(
            name: name, marker: "{\"done\":\(tile),\"event\":\"tile\"", fault: "tile:kill@\(tile)",
            tilesKept: tile)
    }

    static let all = [
        step(1, "in stage one"), step(3, "at the relocation, the first step of stage two"),
        step(5, "in stage two"), tile(4, "while decoding"),
        tile(9, "while the PNG is put together"),
    ]
}

@Suite(
    "A coordinator that is killed or stopped goes on", .watched, .serialized,
    .timeLimit(.minutes(10)))
struct ResumeTests {
    @Test(
        "matrix row 29: SIGKILL", arguments: Moment.all, [0, 2])
    private func killed(moment: Moment, workers: Int) async throws {
        let folder = try TemporaryFolder()
        let computing = ["--workers", "\(workers)"]
        try await killedRun(in: folder, at: moment.fault, computing)
        let outcome = try await resume(folder, computing)
        let first = outcome.events("resumed").first?.step ?? 0
        #expect(outcome.events("step").compactMap(\.done) == Array(first + 1..<runSteps + 1))
        // The first event says what there was, each other one of a tile that was decoded.
        let kept = outcome.events("tiles_kept").first?.tiles ?? 0
        #expect(kept >= min(moment.tilesKept, runTiles))
        #expect(outcome.events("tile").compactMap(\.done) == Array(kept..<runTiles + 1))
        #expect(try folder.contents == ["a.png", "state"])
    }

    @Test("killed with regions whose texts are their own, it goes on to the same bytes")
    func killedWithRegions() async throws {
        let folder = try TemporaryFolder()
        func run(_ name: String, _ more: [String]) async throws -> CommandLineTool.Outcome {
            try await CommandLineTool.run(
                [
                    "generate", "--prompt", "hills at dawn", "--size", "256x256", "--steps", "4",
                    "--method", "multidiffusion", "--region", "0,0,128,256:a full moon", "--seed",
                    "11", "--threads", "1", "--json", "--output", folder.file(name),
                ] + more)
        }
        let quiet = try await run("quiet.png", [])
        try #require(quiet.status == 0, "\(quiet)")
        let state = ["--state-dir", folder.file("state")]
        let killed = try await run("a.png", state + ["--fault", "step:kill@2"])
        try #require(killed.status == 128 + SIGKILL, "\(killed)")
        let resumed = try await run("a.png", state + ["--resume", "--workers", "1"])
        try #require(resumed.status == 0, "\(resumed)")
        #expect(resumed.events("step").compactMap(\.done).last == 4)
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("quiet.png"), andPath: folder.file("a.png")))
    }

    @Test("killed in the middle of a step it goes on with the tasks that are missing")
    func middleOfAStep() async throws {
        let folder = try TemporaryFolder()
        // Two known questions, three steps of one task, and the first of the next step's two.
        let tool = try await RunningTool(
            interruptedRun(
                to: folder.file("a.png"), state: folder.file("state"),
                [
                    "--checkpoint-every", "0", "--workers", "1", "--worker-fault",
                    "0:compute:hang@7",
                ]))
        try #require(try await tool.hasShown("\"step\":3,\"tasks\":1}"))
        tool.send(signal: SIGKILL)
        _ = try await tool.outcome()
        let resumed = try await resume(folder)
        let start = try #require(resumed.events("resumed").first)
        #expect(start.step == 3 && start.tasks == 1)
        #expect(resumed.errors.contains("after task 1 of step 4"))
    }

    @Test("matrix row 29: SIGKILL in the middle of a checkpoint's write", arguments: 1...4)
    func killedWhileWriting(step: Int) async throws {
        let folder = try TemporaryFolder()
        let state = folder.file("state")
        try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
        let watch = try FolderWatch(state)
        let tool = try await RunningTool(interruptedRun(to: folder.file("a.png"), state: state))
        let process = tool.processID
        // The temporary file is there and the checkpoint is not: inside the write, or just past.
        async let seen = watch.waitForFile(
            named: { $0.hasSuffix(".partial") && $0.hasPrefix(".step-\(step)") },
            then: { kill(process, SIGKILL) })
        let outcome = try await tool.outcome()
        watch.stop()
        // A checkpoint that a newer one has overtaken is never written.
        if await seen { #expect(outcome.status == 128 + SIGKILL) }
        if outcome.status != 0 { try await resume(folder) }
        #expect(try folder.contents == ["a.png", "state"])
        let picture = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
        #expect(picture == (try await undisturbedPicture.ownValue))
    }

    @Test("killed after each checkpoint again, each life goes on and raises the epoch")
    func killedAgainAndAgain() async throws {
        let folder = try TemporaryFolder()
        var lives: [RunEvent] = []
        for _ in 0..<runSteps + 2 {
            let tool = try await RunningTool(
                interruptedRun(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]))
            let goesOn = try await tool.hasShown("\"event\":\"checkpoint\"")
            if goesOn { tool.send(signal: SIGKILL) }
            let outcome = try await tool.outcome()
            lives += outcome.events("state")
            if outcome.status == 0 { break }
        }
        try await resume(folder)
        #expect(lives.compactMap(\.epoch) == Array(1...lives.count))
        #expect(Set(lives.compactMap(\.realm)).count == 1)
    }

    @Test(
        "matrix row 31: SIGTERM and SIGINT end with 75, a checkpoint, and how to go on",
        arguments: [SIGTERM, SIGINT], [0, 2]
    )
    func stopped(signal: Int32, workers: Int) async throws {
        for moment in [Moment.step(2, ""), Moment.tile(3, "")] {
            let folder = try TemporaryFolder()
            let computing = ["--workers", "\(workers)"]
            let tool = try await RunningTool(
                interruptedRun(to: folder.file("a.png"), state: folder.file("state"), computing))
            try #require(try await tool.hasShown(moment.marker))
            tool.send(signal: signal)
            let outcome = try await tool.outcome()
            // A signal that comes when the picture is there already changes nothing.
            if outcome.status == 0 {
                let picture = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                #expect(picture == (try await undisturbedPicture.ownValue))
                continue
            }
            #expect(outcome.status == 75, "\(outcome)")
            #expect(outcome.errors.contains("--resume"), "\(outcome)")
            #expect(
                names(in: folder.file("state")).contains { $0.hasPrefix("step-") }, "\(outcome)")
            #expect(try folder.contents == ["state"])
            let resumed = try await resume(folder)
            #expect(resumed.events("resumed").first?.step ?? 0 >= (moment.tilesKept > 0 ? 6 : 2))
        }
    }

    @Test(
        "a stopped run whose state folder was moved away says that nothing is kept there",
        arguments: [false, true])
    func movedAway(isReplaced: Bool) async throws {
        let folder = try TemporaryFolder()
        let (state, away) = (folder.file("state"), folder.file("away"))
        let tool = try await RunningTool(
            interruptedRun(to: folder.file("a.png"), state: state, steps: 200))
        try #require(try await tool.hasShown("\"event\":\"checkpoint\""))
        try FileManager.default.moveItem(atPath: state, toPath: away)
        if isReplaced {
            try FileManager.default.createDirectory(
                atPath: state, withIntermediateDirectories: false)
        }
        tool.send(signal: SIGTERM)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 130, "\(outcome)")
        for part in ["nothing is kept at \(state)", "is not known"] {
            #expect(outcome.errors.contains(part), "\(outcome)")
        }
        #expect(!outcome.errors.contains("--resume"), "\(outcome)")
        #expect(names(in: away).contains("manifest.json"))
    }

    @Test("a stopped run whose manifest was removed says that it goes on, and it does")
    func manifestRemoved() async throws {
        let folder = try TemporaryFolder()
        let manifest = folder.file("state") + "/manifest.json"
        let tool = try await RunningTool(
            interruptedRun(to: folder.file("a.png"), state: folder.file("state"), steps: 40))
        try #require(try await tool.hasShown("\"event\":\"checkpoint\""))
        try FileManager.default.removeItem(atPath: manifest)
        tool.send(signal: SIGTERM)
        let outcome = try await tool.outcome()
        try #require(outcome.status == 75, "\(outcome)")
        #expect(outcome.errors.contains("--resume"), "\(outcome)")
        let resumed = try await resume(folder, steps: 40)
        #expect(resumed.events("resumed").first?.step ?? 0 >= 1)
    }

    @Test("matrix row 33: a second process on a state folder is refused and harms nothing")
    func locked() async throws {
        let folder = try TemporaryFolder()
        let first = try await RunningTool(
            interruptedRun(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=10s"]))
        // Its first checkpoint keeps it here for a while.
        try #require(try await first.hasShown("\"event\":\"step\""))
        first.send(signal: SIGSTOP)
        let second = try await CommandLineTool.run(
            interruptedRun(to: folder.file("b.png"), state: folder.file("state"), ["--resume"]))
        #expect(second.status == 65, "\(second)")
        #expect(second.errors.contains("process \(first.processID)"), "\(second)")
        first.send(signal: SIGCONT)
        let outcome = try await first.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                == (try await undisturbedPicture.ownValue))
        #expect(try folder.contents == ["a.png", "state"])
    }
}
