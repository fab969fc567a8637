import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import ImageOutput
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("Finished latents outlive a picture that does not come of them", .watched)
final class LostPictureTests {
    private let studio: ToyStudio
    private let generator: ImageGenerator
    private let output: String
    private let state: String
    private let rescued: String

    /// Two rows of three tiles; the autoencoder gives no finite picture of the last.
    init() throws {
        studio = try ToyStudio()
        generator = try studio.generator(width: 256, height: 200)
        output = studio.path("a.png")
        state = studio.path("state")
        rescued = studio.path("a.latents.safetensors")
    }

    private func broken(at tile: Int = 5) -> ToyExecutor {
        ToyExecutor(onAnswer: { item in
            if case .decode(let task) = item, task.index == tile {
                throw ComputeError.notFinite(index: tile, "found by a toy")
            }
        })
    }

    /// What `--save-latents` writes of a quiet run.
    private func latents() async throws -> Latent {
        let path = studio.path("quiet.safetensors")
        let report = try await studio.run(
            generator, to: studio.path("quiet.png"), saveLatents: path)
        #expect(report.failure == nil)
        return try LatentFile.read(path)
    }

    private func failure(_ report: ToyStudio.Report) throws -> PictureRunFailure {
        try #require(report.failure as? PictureRunFailure)
    }

    @Test("a tile that is not finite is named with its place in the picture, and is no picture")
    func place() async throws {
        let report = try await studio.run(generator, to: output, with: broken())
        let sentence = try failure(report).description
        let place = "row 2, column 3 (pixels 128…255 from the left, 72…199 from the top)"
        for part in [place, "found by a toy", "force_upcast", "tessera doctor"] {
            #expect(sentence.contains(part), "\(sentence)")
        }
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test("without a state folder the latents are put beside the picture's place")
    func rescue() async throws {
        let report = try await studio.run(generator, to: output, with: broken())
        #expect(try failure(report).latents == .file(rescued))
        #expect(try await LatentFile.read(rescued) == latents())
        #expect(try failure(report).description.contains(rescued))
    }

    @Test("a file that is there is not replaced by a rescue: the next number is taken")
    func noReplacement() async throws {
        try Data("mine".utf8).write(to: URL(fileURLWithPath: rescued))
        let report = try await studio.run(generator, to: output, with: broken())
        #expect(try failure(report).latents == .file(studio.path("a.latents-2.safetensors")))
        #expect(bytes(of: rescued) == Data("mine".utf8))
    }

    @Test("latents that were asked for are where they were asked for, and nowhere else")
    func asked() async throws {
        let path = studio.path("l.safetensors")
        let report = try await studio.run(generator, to: output, saveLatents: path, with: broken())
        #expect(try failure(report).latents == .file(path))
        #expect(!FileManager.default.fileExists(atPath: rescued))
    }

    @Test("latents that could not be put where they were asked for are put beside the picture")
    func askedInVain() async throws {
        let report = try await studio.run(
            generator, to: output, saveLatents: studio.path("gone/l.safetensors"))
        #expect(try failure(report).latents == .file(rescued))
        #expect(try await LatentFile.read(rescued) == latents())
        #expect(FileManager.default.fileExists(atPath: output))
    }

    @Test(
        "a folder that is gone by the end costs no latents: the first refuge that takes them does")
    func folderGone() async throws {
        let report = try await studio.run(
            generator, to: studio.path("gone/a.png"),
            refuges: [studio.path("gone, too"), studio.folder])
        #expect(try failure(report).latents == .file(rescued))
        #expect(try await LatentFile.read(rescued) == latents())
        let sentence = try failure(report).description
        #expect(sentence.contains("the folder \(studio.path("gone"))"), "\(sentence)")
        #expect(sentence.contains(rescued), "\(sentence)")
    }

    @Test("when neither the picture nor the latents can be written, both are said")
    func bothFail() async throws {
        let path = studio.path("nowhere/l.safetensors")
        let report = try await studio.run(
            generator, to: studio.path("gone/a.png"), saveLatents: path)
        #expect(try failure(report).latents == .lost)
        let sentence = try failure(report).description
        for part in [studio.path("gone/a.png"), path, "could not be saved either"] {
            #expect(sentence.contains(part), "\(sentence)")
        }
    }

    @Test("a phase that cannot be enlarged leaves its latents, in a file or the state folder")
    func enlarging() async throws {
        let grown = try studio.generator(method: "upscale")
        #expect(grown.picture.plan.phases.count == 2)
        let executor = ToyExecutor(onAnswer: { item in
            if case .decode(let task) = item, task.format == .floats {
                throw ComputeError.notFinite(index: task.index, "found by a toy")
            }
        })
        let report = try await studio.run(grown, to: output, with: executor)
        #expect(try failure(report).latents == .file(rescued))
        let sentence = try failure(report).description
        for part in ["phase \"base\"", rescued, "row 1, column 1"] {
            #expect(sentence.contains(part), "\(sentence)")
        }
        let base = grown.picture.plan.phases[0].latent
        let latent = try LatentFile.read(rescued)
        #expect(latent.height == base.height && latent.width == base.width)
        let kept = try await studio.run(grown, to: output, state: state, with: executor)
        #expect(try failure(kept).latents == .folder(state))
        let steps = ToyExecutor()
        let resumed = try await studio.run(
            grown, to: output, state: state, resume: true, with: steps)
        #expect(resumed.failure == nil)
        #expect(!steps.steps.contains(0), "the base phase is not computed again")
    }

    @Test("workers that are gone while tiles are decoded do not take the latents with them")
    func workersGone() async throws {
        struct Gone: Error, Equatable {}
        let executor = ToyExecutor(onAnswer: { item in
            if case .decode = item { throw Gone() }
        })
        let report = try await studio.run(generator, to: output, with: executor)
        #expect(try failure(report).cause is Gone)
        #expect(try failure(report).latents == .file(rescued))
    }

    @Test("a state folder whose disk took no checkpoint keeps no latents: they are rescued")
    func workersGoneAndDiskFull() async throws {
        struct Gone: Error, Equatable {}
        let executor = ToyExecutor(onAnswer: { item in
            if case .decode = item { throw Gone() }
        })
        let report = try await studio.run(
            generator, to: output, state: state, with: executor,
            beforeWrite: { write in
                if write.kind == .checkpoint { throw FileFailure(path: "disk", code: ENOSPC) }
            })
        let failure = try failure(report)
        #expect(failure.cause is Gone)
        #expect(failure.latents == .file(rescued))
        #expect(failure.stateLoss == .notTaken(path: state))
        for part in [rescued, state] {
            #expect(failure.description.contains(part), "\(failure)")
        }
        #expect(try await LatentFile.read(rescued) == latents())
        // What keeps them needs no rescue, and says what it always said.
        let other = studio.path("other state")
        let kept = try await studio.run(
            generator, to: studio.path("b.png"), state: other, with: executor)
        #expect(kept.failure is Gone)
        #expect(names(in: other).contains("step-3.safetensors"))
        #expect(!FileManager.default.fileExists(atPath: studio.path("b.latents.safetensors")))
    }

    @Test(
        "a state folder that is moved away in mid-run keeps no latents, and its place gets no file",
        arguments: [false, true])
    func stateFolderMoved(isReplaced: Bool) async throws {
        let log = EventLog<StateEvent>()
        let isMoved = Watched(false)
        let (state, away) = (state, studio.path("away"))
        let executor = ToyExecutor(onAnswer: { item in
            guard case .denoise(let task) = item, task.step == 1, !isMoved.value else { return }
            // Nothing is on its way to the disk.
            try await log.wait { if case .saved(1, _, _, _) = $0 { true } else { false } }
            try FileManager.default.moveItem(atPath: state, toPath: away)
            if isReplaced {
                try FileManager.default.createDirectory(
                    atPath: state, withIntermediateDirectories: false)
            }
            isMoved.change { $0 = true }
        })
        let report = try await studio.run(
            generator, to: studio.path("gone/a.png"), state: state, refuges: [studio.folder],
            with: executor, stateLog: log)
        let failure = try failure(report)
        let loss: StateLoss = isReplaced ? .replaced(path: state) : .gone(path: state)
        #expect(failure.latents == .file(rescued))
        #expect(failure.stateLoss == loss)
        #expect(failure.description.contains("where"), "\(failure)")
        #expect(!failure.description.contains("--resume"), "\(failure)")
        #expect(try await LatentFile.read(rescued) == latents())
        #expect(report.stateEvents.contains(.lost(loss)))
        #expect(names(in: state).isEmpty)
        #expect(FileManager.default.fileExists(atPath: state) == isReplaced)
        #expect(names(in: away).contains("manifest.json"))
    }

    @Test("a finished picture needs no state folder: one that is moved away costs nothing")
    func stateFolderMovedQuietly() async throws {
        let (state, away) = (state, studio.path("away"))
        let report = try await studio.run(
            generator, to: output, state: state,
            with: ToyExecutor(onAnswer: { item in
                guard case .decode(let task) = item, task.index == 2 else { return }
                try FileManager.default.moveItem(atPath: state, toPath: away)
            }))
        #expect(report.failure == nil)
        #expect(FileManager.default.fileExists(atPath: output))
        #expect(!FileManager.default.fileExists(atPath: state))
    }

    @Test(
        "a manifest that is removed in mid-run is there again when the run says what it keeps",
        arguments: [false, true])
    func manifestRemoved(isDecoding: Bool) async throws {
        let manifest = state + "/manifest.json"
        let executor = ToyExecutor(onAnswer: { item in
            switch item {
            case .denoise(let task) where !isDecoding && task.step == 1:
                try? FileManager.default.removeItem(atPath: manifest)
            case .decode(let task) where isDecoding && task.index == 2:
                try FileManager.default.removeItem(atPath: manifest)
            case .decode(let task) where task.index == 5:
                throw ComputeError.notFinite(index: 5, "found by a toy")
            default: break
            }
        })
        let report = try await studio.run(generator, to: output, state: state, with: executor)
        #expect(try failure(report).latents == .folder(state))
        let steps = ToyExecutor()
        let resumed = try await studio.run(
            generator, to: output, state: state, resume: true, with: steps)
        #expect(resumed.failure == nil)
        #expect(steps.steps.isEmpty)
    }

    @Test("a run that is stopped while tiles are decoded leaves nothing beside the picture")
    func stopped() async throws {
        let executor = ToyExecutor(onAnswer: { item in
            if case .decode = item { throw CancellationError() }
        })
        let report = try await studio.run(generator, to: output, with: executor)
        #expect(report.failure is CancellationError)
        #expect(names(in: studio.folder) == ["model"])
    }

    @Test("a state folder keeps the latents, and good tiles only; a resume decodes the others")
    func stateFolder() async throws {
        let quiet = studio.path("quiet.png")
        _ = try await studio.run(generator, to: quiet)
        let report = try await studio.run(generator, to: output, state: state, with: broken(at: 4))
        #expect(try failure(report).latents == .folder(state))
        #expect(!FileManager.default.fileExists(atPath: rescued))
        let executor = ToyExecutor()
        let resumed = try await studio.run(
            generator, to: output, state: state, resume: true, with: executor)
        #expect(resumed.failure == nil)
        #expect(executor.steps.isEmpty)
        #expect(executor.decoded == [4, 5])
        #expect(bytes(of: output) == bytes(of: quiet))
    }

    @Test("another autoencoder decodes what an earlier one could not: all tiles, no step")
    func otherAutoencoder() async throws {
        let denoiser = Fingerprint(value: 7)
        _ = try await studio.run(
            generator, to: output, state: state, latentWeights: denoiser, with: broken())
        let executor = ToyExecutor()
        let other = studio.job(generator, weights: 3)
        let resumed = try await studio.run(
            generator, to: output, state: state, resume: true, job: other,
            latentWeights: denoiser, with: executor)
        #expect(resumed.failure == nil)
        #expect(resumed.stateEvents.contains(.otherAutoencoder(isMixed: false)))
        #expect(executor.steps.isEmpty)
        #expect(executor.decoded == Array(0..<6))
        let texts = try PNGPicture(path: output).texts
        #expect(texts.contains { $0.text.contains(other.weights) })
    }

    @Test("a phase that one autoencoder cannot enlarge is enlarged by another, to its own bytes")
    func otherEnlarger() async throws {
        let denoiser = Fingerprint(value: 7)
        let grown = try studio.generator(method: "upscale")
        let quiet = studio.path("quiet.png")
        _ = try await studio.run(grown, to: quiet)
        for isLast in [false, true] {
            let folder = studio.path("state-\(isLast)")
            let broken = ToyExecutor(onAnswer: { item in
                if case .decode(let task) = item, (task.format == .bytes) == isLast {
                    throw ComputeError.notFinite(index: task.index, "found by a toy")
                }
            })
            _ = try await studio.run(
                grown, to: output, state: folder, latentWeights: denoiser,
                autoencoderPhase: 1, with: broken)
            let resumed = try await studio.run(
                grown, to: output, state: folder, resume: true,
                job: studio.job(grown, weights: 3), latentWeights: denoiser,
                autoencoderPhase: 1)
            #expect(resumed.failure == nil)
            #expect(resumed.stateEvents.contains(.otherAutoencoder(isMixed: isLast)))
            #expect(try PNGPicture(path: output).pixels == PNGPicture(path: quiet).pixels)
        }
    }

    @Test("other weights that decide the latents are another picture still")
    func otherWeights() async throws {
        let denoiser = Fingerprint(value: 7)
        _ = try await studio.run(
            generator, to: output, state: state, latentWeights: denoiser, with: broken())
        let before = snapshot(of: state)
        for weights in [Fingerprint(value: 8), nil] {
            await #expect(throws: CheckpointError.self) {
                try await self.studio.run(
                    self.generator, to: self.output, state: self.state, resume: true,
                    job: self.studio.job(self.generator, weights: 3), latentWeights: weights)
            }
        }
        #expect(snapshot(of: state) == before)
    }
}
