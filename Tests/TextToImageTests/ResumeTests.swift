import Denoising
import DurableFiles
import Foundation
import Synchronization
import Tensors
import TestSupport
import Testing
import TextToImage

/// What the disk holds at one moment of a run, and what a process that starts there has to do.
private struct CrashImage: Sendable {
    let moment: String
    let files: [String: Data]

    var hasManifest: Bool { files["manifest.json"] != nil }

    /// Steps that are done in the newest whole checkpoint.
    var steps: Int {
        files.keys.compactMap { name in
            name.hasPrefix("step-") && name.hasSuffix(".safetensors")
                ? Int(name.dropFirst(5).dropLast(12)) : nil
        }.max() ?? 0
    }
}

/// Collects an image before every write and before every answer of a run.
private final class Camera: Sendable {
    let images = EventLog<CrashImage>()
    private let state: String

    init(state: String) { self.state = state }

    func take(_ moment: String) {
        images.add(CrashImage(moment: moment, files: snapshot(of: state)))
    }
}

extension WorkItem {
    /// The step of a denoising task; for a tile, the number of them.
    fileprivate var step: Int {
        if case .denoise(let task) = self { task.step } else { 3 }
    }
}

@Suite(
    "A run that is killed at any moment goes on to the same bytes", .watched,
    .timeLimit(.minutes(10)))
final class ResumeTests {
    private let studio: ToyStudio
    private let generator: ImageGenerator
    private let tiles: Int

    init() throws {
        studio = try ToyStudio()
        generator = try studio.generator(width: 240, height: 150)
        tiles = generator.picture.tiles.rows * generator.picture.tiles.columns
    }

    private func quietPicture() async throws -> Data {
        let report = try await studio.run(generator, to: studio.path("quiet.png"))
        #expect(report.failure == nil)
        return bytes(of: studio.path("quiet.png"))
    }

    /// Images of a run at every moment at which it could be killed.
    private func crashImages() async throws -> [CrashImage] {
        let state = studio.path("filmed")
        let camera = Camera(state: state)
        let log = EventLog<StateEvent>()
        let executor = ToyExecutor(onAnswer: { item in
            // Nothing is being written while the picture is taken.
            let done = item.step
            if done > 0 {
                try await log.wait { if case .saved(done, _, _, _) = $0 { true } else { false } }
            }
            camera.take("before the answer \(item.index)")
        })
        let report = try await studio.run(
            generator, to: studio.path("filmed.png"), state: state, with: executor,
            beforeWrite: { camera.take("before \($0)") }, stateLog: log)
        #expect(report.failure == nil)
        camera.take("after the end")
        return camera.images.all
    }

    /// Where the journal's header and each of its records end: its lengths before each tile.
    private func boundaries(_ images: [CrashImage]) -> [Int] {
        let lengths = images.compactMap { $0.files["tiles.journal"]?.count }
        return Set([32] + lengths.filter { $0 > 32 }).sorted()
    }

    /// Goes on from an image; gives the executor, which knows what it was asked.
    private func resume(
        from image: CrashImage, expecting picture: Data
    ) async throws -> (ToyExecutor, ToyStudio.Report) {
        let (state, output) = (studio.path("resumed"), studio.path("resumed.png"))
        try restore(image.files, to: state)
        try? FileManager.default.removeItem(atPath: output)
        let executor = ToyExecutor()
        let report = try await studio.run(
            generator, to: output, state: state, resume: true, with: executor)
        #expect(report.failure == nil, "\(image.moment): \(String(describing: report.failure))")
        #expect(bytes(of: output) == picture, "\(image.moment)")
        #expect(names(in: state) == ["life.json", "lock"], "\(image.moment)")
        return (executor, report)
    }

    @Test("matrix row 29: killed before any write and before any answer")
    func everyMoment() async throws {
        let picture = try await quietPicture()
        let images = try await crashImages()
        // Manifest, epoch, three steps, every tile; and every answer.
        #expect(images.count > 2 * tiles + 5)
        for image in images {
            let (executor, _) = try await resume(from: image, expecting: picture)
            #expect(executor.steps == Array(image.steps..<3), "\(image.moment)")
        }
    }

    @Test(
        "an enlarged picture that ends before any of its answers goes on to the same bytes",
        arguments: [
            ("upscale", 300, 256), ("scalediff", 256, 256), ("demofusion", 256, 256),
            ("rectifiedhr", 256, 256), ("diffusehigh", 256, 256), ("pixelrush", 256, 256),
            ("frecas", 256, 256),
        ])
    func enlargedPicture(method: String, width: Int, height: Int) async throws {
        let generator = try studio.generator(width: width, height: height, method: method)
        try #require(generator.picture.plan.phases.count > 1)
        let answers = Watched(0)
        let counting = ToyExecutor(onAnswer: { _ in answers.change { $0 += 1 } })
        _ = try await studio.run(generator, to: studio.path("quiet.png"), with: counting)
        let quiet = bytes(of: studio.path("quiet.png"))
        try #require(answers.value > 20)
        for end in 0..<answers.value {
            let (state, output) = (studio.path("enlarged-\(end)"), studio.path("enlarged.png"))
            let given = Watched(0)
            let stopped = ToyExecutor(onAnswer: { _ in
                guard given.value < end else { throw CancellationError() }
                given.change { $0 += 1 }
            })
            let first = try await studio.run(
                generator, to: output, state: state, keepingEvery: .zero, with: stopped)
            #expect(first.failure is CancellationError)
            let executor = ToyExecutor()
            let report = try await studio.run(
                generator, to: output, state: state, resume: true, with: executor)
            #expect(report.failure == nil)
            #expect(bytes(of: output) == quiet, "ended before answer \(end)")
            #expect(names(in: state) == ["life.json", "lock"])
        }
    }

    @Test("ended in the middle of a step it asks only for the tasks that are missing")
    func middleOfAStep() async throws {
        let generator = try studio.generator(width: 512, height: 512)
        let plan = generator.picture.plan
        let counts = (0..<plan.stepCount).map { plan.step(at: $0).taskCount }
        try #require(counts.allSatisfy { $0 > 1 } && counts[1] > 2, "\(counts)")
        _ = try await studio.run(generator, to: studio.path("quiet.png"))
        let quiet = bytes(of: studio.path("quiet.png"))
        for (step, tasks) in [(0, 1), (1, 2), (2, counts[2] - 1)] {
            let (state, output) = (studio.path("\(step)-\(tasks)"), studio.path("a.png"))
            let log = EventLog<StateEvent>()
            let stopped = ToyExecutor(onAnswer: { item in
                guard case .denoise = item, item.index + item.step > 0 else { return }
                // None is overtaken by the next.
                try await log.wait {
                    guard case .saved(item.step, item.index, _, _) = $0 else { return false }
                    return true
                }
                if (item.step, item.index) == (step, tasks) { throw CancellationError() }
            })
            let first = try await studio.run(
                generator, to: output, state: state, keepingEvery: .zero, with: stopped,
                stateLog: log)
            #expect(first.failure is CancellationError)
            #expect(names(in: state).contains("step-\(step)-\(tasks).safetensors"))
            let executor = ToyExecutor()
            let report = try await studio.run(
                generator, to: output, state: state, resume: true, with: executor)
            #expect(report.failure == nil)
            #expect(report.events.contains(.resumed(afterStep: step, tasks: tasks)))
            let missing = counts[step...].reduce(0, +) - tasks
            #expect(executor.denoised.count == missing)
            #expect(executor.denoised.first?.index == tasks)
            #expect(bytes(of: output) == quiet)
            #expect(names(in: state) == ["life.json", "lock"])
        }
    }

    @Test("steps that are quicker than the interval are kept whole and not in between")
    func quickSteps() async throws {
        // Of several tasks a step: there is something in between.
        let report = try await studio.run(
            try studio.generator(width: 512, height: 512), to: studio.path("a.png"),
            state: studio.path("state"), keepingEvery: .seconds(3600))
        #expect(report.failure == nil)
        let inBetween = report.stateEvents.contains {
            if case .saved(_, let tasks, _, _) = $0 { tasks > 0 } else { false }
        }
        #expect(!inBetween)
    }

    @Test("matrix row 29: killed while a file is written, at whatever byte of it")
    func tornWrites() async throws {
        let picture = try await quietPicture()
        let images = try await crashImages()
        for name in ["step-1.safetensors", "step-3.safetensors", "life.json", "manifest.json"] {
            let whole = try #require(images.compactMap { $0.files[name] }.first)
            let before = try #require(images.last { $0.files[name] == nil && $0.steps < 3 })
            for length in [0, 1, 9, whole.count / 2, whole.count - 1, whole.count] {
                let torn = CrashImage(
                    moment: "\(length) bytes of \(name)",
                    files: before.files.merging(
                        [".\(name).77.\(length).partial": whole.prefix(length)]
                    ) { $1 })
                let (executor, _) = try await resume(from: torn, expecting: picture)
                #expect(executor.steps == Array(before.steps..<3))
            }
        }
    }

    @Test("what is decoded is not decoded again, a journal's torn end is cut off")
    func tornJournal() async throws {
        let picture = try await quietPicture()
        let images = try await crashImages()
        let journal = try #require(
            images.compactMap { $0.files["tiles.journal"] }.max { $0.count < $1.count })
        let base = try #require(images.last { $0.files["tiles.journal"] != nil })
        let boundaries = boundaries(images)
        #expect(boundaries.count >= tiles)
        for boundary in boundaries {
            for length in [boundary - 1, boundary, boundary + 1, boundary + 27, boundary + 500] {
                let whole = max(0, boundaries.count { $0 <= length } - 1)
                var files = base.files
                files["tiles.journal"] = journal.prefix(max(0, min(length, journal.count)))
                let image = CrashImage(moment: "\(length) bytes of the journal", files: files)
                let (executor, report) = try await resume(from: image, expecting: picture)
                #expect(executor.steps.isEmpty)
                if length <= journal.count {
                    #expect(executor.decoded.count == tiles - whole, "\(image.moment)")
                    #expect(Set(executor.decoded).count == tiles - whole)
                    #expect(report.events.contains(.tilesKept(whole, of: tiles)) == (whole > 0))
                }
            }
        }
    }

    @Test("a tile that the disk has damaged is decoded again, and only that one", arguments: 0..<4)
    func damagedTile(record: Int) async throws {
        let picture = try await quietPicture()
        let images = try await crashImages()
        let boundaries = boundaries(images)
        var image = try #require(images.last { $0.files["tiles.journal"] != nil })
        var files = image.files
        files["tiles.journal"]?[boundaries[record] + 28 + 100] ^= 0x40
        image = CrashImage(moment: "a flipped bit in record \(record)", files: files)
        let kept = boundaries.firstIndex(of: files["tiles.journal"]?.count ?? 0) ?? tiles
        let (executor, report) = try await resume(from: image, expecting: picture)
        #expect(executor.decoded.count == tiles - kept + 1)
        #expect(
            report.stateEvents.contains {
                if case .passedOver(_, let reason, _) = $0 {
                    reason.contains("damaged")
                } else {
                    false
                }
            })
        #expect(report.events.last == .progress(.tile(done: tiles, of: tiles)))
    }

    @Test("the journal of another latent is no help and does no harm")
    func foreignJournal() async throws {
        let picture = try await quietPicture()
        let images = try await crashImages()
        var image = try #require(images.last { $0.files["tiles.journal"] != nil })
        var files = image.files
        files["tiles.journal"]?[16] ^= 0x01
        image = CrashImage(moment: "a journal of another latent", files: files)
        let (executor, _) = try await resume(from: image, expecting: picture)
        #expect(executor.decoded.count == tiles)
    }

    @Test("a kill between the picture and the end of its state loses neither")
    func finishing() async throws {
        let images = try await crashImages()
        let last = try #require(images.last { $0.hasManifest })
        var files = last.files
        files["finished.json"] = files.removeValue(forKey: "manifest.json")
        let state = studio.path("finished")
        try restore(files, to: state)
        // Another picture may use the folder: nothing of the finished one is taken.
        let other = try studio.generator(seed: 6)
        let report = try await studio.run(other, to: studio.path("other.png"), state: state)
        #expect(report.failure == nil)
        #expect(names(in: state) == ["life.json", "lock"])
    }
}
