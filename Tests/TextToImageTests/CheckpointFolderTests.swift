import Denoising
import DurableFiles
import Foundation
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("The folder a killed run goes on from", .watched, .timeLimit(.minutes(10)))
final class CheckpointFolderTests {
    private let path = NSTemporaryDirectory() + "tessera-state-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func job(
        seed: UInt64 = 1, plan: UInt64 = 1, weights: UInt64 = 2, computeClass: String = "cpu/a/b"
    ) -> Provenance {
        let request = GenerationRequest(
            prompt: "hills", width: 64, height: 64, steps: 4, guidanceScale: 3, seed: seed,
            method: "direct")
        return Provenance(
            request: request, plan: Fingerprint(value: plan), weights: Fingerprint(value: weights),
            computeClass: computeClass)
    }

    private func state(step: Int) -> DenoisingState {
        let values = (0..<16).map { Float($0 * step) / 7 }
        return DenoisingState(
            canvas: Latent(channels: 1, height: 4, width: 4, values: values), nextStep: step)
    }

    /// In the middle of the step after it.
    private func state(step: Int, tasks: Int) -> DenoisingState {
        var state = state(step: step)
        let sum = state.canvas.mapValues { $0 * 3 + Float(tasks) }
        state.underWay = PartialStep(mergedTasks: tasks, sum: sum)
        return state
    }

    private func open(
        _ job: Provenance? = nil, resume: Bool = true,
        onEvent: @escaping @Sendable (StateEvent) -> Void = { _ in }
    ) throws -> CheckpointFolder {
        try CheckpointFolder(path: path, job: job ?? self.job(), resume: resume, onEvent: onEvent)
    }

    /// Saves steps as one process, then lets the folder go, as a killed process does.
    private func run(saving steps: ClosedRange<Int>) async throws {
        let folder = try open(resume: false)
        #expect(folder.latest() == nil)
        for step in steps {
            try folder.save(state(step: step))
            await folder.settle()
        }
    }

    private func file(_ name: String) -> URL { URL(fileURLWithPath: path + "/" + name) }

    /// Changes the manifest as text.
    private func edit(_ old: String, _ new: String) throws {
        let text = try String(contentsOf: file("manifest.json"), encoding: .utf8)
        try #require(text.contains(old), "\(text)")
        try Data(text.replacingOccurrences(of: old, with: new).utf8)
            .write(to: file("manifest.json"))
    }

    /// Opening fails with a sentence that holds all of `parts`, and changes nothing.
    private func expectRefusal(
        _ parts: String..., job: Provenance? = nil, resume: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        var before = snapshot(of: path)
        let failure = #expect(throws: CheckpointError.self, sourceLocation: sourceLocation) {
            try self.open(job, resume: resume)
        }
        for part in parts {
            #expect(
                failure?.description.contains(part) == true, "\(failure?.description ?? "")",
                sourceLocation: sourceLocation)
        }
        var after = snapshot(of: path)
        before["lock"] = nil
        after["lock"] = nil
        #expect(before == after, sourceLocation: sourceLocation)
    }

    @Test("the last step comes back, bit for bit, and two generations are kept")
    func lastStep() async throws {
        try await run(saving: 1...3)
        #expect(
            names(in: path) == [
                "lock", "manifest.json", "step-2.safetensors", "step-3.safetensors",
            ])
        #expect(try open().latest() == state(step: 3))
    }

    @Test("a later phase comes back with what it keeps, before and after its canvas is made")
    func phases() async throws {
        let folder = try open(resume: false)
        let low = KeptCanvas(name: "low", latent: Latent(zeros: 4, height: 3, width: 2))
        let canvas = state(step: 2).canvas
        let states = [
            DenoisingState(canvas: canvas, nextStep: 2),
            DenoisingState(phase: 1, canvas: canvas, kept: [low], nextStep: 2),
            DenoisingState(
                phase: 1, canvas: canvas, kept: [low], nextStep: 2,
                underWay: PartialStep(mergedTasks: 7, sum: canvas)),
            DenoisingState(
                phase: 1, canvas: canvas, kept: [low], nextStep: 2,
                underWay: PartialStep(
                    mergedTasks: 9, sum: canvas, mixed: canvas.mapValues { $0 / 2 })),
            DenoisingState(phase: 1, canvas: canvas, nextStep: 3),
        ]
        let files = [
            "step-2.safetensors", "step-2-phase-1.safetensors", "step-2-7-phase-1.safetensors",
            "step-2-9-phase-1.safetensors", "step-3-phase-1.safetensors",
        ]
        for (state, file) in zip(states, files) {
            try folder.save(state)
            await folder.settle()
            #expect(folder.latest() == state)
            #expect(names(in: path).contains(file))
        }
        #expect(folder.loss(ofStep: 3, phase: 1) == nil)
        #expect(folder.loss(ofStep: 3) == .notTaken(path: path))
    }

    @Test("the middle of a step comes back, bit for bit, and counts as a generation")
    func middleOfAStep() async throws {
        let folder = try open(resume: false)
        let states = [
            state(step: 0, tasks: 2), state(step: 1), state(step: 1, tasks: 9),
            state(step: 1, tasks: 10),
        ]
        for state in states {
            try folder.save(state)
            await folder.settle()
            #expect(folder.latest() == state)
        }
        #expect(
            names(in: path).filter { $0.hasPrefix("step") } == [
                "step-1-10.safetensors", "step-1-9.safetensors",
            ])
        #expect(folder.loss(ofStep: 1) == .notTaken(path: path))
        // Cut off, flipped or renamed it is not believed.
        let newest = file("step-1-10.safetensors")
        let whole = bytes(of: newest.path)
        for position in stride(from: 0, to: whole.count, by: 7) {
            var damaged = whole
            damaged[position] ^= 4
            try damaged.write(to: newest)
            let latest = folder.latest()
            #expect(latest == states[3] || latest == states[2], "byte \(position)")
            try whole.prefix(position).write(to: newest)
            #expect(folder.latest() == states[2], "\(position) bytes")
        }
        try whole.write(to: file("step-2-10.safetensors"))
        try whole.write(to: file("step-3.safetensors"))
        try FileManager.default.removeItem(at: newest)
        #expect(folder.latest() == states[2])
        await folder.finish()
        #expect(names(in: path) == ["lock"])
    }

    @Test(
        "what is no checkpoint's name is left alone",
        arguments: [
            "step-.safetensors", "step-0-0.safetensors", "step-01.safetensors",
            "step-1-.safetensors",
            "step-1-0.safetensors", "step-1-02.safetensors", "step--1-2.safetensors",
            "step-1-2-3.safetensors", "step-+1.safetensors", "step-1-2.safetensors.bak",
            "step-99999999999999999999.safetensors",
        ])
    func foreignNames(name: String) async throws {
        try await run(saving: 1...3)
        try Data([1]).write(to: file(name))
        let folder = try open()
        #expect(folder.latest() == state(step: 3))
        await folder.finish()
        #expect(names(in: path) == ["lock", name].sorted())
    }

    @Test("a name of the largest numbers is a checkpoint's, and not believed")
    func largestName() async throws {
        try await run(saving: 1...1)
        try Data([1]).write(to: file("step-\(Int.max)-\(Int.max).safetensors"))
        #expect(try open().latest() == state(step: 1))
    }

    @Test("matrix row 38: whatever bit of the newest checkpoint flips, it is never believed")
    func flippedBits() async throws {
        try await run(saving: 1...3)
        let whole = bytes(of: path + "/step-3.safetensors")
        let other = bytes(of: path + "/step-2.safetensors")
        for position in whole.indices {
            try other.write(to: file("step-2.safetensors"))
            var damaged = whole
            damaged[position] ^= UInt8(1 << (position % 8))
            try damaged.write(to: file("step-3.safetensors"))
            let events = EventLog<StateEvent>()
            let latest = try open(onEvent: { events.add($0) }).latest()
            // A flipped bit in what nobody reads, such as the header's padding, does no harm.
            if latest != state(step: 3) {
                #expect(latest == state(step: 2), "byte \(position)")
                #expect(events.all.count == 1, "byte \(position)")
                #expect(events.all.first?.description.contains("step-3") == true)
            }
        }
    }

    @Test("matrix row 38: wherever the newest checkpoint is cut off, the one before is taken")
    func truncated() async throws {
        try await run(saving: 1...3)
        let whole = bytes(of: path + "/step-3.safetensors")
        for length in 0..<whole.count {
            try whole.prefix(length).write(to: file("step-3.safetensors"))
            #expect(try open().latest() == state(step: 2), "\(length) bytes")
        }
    }

    @Test(
        "with both damaged the run begins anew, and the damaged go only when a whole one is there")
    func bothDamaged() async throws {
        try await run(saving: 1...3)
        for name in ["step-2.safetensors", "step-3.safetensors"] {
            try Data([1, 2, 3]).write(to: file(name))
        }
        let events = EventLog<StateEvent>()
        let folder = try open(onEvent: { events.add($0) })
        #expect(folder.latest() == nil)
        #expect(events.all.count { $0.isWarning } == 2)
        #expect(names(in: path).count == 4)
        try folder.save(state(step: 1))
        await folder.settle()
        #expect(names(in: path) == ["lock", "manifest.json", "step-1.safetensors"])
    }

    @Test("a checkpoint of another run is not taken, whatever its name says")
    func foreignCheckpoint() async throws {
        try await run(saving: 1...2)
        let foreign = bytes(of: path + "/step-2.safetensors")
        await (try open()).finish()
        try await run(saving: 1...1)
        try foreign.write(to: file("step-2.safetensors"))
        try foreign.write(to: file("step-3.safetensors"))
        #expect(try open().latest() == state(step: 1))
    }

    @Test("a begun run needs --resume")
    func begun() async throws {
        try await run(saving: 1...1)
        expectRefusal("--resume", path, resume: false)
    }

    @Test("matrix row 39: what differs is named with both values")
    func otherPicture() async throws {
        try await run(saving: 1...1)
        let hex = { (value: UInt64) in "\(Fingerprint(value: value))" }
        expectRefusal("request: seed (1 there, 2 here)", job: job(seed: 2))
        expectRefusal("plan (\(hex(1)) there, \(hex(9)) here)", job: job(plan: 9))
        expectRefusal("model weights (\(hex(2)) there, \(hex(7)) here)", job: job(weights: 7))
        expectRefusal("compute class (cpu/a/b there, cpu/c here)", job: job(computeClass: "cpu/c"))
        var request = job()
        expectRefusal("seed", "plan", "weights", job: job(seed: 3, plan: 3, weights: 3))
        request = job()
        #expect(try open(request).latest() == state(step: 1))
    }

    @Test("matrix row 39: a newer format is refused with both numbers")
    func newerFormat() async throws {
        try await run(saving: 1...1)
        try edit("\"format\" : 1", "\"format\" : 7, \"unheard\" : [ 1 ]")
        expectRefusal("format 7", "up to 1", "manifest.json")
    }

    @Test(
        "a damaged manifest is said, and nothing is touched",
        arguments: [
            ("\"format\" : 1", "\"format\" : \"one\""), ("\"format\" : 1", "\"format\" : 0"),
            ("\"format\" : 1,", ""), ("\"seed\" : 1", "\"seed\" : -1"),
            ("\"seed\" : 1", "\"seed\" : true"), ("\"prompt\"", "\"promqt\""), ("{", "["),
        ]
    )
    func damagedManifest(old: String, new: String) async throws {
        try await run(saving: 1...1)
        try edit(old, new)
        expectRefusal("manifest.json is damaged")
    }

    @Test("wherever a manifest is cut off it is damaged; without it checkpoints are not guessed at")
    func truncatedManifest() async throws {
        try await run(saving: 1...1)
        let whole = bytes(of: path + "/manifest.json")
        for length in 0..<(whole.count - 2) {
            try whole.prefix(length).write(to: file("manifest.json"))
            expectRefusal("manifest.json is damaged")
        }
        try FileManager.default.removeItem(at: file("manifest.json"))
        expectRefusal("missing")
    }

    @Test("another version of the program goes on, and says so")
    func otherVersion() async throws {
        try await run(saving: 1...1)
        try edit("\"version\" : \"\(tesseraVersion)\"", "\"version\" : \"0.0.1\"")
        let events = EventLog<StateEvent>()
        #expect(try open(onEvent: { events.add($0) }).latest() == state(step: 1))
        #expect(events.all == [.otherVersion(held: "0.0.1")])
    }

    @Test("matrix row 33: two processes cannot hold one folder; the second names the first")
    func locked() throws {
        let first = try open(resume: false)
        let failure = #expect(throws: CheckpointError.self) { try self.open() }
        #expect(failure == .locked(path: path, holder: "process \(getpid())"))
        #expect(bytes(of: path + "/lock").range(of: Data("boot ".utf8)) != nil)
        withExtendedLifetime(first) {}
    }

    @Test("each start raises the epoch of one realm; a lost record begins another realm")
    func epochs() throws {
        let first = try open(resume: false).beginLife()
        let second = try open().beginLife()
        #expect(first.epoch == 1 && second.epoch == 2)
        #expect(first.realm == second.realm && first.realm != 0)
        let record = file("life.json")
        for damage in ["", "{}", "{\"format\" : 1}"] {
            let before = try open().beginLife()
            try Data(damage.utf8).write(to: record)
            let after = try open().beginLife()
            #expect(after.realm != before.realm && after.epoch == 1)
        }
        let text = try String(contentsOf: record, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "\"epoch\" : 1", with: "\"epoch\" : 0").utf8)
            .write(to: record)
        let last = try open().beginLife()
        #expect(last.epoch == 1)
        try Data(text.replacingOccurrences(of: "\"format\" : 1", with: "\"format\" : 3").utf8)
            .write(to: record)
        #expect(throws: CheckpointError.self) { try self.open().beginLife() }
    }

    @Test("the line of lives outlasts a picture")
    func livesAfterFinish() async throws {
        let first = try await finishedRun()
        let other = try CheckpointFolder(path: path + "/", job: job(seed: 5), resume: false)
        let second = try other.beginLife()
        #expect(second == StateLife(realm: first.realm, epoch: first.epoch + 1))
    }

    private func finishedRun() async throws -> StateLife {
        let folder = try open(resume: false)
        let life = try folder.beginLife()
        await folder.finish()
        return life
    }

    @Test("matrix row 34: a process that lost the folder to another writes nothing more")
    func superseded() async throws {
        let old = try open(resume: false)
        _ = try old.beginLife()
        try old.save(state(step: 1))
        await old.settle()
        try FileManager.default.removeItem(at: file("lock"))
        let new = try open()
        _ = try new.beginLife()
        try new.save(state(step: 2))
        await new.settle()
        let before = snapshot(of: path)
        try old.save(state(step: 3))
        await old.settle()
        #expect(throws: CheckpointError.superseded(path: path, epoch: 1, by: 2)) {
            try old.save(self.state(step: 4))
        }
        await old.finish()
        #expect(snapshot(of: path) == before)
    }

    private func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    @Test("a folder that is moved away keeps nothing and its place gets nothing, until it is back")
    func movedAway() async throws {
        let events = EventLog<StateEvent>()
        let away = path + ".away"
        defer { try? FileManager.default.removeItem(atPath: away) }
        let folder = try open(resume: false, onEvent: { events.add($0) })
        _ = try folder.beginLife()
        try folder.save(state(step: 1))
        await folder.settle()
        #expect(folder.loss(ofStep: 1) == nil)
        try FileManager.default.moveItem(atPath: path, toPath: away)
        #expect(folder.loss(ofStep: 1) == .gone(path: path))
        try makeFolder(path)
        try folder.save(state(step: 2))
        await folder.settle()
        #expect(folder.loss(ofStep: 2) == .replaced(path: path))
        #expect(folder.loss(ofStep: 1) == .replaced(path: path))
        #expect(names(in: path).isEmpty)
        #expect(events.all.contains(.lost(.replaced(path: path))))
        #expect(names(in: away).contains("step-1.safetensors"))
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.moveItem(atPath: away, toPath: path)
        await folder.settle()
        #expect(folder.loss(ofStep: 2) == nil)
        #expect(try #require(folder.latest()) == state(step: 2))
    }

    @Test("of another run's folder that came in its place nothing is taken, removed or believed")
    func foreignInItsPlace() async throws {
        let away = path + ".away"
        defer { try? FileManager.default.removeItem(atPath: away) }
        let folder = try open(resume: false)
        _ = try folder.beginLife()
        try FileManager.default.moveItem(atPath: path, toPath: away)
        let other = try open(job(seed: 5), resume: false)
        _ = try other.beginLife()
        try other.save(state(step: 3))
        await other.settle()
        let before = snapshot(of: path)
        // No word of a successor: the other run is none.
        try folder.save(state(step: 1))
        await folder.settle()
        try folder.save(state(step: 2))
        await folder.settle()
        #expect(folder.loss == .replaced(path: path))
        await folder.finish()
        #expect(snapshot(of: path) == before)
        withExtendedLifetime(other) {}
    }

    @Test("a checkpoint that somebody has removed is not said to be kept")
    func removedCheckpoint() async throws {
        let folder = try open(resume: false)
        try folder.save(state(step: 1))
        await folder.settle()
        try FileManager.default.removeItem(at: file("step-1.safetensors"))
        #expect(folder.loss(ofStep: 1) == .notTaken(path: path))
    }

    @Test(
        "a manifest that is removed or damaged is written again, at the latest by the next checkpoint",
        arguments: [nil, "", "{}"])
    func manifestAgain(damage: String?) async throws {
        let folder = try open(resume: false)
        try folder.save(state(step: 1))
        await folder.settle()
        let manifest = bytes(of: path + "/manifest.json")
        func harm() throws {
            try FileManager.default.removeItem(at: file("manifest.json"))
            if let damage { try Data(damage.utf8).write(to: file("manifest.json")) }
        }
        try harm()
        #expect(folder.loss == .withoutManifest(path: path))
        await folder.settle()
        #expect(folder.loss(ofStep: 1) == nil)
        #expect(bytes(of: path + "/manifest.json") == manifest)
        try harm()
        try folder.save(state(step: 2))
        await folder.settle()
        #expect(folder.loss(ofStep: 2) == nil)
        #expect(bytes(of: path + "/manifest.json") == manifest)
    }

    @Test("a manifest that the disk does not take again is said, and nothing is said to be kept")
    func manifestRefused() async throws {
        let full = Watched(false)
        let events = EventLog<StateEvent>()
        let folder = try CheckpointFolder(
            path: path, job: job(), resume: false,
            beforeWrite: { write in
                if write.kind == .manifest, full.value {
                    throw FileFailure(path: "disk", code: ENOSPC)
                }
            }, onEvent: { events.add($0) })
        try folder.save(state(step: 1))
        await folder.settle()
        full.change { $0 = true }
        try FileManager.default.removeItem(at: file("manifest.json"))
        try folder.save(state(step: 2))
        await folder.settle()
        #expect(folder.loss(ofStep: 1) == .withoutManifest(path: path))
        #expect(events.all.contains { $0.description.contains("No space left on device") })
        full.change { $0 = false }
        await folder.settle()
        #expect(folder.loss(ofStep: 2) == nil)
    }

    @Test("temporary files of killed writers go when the folder is opened, others stay")
    func leftovers() async throws {
        try await run(saving: 1...2)
        let stale = [".step-3.safetensors.7.9.partial", ".manifest.json.7.9.partial"]
        let foreign = [".notes.txt.7.9.partial", "step-3.partial", "notes.txt"]
        for name in stale + foreign { try Data([1]).write(to: file(name)) }
        #expect(try open().latest() == state(step: 2))
        let left = names(in: path)
        #expect(stale.allSatisfy { !left.contains($0) })
        #expect(foreign.allSatisfy { left.contains($0) })
    }

    @Test("a finished run leaves no state behind but its line of lives")
    func finished() async throws {
        let folder = try open(resume: false)
        _ = try folder.beginLife()
        try folder.save(state(step: 1))
        await folder.finish()
        #expect(names(in: path) == ["life.json", "lock"])
    }

    @Test("a place that cannot hold a folder is one sentence")
    func unusable() throws {
        try Data().write(to: URL(fileURLWithPath: path))
        for place in ["/dev/null/state", path, path + "/below", "/proc/state"] {
            let failure = #expect(throws: CheckpointError.self) {
                try CheckpointFolder(path: place, job: self.job(), resume: false)
            }
            #expect(failure?.description.contains(place) == true)
        }
    }

    @Test("a folder that may only be read is one sentence", .enabled(if: getuid() != 0, "not root"))
    func readOnly() async throws {
        try await run(saving: 1...1)
        chmod(path, 0o500)
        chmod(path + "/lock", 0o400)
        defer { chmod(path, 0o700) }
        expectRefusal("Permission denied")
    }
}
