import Denoising
import Dispatch
import DurableFiles
import Foundation
import Synchronization
import Tensors
import TestSupport
import Testing
import TextToImage

private let diskFull = FileFailure(path: "disk", code: ENOSPC)

extension StateEvent {
    fileprivate var isRecovery: Bool {
        if case .recovered = self { true } else { false }
    }
}

@Suite("A disk that is full, slow or taken away", .watched, .timeLimit(.minutes(10)))
final class DiskTroubleTests: Sendable {
    private let studio: ToyStudio
    private let generator: ImageGenerator
    private var state: String { studio.path("state") }
    private var output: String { studio.path("a.png") }

    init() throws {
        studio = try ToyStudio()
        generator = try studio.generator(width: 200, height: 150)
    }

    private func quietPicture() async throws -> Data {
        _ = try await studio.run(generator, to: studio.path("quiet.png"))
        return bytes(of: studio.path("quiet.png"))
    }

    @Test("matrix row 35: a full disk is said once, the run goes on, later success clears it")
    func fullDisk() async throws {
        let picture = try await quietPicture()
        let attempts = Mutex(0)
        let log = EventLog<StateEvent>()
        // Every step has its own write, not put together with the next one's.
        let executor = ToyExecutor(onAnswer: { item in
            guard case .denoise(let task) = item else { return }
            switch task.step {
            case 1: try await log.wait(for: \.isWarning)
            case 2: try await log.wait(for: \.isRecovery)
            default: break
            }
        })
        let report = try await studio.run(
            generator, to: output, state: state, with: executor,
            beforeWrite: { write in
                guard write.kind == .checkpoint else { return }
                let attempt = attempts.withLock { count in
                    count += 1
                    return count
                }
                if attempt == 1 { throw diskFull }
            }, stateLog: log)
        #expect(report.failure == nil)
        #expect(bytes(of: output) == picture)
        let failures = report.stateEvents.filter(\.isWarning)
        #expect(failures.count == 1)
        #expect(failures.first?.description.contains("No space left on device") == true)
        let recoveries = report.stateEvents.compactMap { event in
            if case .recovered(_, let failures) = event { failures } else { nil }
        }
        #expect(recoveries == [1])
    }

    @Test("a disk that stays full costs the run nothing but its checkpoints, said once")
    func stayingFull() async throws {
        let picture = try await quietPicture()
        let report = try await studio.run(
            generator, to: output, state: state,
            beforeWrite: { write in
                if write.kind == .checkpoint || write.kind == .journal { throw diskFull }
            })
        #expect(report.failure == nil)
        #expect(bytes(of: output) == picture)
        // Once for the checkpoints, once for the journal.
        #expect(report.stateEvents.filter(\.isWarning).count == 2)
    }

    @Test("a failed write leaves the older checkpoint as it was, and a resume takes that")
    func olderStays() async throws {
        let picture = try await quietPicture()
        let report = try await studio.run(
            generator, to: "/no/such/folder/a.png", state: state,
            beforeWrite: { if $0.kind == .checkpoint, $0.step > 1 { throw diskFull } })
        // The writer may have skipped step 1 for a newer one that then failed.
        #expect(report.failure is PictureRunFailure)
        #expect(
            Set(names(in: state)).isSubset(of: [
                "life.json", "lock", "manifest.json", "step-1.safetensors", "tiles.journal",
            ]))
        let resumed = try await studio.run(generator, to: output, state: state, resume: true)
        #expect(resumed.failure == nil)
        #expect(bytes(of: output) == picture)
    }

    @Test("matrix row 37: denoising does not wait for a slow disk; the interval stretches")
    func slowDisk() async throws {
        let picture = try await quietPicture()
        let isDenoised = DispatchSemaphore(value: 0)
        let hasWaited = Mutex(false)
        let isFirst = Mutex(true)
        let steps = generator.picture.plan.stepCount
        let report = try await studio.run(
            generator, to: output, state: state,
            beforeWrite: { write in
                // The first write takes as long as all steps together.
                guard write.kind == .checkpoint else { return }
                let isFirst = isFirst.withLock { isFirst in
                    defer { isFirst = false }
                    return isFirst
                }
                guard isFirst else { return }
                let isOver = isDenoised.wait(timeout: .now() + 60) == .timedOut
                hasWaited.withLock { $0 = isOver }
            },
            onEvent: { if $0 == .progress(.step(done: steps, of: steps)) { isDenoised.signal() } })
        #expect(report.failure == nil)
        #expect(!hasWaited.withLock { $0 }, "denoising waited for the disk")
        #expect(bytes(of: output) == picture)
        let saved = report.stateEvents.compactMap { event in
            if case .saved(let step, _, _, _) = event { step } else { nil }
        }
        #expect(saved.count <= 2)
        #expect(saved.last == steps)
    }

    @Test("matrix row 36: without room for the picture the latents are kept and only decoded")
    func outputFails() async throws {
        let picture = try await quietPicture()
        let nowhere = studio.path("gone/a.png")
        let failed = try await studio.run(generator, to: nowhere, state: state)
        let failure = try #require(failed.failure as? PictureRunFailure)
        #expect(failure.latents == .folder(state))
        #expect(failure.description.contains("--resume"))
        let executor = ToyExecutor()
        let resumed = try await studio.run(
            generator, to: output, state: state, resume: true, with: executor)
        #expect(resumed.failure == nil)
        #expect(executor.steps.isEmpty)
        #expect(bytes(of: output) == picture)
    }

    @Test("without a state folder the failure says how to keep the latents")
    func outputFailsWithoutState() async throws {
        let nowhere = studio.path("gone/a.png")
        let lost = try await studio.run(generator, to: nowhere)
        #expect((lost.failure as? PictureRunFailure)?.latents == .lost)
        #expect((lost.failure as? PictureRunFailure)?.description.contains("--state-dir") == true)
        let latents = studio.path("latents.safetensors")
        let kept = try await studio.run(generator, to: nowhere, saveLatents: latents)
        #expect((kept.failure as? PictureRunFailure)?.latents == .file(latents))
        #expect(FileManager.default.fileExists(atPath: latents))
    }

    @Test("latents that cannot be written do not cost the picture")
    func latentsFail() async throws {
        let picture = try await quietPicture()
        let report = try await studio.run(
            generator, to: output, state: state, saveLatents: studio.path("gone/l.safetensors"))
        #expect((report.failure as? PictureRunFailure)?.latents == .folder(state))
        #expect(bytes(of: output) == picture)
    }

    @Test("a full disk at the start is one sentence, before anything is computed")
    func fullAtStart() async throws {
        for kind in [StateWrite.Kind.manifest, .epoch] {
            await #expect(throws: CheckpointError.self) {
                try await self.studio.run(
                    self.generator, to: self.output, state: self.state,
                    beforeWrite: { if $0.kind == kind { throw diskFull } })
            }
        }
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    /// What another process does that takes the folder when its lock was lost with a machine.
    private func takeOver() throws {
        try FileManager.default.removeItem(atPath: state + "/lock")
        let other = try CheckpointFolder(path: state, job: studio.job(generator), resume: true)
        _ = try other.beginLife()
    }

    @Test("matrix row 34: a process that another has replaced writes nothing more and ends")
    func superseded() async throws {
        let log = EventLog<StateEvent>()
        let taken = Mutex<[String: Data]?>(nil)
        let executor = ToyExecutor(onAnswer: { [self] item in
            guard case .denoise(let task) = item, task.step == 1,
                taken.withLock({ $0 == nil })
            else { return }
            try await log.wait {
                if case .saved(step: 1, _, _, _) = $0 { true } else { false }
            }
            try takeOver()
            let files = snapshot(of: state)
            taken.withLock { $0 = files }
        })
        let report = try await studio.run(
            generator, to: output, state: state, with: executor, stateLog: log)
        // When the last checkpoint is the one that notices, the picture is made before that.
        #expect(
            report.failure == nil
                || report.failure as? CheckpointError
                    == .superseded(path: state, epoch: 1, by: 2)
        )
        let left = snapshot(of: state)
        let before = try #require(taken.withLock { $0 })
        #expect(left.filter { $0.key != "tiles.journal" } == before)
        #expect(left["manifest.json"] != nil)
    }

    @Test("matrix row 34: a checkpoint on its way while another takes over drops none of its own")
    func supersededWhileWriting() async throws {
        let newer = Data("of the newer process".utf8)
        let taken = EventLog<Int>()
        let report = try await studio.run(
            generator, to: output, state: state,
            with: ToyExecutor(onAnswer: { item in
                // The first checkpoint is surely written, not overtaken by the next.
                if case .denoise(let task) = item, task.step == 1 {
                    try await taken.wait { _ in true }
                }
            }),
            beforeWrite: { [self] write in
                guard write.kind == .checkpoint, taken.all.isEmpty else { return }
                try takeOver()
                try newer.write(to: URL(fileURLWithPath: state + "/step-2.safetensors"))
                taken.add(write.step)
            })
        #expect(bytes(of: state + "/step-2.safetensors") == newer)
        #expect(!report.stateEvents.contains { if case .saved = $0 { true } else { false } })
    }
}

@Suite("Whether the disks have room is asked before a run", .watched)
struct HeadRoomTests {
    private let demands = [
        DiskDemand(folder: "/out", purpose: "the picture", byteCount: 3 << 20),
        DiskDemand(folder: "/state", purpose: "checkpoints", byteCount: 2 << 20),
    ]

    @Test("what lies on one file system is added up")
    func together() {
        let shortages = HeadRoom.shortages(demands) { _ in
            DiskSpace(fileSystem: 1, free: 4 << 20)
        }
        #expect(shortages.count == 1)
        #expect(shortages.first?.needed == 5 << 20)
        #expect(
            shortages.first?.description.contains("4.0 MiB left") == true,
            "\(shortages)")
    }

    @Test("room enough, and file systems that do not say, are no shortage")
    func enough() {
        #expect(
            HeadRoom.shortages(demands) { DiskSpace(fileSystem: UInt64($0.count), free: 3 << 20) }
                .isEmpty)
        #expect(HeadRoom.shortages(demands) { _ in nil }.isEmpty)
        let one = HeadRoom.shortages(demands) {
            DiskSpace(fileSystem: UInt64($0.count), free: $0 == "/out" ? 1 : 5 << 20)
        }
        #expect(one.map(\.folder) == ["/out"])
    }

    @Test("a run's demands grow with its picture and its state")
    func demandsOfARun() throws {
        let studio = try ToyStudio()
        let picture = try studio.generator().picture
        let bare = HeadRoom.demands(
            of: picture, output: .file("a.png"), savedLatents: nil, state: nil)
        #expect(bare.map(\.folder) == ["."])
        #expect(bare[0].byteCount == 256 * 256 * 3 / 4)
        let full = HeadRoom.demands(
            of: picture, output: .file("/x/a.png"), savedLatents: .file("/y/l"), state: "/z")
        #expect(full.map(\.folder) == ["/x", "/y", "/z", "/z"])
    }
}
