import Foundation
import TestSupport
import Testing

@Suite("State that is damaged or another run's", .watched, .serialized, .timeLimit(.minutes(10)))
struct DamagedStateTests {
    private func newestCheckpoint(_ folder: TemporaryFolder) throws -> String {
        let names = names(in: folder.file("state")).filter { $0.hasPrefix("step-") }
        return folder.file("state") + "/" + (try #require(names.last))
    }

    /// Kills a run that has kept two checkpoints. On a slow disk one overtakes another.
    private func folderWithTwoCheckpoints() async throws -> TemporaryFolder {
        for _ in 0..<5 {
            let folder = try TemporaryFolder()
            try await killedRun(in: folder, at: "tile:kill@2")
            if names(in: folder.file("state")).count(where: { $0.hasPrefix("step-") }) == 2 {
                return folder
            }
        }
        throw Missing()
    }

    private struct Missing: Error, CustomStringConvertible {
        let description = "no run kept two checkpoints"
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
        let folder = try await folderWithTwoCheckpoints()
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
        let folder = try await folderWithTwoCheckpoints()
        for name in names(in: folder.file("state")) where name.hasPrefix("step-") {
            try damage(folder.file("state") + "/" + name) { $0.removeFirst(3) }
        }
        let outcome = try await resume(folder)
        #expect(outcome.events("warning").count == 2)
        #expect(outcome.events("resumed").first?.step == 0)
        #expect(outcome.events("step").count == runSteps)
    }

    @Test("matrix row 39: newer formats, other models and other requests are refused")
    func refusals() async throws {
        let folder = try TemporaryFolder()
        let state = folder.file("state")
        try await runKilledAfterCheckpoint(in: folder)
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
            // Equal ones would be those of a model with another autoencoder, which may go on.
            let edited = text.replacingOccurrences(of: edit.old, with: edit.new)
                .replacing(/"latent_weights" : "[0-9a-f]+"/, with: "\"latent_weights\" : \"1\"")
            try Data(edited.utf8).write(to: URL(fileURLWithPath: manifest))
            let before = names(in: state)
            let refused = try await CommandLineTool.run(
                interruptedRun(to: folder.file("a.png"), state: state, ["--resume"]))
            #expect(refused.status == 65, "\(refused)")
            for part in edit.says { #expect(refused.errors.contains(part), "\(refused)") }
            #expect(names(in: state) == before)
        }
        try whole.write(to: URL(fileURLWithPath: manifest))
        let other = try await CommandLineTool.run(
            interruptedRun(
                to: folder.file("a.png"), state: state, ["--resume", "--guidance-scale", "2.5"]))
        #expect(other.status == 65, "\(other)")
        #expect(other.errors.contains("guidance_scale (3 there, 2.5 here)"), "\(other)")
        try await resume(folder)
    }

    @Test("a state folder that cannot be one is one sentence, before anything is computed")
    func unusableFolders() async throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file("file")))
        for place in [folder.file("file"), folder.file("file") + "/below", "/proc/state"] {
            let outcome = try await CommandLineTool.run(
                interruptedRun(to: folder.file("a.png"), state: place))
            #expect(outcome.status == 65, "\(outcome)")
            #expect(outcome.errors.contains(place), "\(outcome)")
            #expect(outcome.events("step").isEmpty)
        }
        #expect(try folder.contents == ["file"])
    }

    @Test("what a killed run left beside its picture goes with the next run")
    func leftovers() async throws {
        let folder = try TemporaryFolder()
        try await killedRun(in: folder, at: "tile:kill@5")
        #expect(try folder.contents.contains { $0.hasSuffix(".partial") })
        try await resume(folder)
        #expect(try folder.contents == ["a.png", "state"])
    }
}
