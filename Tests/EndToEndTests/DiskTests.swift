import Foundation
import TestSupport
import Testing

@Suite("Disks that are slow, hang, or are full", .watched, .serialized, .timeLimit(.minutes(10)))
struct DiskTests {
    @Test("matrix row 37: a slow disk delays neither the steps nor the picture")
    func slowDisk() async throws {
        let folder = try TemporaryFolder()
        let tool = try await RunningTool(
            interruptedRun(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=600s@1"]))
        // All is computed while the first checkpoint is being written.
        try #require(try await tool.hasShown("{\"done\":\(runTiles),\"event\":\"tile\""))
        tool.send(signal: SIGKILL)
        let outcome = try await tool.outcome()
        #expect(outcome.events("step").count == runSteps)
        #expect(outcome.events("checkpoint").isEmpty, "\(outcome)")
        try await resume(folder)
    }

    @Test("matrix row 31: a disk that hangs does not keep a stopped run beyond its grace time")
    func stoppedOnHangingDisk() async throws {
        let folder = try TemporaryFolder()
        let tool = try await RunningTool(
            interruptedRun(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:slow=600s@2"]))
        try #require(try await tool.hasShown("{\"done\":4,\"event\":\"tile\""))
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
            interruptedRun(
                to: folder.file("a.png"), state: folder.file("state"),
                ["--fault", "checkpoint:\(fault)@1"]))
        try #require(outcome.status == 0, "\(outcome)")
        #expect(outcome.events("warning").count == 1, "\(outcome)")
        #expect(names(in: folder.file("state")) == ["life.json", "lock"])
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
                == (try await undisturbedPicture.ownValue))
    }

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
        let long = 40
        let tool = try await RunningTool(
            interruptedRun(to: folder.file("a.png"), state: folder.file("state"), steps: long))
        try #require(try await tool.hasShown("could not be written"))
        try FileManager.default.removeItem(atPath: ballast)
        #expect(try await tool.hasShown("state is kept again"))
        let outcome = try await tool.outcome()
        #expect(outcome.status == 0, "\(outcome)")
        let warnings = outcome.events("warning").compactMap(\.text)
        #expect(warnings.contains { $0.contains("No space left") && $0.contains("checkpoint") })
        let quiet = try await CommandLineTool.run(
            interruptedRun(to: folder.file("quiet.png"), steps: long))
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
        try await killedRun(in: folder, at: "step:kill@6")
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
        let failed = try await CommandLineTool.run(
            interruptedRun(to: output, state: folder.file("state")))
        #expect(failed.status == 75, "\(failed)")
        #expect(failed.errors.contains("No space left") && failed.errors.contains("--resume"))
        #expect(failed.events("warning").contains { $0.text?.contains("left, and this") == true })
        #expect(names(in: folder.file("small")).isEmpty)
        let resumed = try await resume(folder, output: "elsewhere.png")
        #expect(resumed.events("step").isEmpty)
        let kept = resumed.events("tiles_kept").first?.tiles ?? 0
        #expect(kept > 0)
        #expect(resumed.events("tile").count == runTiles - kept + 1)

        // The latents are smaller than the picture.
        let rescued = try await CommandLineTool.run(interruptedRun(to: output))
        #expect(rescued.status == 65, "\(rescued)")
        #expect(rescued.errors.contains(folder.file("small") + "/a.latents.safetensors"))
        #expect(names(in: folder.file("small")) == ["a.latents.safetensors"])
        withExtendedLifetime(disk) {}
    }

    @Test(
        "latents that a full state disk did not take outlive the last worker, and are said where",
        .enabled(if: TinyDisk.isPermitted, "mounting a small disk needs root")
    )
    func fullDiskAndWorkerGone() async throws {
        let folder = try TemporaryFolder()
        let (state, join) = (folder.file("state"), folder.file("join.json"))
        // Room for the small files, not for a checkpoint of 17 KB.
        let disk = try TinyDisk(at: state, kilobytes: 24)
        let coordinator = try await RunningTool(
            interruptedRun(
                to: folder.file("a.png"), state: state,
                ["--listen", "tcp://127.0.0.1:*", "--join", join, "--worker-timeout", "3"]))
        try #require(try await coordinator.hasShown("waiting for workers"))
        // So slow that not all tiles are there when the signal comes.
        let worker = try await RunningTool(
            ["worker", "--join", join, "--fault", "compute:delay=200ms"])
        try #require(try await coordinator.hasShown("{\"done\":1,\"event\":\"tile\""))
        worker.send(signal: SIGKILL)
        let outcome = try await coordinator.outcome()
        _ = try await worker.outcome()
        #expect(outcome.status == 69, "\(outcome)")
        let rescued = folder.file("a.latents.safetensors")
        for part in [rescued, "the state folder \(state) has not taken them"] {
            #expect(outcome.errors.contains(part), "\(outcome)")
        }
        #expect(FileManager.default.fileExists(atPath: rescued))
        withExtendedLifetime(disk) {}
    }

    @Test("matrix rows 35 and 36 without privileges: a limit on the size of files")
    func fileSizeLimit() async throws {
        let folder = try TemporaryFolder()
        // Below a checkpoint: nothing can be kept, and the picture cannot be written either.
        let poor = try await CommandLineTool.run(
            interruptedRun(to: folder.file("a.png"), state: folder.file("state")), fileKilobytes: 8)
        #expect(poor.status == 65, "\(poor)")
        #expect(poor.events("warning").contains { $0.text?.contains("too large") == true })
        #expect(poor.events("step").count == runSteps)
        #expect(
            names(in: folder.file("state")) == [
                "life.json", "lock", "manifest.json", "tiles.journal",
            ])
        // Between a checkpoint and the picture: the latents are kept.
        let better = try await CommandLineTool.run(
            interruptedRun(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]),
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
        try await runKilledAfterCheckpoint(in: folder)
        try disk.setReadOnly(true)
        let refused = try await CommandLineTool.run(
            interruptedRun(to: folder.file("a.png"), state: folder.file("state"), ["--resume"]))
        #expect(refused.status == 65, "\(refused)")
        #expect(refused.errors.contains("Read-only file system"), "\(refused)")
        try disk.setReadOnly(false)
        try await resume(folder)
    }
}
