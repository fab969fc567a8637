import Foundation
import ImageOutput
import Testing

private let steps = 6
private let tiles = 9

/// A short run with three steps of stage one, three of stage two, and nine tiles.
private func run(
    to output: String, state: String? = nil, _ more: [String] = [], steps: Int = steps
) -> [String] {
    [
        "generate", "--prompt", "hills at dawn", "--size", "256x256", "--steps", "\(steps)",
        "--structure-steps", "3", "--seed", "11", "--output", output, "--json",
    ] + (state.map { ["--state-dir", $0] } ?? []) + more
}

/// The picture of an undisturbed run; made once.
private let quietPicture = Task {
    let folder = try TemporaryFolder()
    let outcome = try await CommandLineTool.run(run(to: folder.file("quiet.png")))
    try #require(outcome.status == 0, "\(outcome)")
    return try Data(contentsOf: URL(fileURLWithPath: folder.file("quiet.png")))
}

/// One line of `--json`.
private struct Event: Decodable {
    let event: String
    let done: Int?
    let step: Int?
    let tasks: Int?
    let tiles: Int?
    let epoch: Int?
    let realm: String?
    let text: String?
}

extension CommandLineTool.Outcome {
    fileprivate var events: [Event] {
        output.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Event.self, from: Data($0.utf8))
        }
    }

    fileprivate func events(_ name: String) -> [Event] { events.filter { $0.event == name } }
}

/// When a run is killed: as soon as it has said `marker`.
private struct Moment: CustomTestStringConvertible, Sendable {
    let name: String
    let marker: String
    var tilesKept = 0

    var testDescription: String { name }

    static func step(_ step: Int, _ name: String) -> Moment {
        Moment(name: name, marker: "{\"done\":\(step),\"event\":\"step\"")
    }

    static func tile(_ tile: Int, _ name: String) -> Moment {
        Moment(name: name, marker: "{\"done\":\(tile),\"event\":\"tile\"", tilesKept: tile)
    }

    static let all = [
        step(1, "in stage one"), step(3, "at the relocation, the first step of stage two"),
        step(5, "in stage two"), tile(4, "while decoding"),
        tile(9, "while the PNG is put together"),
    ]
}

@Suite("A coordinator that is killed or stopped goes on", .serialized, .timeLimit(.minutes(10)))
struct ResumeTests {
    /// Resumes to the end and compares; gives what the last process said.
    @discardableResult
    private func resume(
        _ folder: TemporaryFolder, _ more: [String] = [], output: String = "a.png",
        steps: Int = steps
    ) async throws -> CommandLineTool.Outcome {
        let outcome = try await CommandLineTool.run(
            run(
                to: folder.file(output), state: folder.file("state"), ["--resume"] + more,
                steps: steps))
        try #require(outcome.status == 0, "\(outcome)")
        if steps == EndToEndTests.steps {
            let picture = try Data(contentsOf: URL(fileURLWithPath: folder.file(output)))
            #expect(picture == (try await quietPicture.value), "\(outcome)")
        }
        #expect(names(in: folder.file("state")) == ["life.json", "lock"])
        return outcome
    }

    private func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    /// A run that is killed once it has said `marker`. One that was done before the signal came,
    /// as happens on a busy machine, is started over.
    private func killedRun(
        in folder: TemporaryFolder, at marker: String, _ more: [String] = []
    ) async throws {
        let (output, state) = (folder.file("a.png"), folder.file("state"))
        for _ in 0..<5 {
            let tool = try await RunningTool(run(to: output, state: state, more))
            try #require(await tool.hasShown(marker))
            tool.send(signal: SIGKILL)
            let outcome = try await tool.outcome()
            if outcome.status == 128 + SIGKILL { return }
            try #require(outcome.status == 0, "\(outcome)")
            try FileManager.default.removeItem(atPath: output)
        }
        Issue.record("the signal was late every time")
    }

    @Test(
        "matrix row 29: SIGKILL", arguments: Moment.all, [0, 2])
    private func killed(moment: Moment, workers: Int) async throws {
        let folder = try TemporaryFolder()
        let computing = ["--workers", "\(workers)"]
        try await killedRun(in: folder, at: moment.marker, computing)
        let outcome = try await resume(folder, computing)
        let first = outcome.events("resumed").first?.step ?? 0
        #expect(outcome.events("step").compactMap(\.done) == Array(first + 1..<steps + 1))
        // The first event says what there was, each other one of a tile that was decoded.
        let kept = outcome.events("tiles_kept").first?.tiles ?? 0
        #expect(kept >= min(moment.tilesKept, tiles))
        #expect(outcome.events("tile").compactMap(\.done) == Array(kept..<tiles + 1))
        #expect(try folder.contents == ["a.png", "state"])
    }

    @Test("killed in the middle of a step it goes on with the tasks that are missing")
    func middleOfAStep() async throws {
        let folder = try TemporaryFolder()
        // Two known questions, three steps of one task, and the first of the next step's two.
        let tool = try await RunningTool(
            run(
                to: folder.file("a.png"), state: folder.file("state"),
                [
                    "--checkpoint-every", "0", "--workers", "1", "--worker-fault",
                    "0:compute:hang@7",
                ]))
        try #require(await tool.hasShown("\"step\":3,\"tasks\":1}"))
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
        let tool = try await RunningTool(run(to: folder.file("a.png"), state: state))
        let process = tool.processID
        // The temporary file is there and the checkpoint is not: inside the write, or just past.
        async let seen = watch.waitForFile(
            named: { $0.hasSuffix(".partial") && $0.hasPrefix("step-\(step)") },
            then: { kill(process, SIGKILL) })
        let outcome = try await tool.outcome()
        watch.stop()
        // A checkpoint that a newer one has overtaken is never written.
        if await seen { #expect(outcome.status == 128 + SIGKILL) }
        if outcome.status == 0 { return }
        try await resume(folder)
        #expect(try folder.contents == ["a.png", "state"])
    }

    @Test("killed after each checkpoint again, each life goes on and raises the epoch")
    func killedAgainAndAgain() async throws {
        let folder = try TemporaryFolder()
        var lives: [Event] = []
        for _ in 0..<steps + 2 {
            let tool = try await RunningTool(
                run(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]))
            let goesOn = await tool.hasShown("\"event\":\"checkpoint\"")
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
            let start = ContinuousClock.now
            let tool = try await RunningTool(
                run(to: folder.file("a.png"), state: folder.file("state"), computing))
            try #require(await tool.hasShown(moment.marker))
            tool.send(signal: signal)
            let outcome = try await tool.outcome()
            #expect(ContinuousClock.now - start < .seconds(120))
            // A signal that comes when the picture is there already changes nothing.
            if outcome.status == 0 { continue }
            #expect(outcome.status == 75, "\(outcome)")
            #expect(outcome.errors.contains("--resume"), "\(outcome)")
            #expect(
                names(in: folder.file("state")).contains { $0.hasPrefix("step-") }, "\(outcome)")
            #expect(try folder.contents == ["state"])
            let resumed = try await resume(folder)
            #expect(resumed.events("resumed").first?.step ?? 0 >= (moment.tilesKept > 0 ? 6 : 2))
        }
    }

    @Test("matrix row 33: a second process on a state folder is refused and harms nothing")
    func locked() async throws {
        let folder = try TemporaryFolder()
        let first = try await RunningTool(
            run(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=3s"]))
        // Its first checkpoint keeps it here for a while.
        try #require(await first.hasShown("\"event\":\"step\""))
        first.send(signal: SIGSTOP)
        let second = try await CommandLineTool.run(
            run(to: folder.file("b.png"), state: folder.file("state"), ["--resume"]))
        #expect(second.status == 65, "\(second)")
        #expect(second.errors.contains("process \(first.processID)"), "\(second)")
        first.send(signal: SIGCONT)
        let outcome = try await first.outcome()
        try #require(outcome.status == 0, "\(outcome)")
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                == (try await quietPicture.value))
        #expect(try folder.contents == ["a.png", "state"])
    }

    // MARK: - Slow disks

    @Test("matrix row 37: a slow disk delays neither the steps nor the picture")
    func slowDisk() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            run(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=6s"]))
        try #require(outcome.status == 0, "\(outcome)")
        // All steps are done while the first checkpoint is being written.
        let names = outcome.events.map(\.event).filter { $0 == "step" || $0 == "checkpoint" }
        #expect(names.prefix(steps).allSatisfy { $0 == "step" }, "\(outcome)")
        #expect(names.count { $0 == "checkpoint" } <= 1)
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                == (try await quietPicture.value))
    }

    @Test("matrix row 31: a disk that hangs does not keep a stopped run beyond its grace time")
    func stoppedOnHangingDisk() async throws {
        let folder = try TemporaryFolder()
        let tool = try await RunningTool(
            run(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=600s@2"]))
        try #require(await tool.hasShown("{\"done\":4,\"event\":\"tile\""))
        tool.send(signal: SIGTERM)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 75, "\(outcome)")
        #expect(outcome.errors.contains("--resume"), "\(outcome)")
        try await resume(folder)
    }

    @Test(
        "a write that fails on purpose is a warning, in a real process",
        arguments: ["enospc", "eio"])
    func injectedFailure(fault: String) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            run(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:\(fault)@1"]))
        try #require(outcome.status == 0, "\(outcome)")
        #expect(outcome.events("warning").count == 1, "\(outcome)")
        #expect(names(in: folder.file("state")) == ["life.json", "lock"])
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                == (try await quietPicture.value))
    }

    // MARK: - Damaged and foreign state

    private func newestCheckpoint(_ folder: TemporaryFolder) throws -> String {
        let names = names(in: folder.file("state")).filter { $0.hasPrefix("step-") }
        return folder.file("state") + "/" + (try #require(names.last))
    }

    private func damage(_ path: String, _ change: (inout Data) -> Void) throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        change(&bytes)
        try bytes.write(to: URL(fileURLWithPath: path))
    }

    @Test(
        "matrix row 38: a truncated or flipped newest checkpoint is said and the older one taken",
        arguments: [true, false]
    )
    func damagedNewest(truncated: Bool) async throws {
        let folder = try TemporaryFolder()
        try await killedRun(in: folder, at: "{\"done\":2,\"event\":\"tile\"")
        try damage(try newestCheckpoint(folder)) { bytes in
            if truncated { bytes.removeLast(1000) } else { bytes[bytes.count / 2] ^= 0x20 }
        }
        let outcome = try await resume(folder)
        let warning = try #require(outcome.events("warning").first?.text)
        #expect(warning.contains("damaged") && warning.contains("step-"))
        #expect(outcome.events("resumed").first?.step ?? 0 > 0)
    }

    @Test("matrix row 38: with both damaged the run begins anew, and says so")
    func damagedBoth() async throws {
        let folder = try TemporaryFolder()
        try await killedRun(in: folder, at: "{\"done\":2,\"event\":\"tile\"")
        for name in names(in: folder.file("state")) where name.hasPrefix("step-") {
            try damage(folder.file("state") + "/" + name) { $0.removeFirst(3) }
        }
        let outcome = try await resume(folder)
        #expect(outcome.events("warning").count == 2)
        #expect(outcome.events("resumed").first?.step == 0)
        #expect(outcome.events("step").count == steps)
    }

    @Test("matrix row 39: newer formats, other models and other requests are refused")
    func refusals() async throws {
        let folder = try TemporaryFolder()
        let state = folder.file("state")
        try await killedRun(in: folder, at: "\"event\":\"checkpoint\"")
        let manifest = state + "/manifest.json"
        let whole = try Data(contentsOf: URL(fileURLWithPath: manifest))
        let text = String(decoding: whole, as: UTF8.self)
        let weights = try #require(text.firstMatch(of: /"weights" : "([0-9a-f]+)"/)).1
        let edits: [(old: String, new: String, says: [String])] = [
            ("\"format\" : 1", "\"format\" : 12", ["format 12", "up to 1"]),
            (String(weights), "00000000deadbeef", ["weights", "00000000deadbeef", "\(weights)"]),
            ("\"seed\" : 11", "\"seed\" : 12", ["seed", "12", "11"]),
            ("{", "", ["manifest.json is damaged"]),
        ]
        for edit in edits {
            let edited = text.replacingOccurrences(of: edit.old, with: edit.new)
            try Data(edited.utf8).write(to: URL(fileURLWithPath: manifest))
            let before = names(in: state)
            let refused = try await CommandLineTool.run(
                run(to: folder.file("a.png"), state: state, ["--resume"]))
            #expect(refused.status == 65, "\(refused)")
            for part in edit.says { #expect(refused.errors.contains(part), "\(refused)") }
            #expect(names(in: state) == before)
        }
        try whole.write(to: URL(fileURLWithPath: manifest))
        let other = try await CommandLineTool.run(
            run(to: folder.file("a.png"), state: state, ["--resume", "--guidance-scale", "2.5"]))
        #expect(other.status == 65, "\(other)")
        #expect(other.errors.contains("guidance_scale (3 there, 2.5 here)"), "\(other)")
        try await resume(folder)
    }

    @Test("a state folder that cannot be one is one sentence, before anything is computed")
    func unusableFolders() async throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file("file")))
        for place in [folder.file("file"), folder.file("file") + "/below", "/proc/state"] {
            let outcome = try await CommandLineTool.run(run(to: folder.file("a.png"), state: place))
            #expect(outcome.status == 65, "\(outcome)")
            #expect(outcome.errors.contains(place), "\(outcome)")
            #expect(outcome.events("step").isEmpty)
        }
        #expect(try folder.contents == ["file"])
    }

    @Test("what a killed run left beside its picture goes with the next run")
    func leftovers() async throws {
        let folder = try TemporaryFolder()
        try await killedRun(in: folder, at: "{\"done\":5,\"event\":\"tile\"")
        #expect(try folder.contents.contains { $0.hasSuffix(".partial") })
        try await resume(folder)
        #expect(try folder.contents == ["a.png", "state"])
    }

    // MARK: - Full disks

    @Test(
        "matrix row 35: a full disk in a checkpoint is a warning that a later success clears",
        .enabled(if: TinyDisk.isPermitted, "mounting a small disk needs root")
    )
    func fullDiskInCheckpoint() async throws {
        let folder = try TemporaryFolder()
        let disk = try TinyDisk(at: folder.file("state"), kilobytes: 128)
        // What is left holds the manifest and no checkpoint.
        let ballast = folder.file("state") + "/ballast"
        try Data(count: 104 << 10).write(to: URL(fileURLWithPath: ballast))
        let long = 60
        let tool = try await RunningTool(
            run(to: folder.file("a.png"), state: folder.file("state"), steps: long))
        try #require(await tool.hasShown("could not be written"))
        try FileManager.default.removeItem(atPath: ballast)
        #expect(await tool.hasShown("state is kept again"))
        let outcome = try await tool.outcome()
        #expect(outcome.status == 0, "\(outcome)")
        let warnings = outcome.events("warning").compactMap(\.text)
        #expect(warnings.contains { $0.contains("No space left") && $0.contains("checkpoint") })
        let quiet = try await CommandLineTool.run(
            run(to: folder.file("quiet.png"), steps: long))
        #expect(quiet.status == 0)
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("a.png"), andPath: folder.file("quiet.png")))
        withExtendedLifetime(disk) {}
    }

    @Test(
        "matrix row 35: a disk that fills up leaves the older checkpoint to go on from",
        .enabled(if: TinyDisk.isPermitted, "mounting a small disk needs root")
    )
    func fullDiskKeepsOlder() async throws {
        let folder = try TemporaryFolder()
        // Room for the small files and one checkpoint of 17 KB, not for a second beside it.
        let disk = try TinyDisk(at: folder.file("state"), kilobytes: 40)
        try await killedRun(in: folder, at: "{\"done\":6,\"event\":\"step\"")
        let kept = names(in: folder.file("state")).filter { $0.hasPrefix("step-") }
        #expect(kept.count == 1)
        let outcome = try await resume(folder)
        #expect(outcome.events("resumed").first?.step ?? 0 >= 1)
        #expect(outcome.events("warning").count >= 1)
        withExtendedLifetime(disk) {}
    }

    @Test(
        "matrix row 36: a full disk in the picture keeps the latents, and a resume only decodes",
        .enabled(if: TinyDisk.isPermitted, "mounting a small disk needs root")
    )
    func fullDiskInOutput() async throws {
        let folder = try TemporaryFolder()
        let disk = try TinyDisk(at: folder.file("small"), kilobytes: 32)
        let output = folder.file("small") + "/a.png"
        let failed = try await CommandLineTool.run(run(to: output, state: folder.file("state")))
        #expect(failed.status == 75, "\(failed)")
        #expect(failed.errors.contains("No space left") && failed.errors.contains("--resume"))
        #expect(failed.events("warning").contains { $0.text?.contains("left, and this") == true })
        #expect(names(in: folder.file("small")).isEmpty)
        let resumed = try await resume(folder, output: "elsewhere.png")
        #expect(resumed.events("step").isEmpty)
        let kept = resumed.events("tiles_kept").first?.tiles ?? 0
        #expect(kept > 0)
        #expect(resumed.events("tile").count == tiles - kept + 1)

        let lost = try await CommandLineTool.run(run(to: output))
        #expect(lost.status == 65, "\(lost)")
        #expect(lost.errors.contains("--state-dir") && lost.errors.contains("--save-latents"))
        #expect(names(in: folder.file("small")).isEmpty)
        withExtendedLifetime(disk) {}
    }

    @Test("matrix rows 35 and 36 without privileges: a limit on the size of files")
    func fileSizeLimit() async throws {
        let folder = try TemporaryFolder()
        // Below a checkpoint: nothing can be kept, and the picture cannot be written either.
        let poor = try await CommandLineTool.run(
            run(to: folder.file("a.png"), state: folder.file("state")), fileKilobytes: 8)
        #expect(poor.status == 65, "\(poor)")
        #expect(poor.events("warning").contains { $0.text?.contains("too large") == true })
        #expect(poor.events("step").count == steps)
        #expect(
            names(in: folder.file("state")) == [
                "life.json", "lock", "manifest.json", "tiles.journal",
            ])
        // Between a checkpoint and the picture: the latents are kept.
        let better = try await CommandLineTool.run(
            run(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]),
            fileKilobytes: 40)
        #expect(better.status == 75, "\(better)")
        #expect(try folder.contents == ["state"])
        let outcome = try await resume(folder)
        #expect(outcome.events("step").isEmpty)
    }

    @Test(
        "a state folder on a disk that may only be read is one sentence",
        .enabled(if: TinyDisk.isPermitted, "mounting a small disk needs root")
    )
    func readOnlyDisk() async throws {
        let folder = try TemporaryFolder()
        let disk = try TinyDisk(at: folder.file("state"), kilobytes: 1024)
        try await killedRun(in: folder, at: "\"event\":\"checkpoint\"")
        try disk.setReadOnly(true)
        let refused = try await CommandLineTool.run(
            run(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]))
        #expect(refused.status == 65, "\(refused)")
        #expect(refused.errors.contains("Read-only file system"), "\(refused)")
        try disk.setReadOnly(false)
        try await resume(folder)
    }
}
