import Denoising
import DurableFiles
import Foundation
import ImageInput
import ImageOutput
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("A picture file to start from", .watched)
struct PictureFileTests {
    private let studio: ToyStudio

    init() throws { studio = try ToyStudio() }

    @Test("is known by its extents and pixels, not by how the file holds them")
    func digest() async throws {
        let path = try await studio.photo(width: 60, height: 40)
        let other = try await studio.photo(width: 60, height: 40, text: "another comment")
        let brighter = try await studio.photo(width: 60, height: 40, shift: 1)
        let file = try PictureFile(reading: path)
        #expect(file.extent == Extent(height: 40, width: 60))
        #expect(bytes(of: path) != bytes(of: other))
        #expect(try PictureFile(reading: other).digest == file.digest)
        #expect(try PictureFile(reading: brighter).digest != file.digest)
    }

    @Test("comes in bands, from its top to its end")
    func bands() async throws {
        // More rows than one band of the widest that is read at once.
        let file = try PictureFile(
            reading: try await studio.photo(width: 4000, height: 200))
        var bands = try file.open()
        var rows = 0
        while rows < 200 { rows += try bands.next().height }
        #expect(rows == 200)
    }

    @Test("that has become another one is not taken for the one it was")
    func changed() async throws {
        let path = try await studio.photo(width: 60, height: 40)
        let file = try PictureFile(reading: path)
        let other = try await studio.photo(width: 60, height: 40, shift: 1)
        try bytes(of: other).write(to: URL(fileURLWithPath: path))
        var bands = try file.open()
        #expect(throws: PictureFileError.changed(path: path)) { try bands.next() }
        let wider = try await studio.photo(width: 61, height: 40)
        try bytes(of: wider).write(to: URL(fileURLWithPath: path))
        #expect(throws: PictureFileError.changed(path: path)) { _ = try file.open() }
    }

    @Test("of a run that goes on need not be there any more")
    func remembered() async throws {
        let path = try await studio.photo(width: 60, height: 40)
        let file = try PictureFile(reading: path)
        var request = GenerationRequest(
            prompt: "", width: 120, height: 80, steps: 3, guidanceScale: 1, seed: 1,
            method: "upscale")
        request.start(from: file)
        try FileManager.default.removeItem(atPath: path)
        let kept = try PictureFile(reading: path, or: request)
        #expect(kept.digest == file.digest && kept.extent == file.extent)
        #expect(throws: ImageInputError.missing(path: path)) { _ = try kept.open() }
        #expect(throws: ImageInputError.missing(path: path)) {
            try PictureFile(reading: path, or: nil)
        }
    }

    @Test("is too small on any side below sixteen pixels")
    func tooSmall() async throws {
        let path = try await studio.photo(width: 300, height: 15)
        #expect(throws: PictureFileError.tooSmall(path: path, width: 300, height: 15)) {
            try PictureFile(reading: path)
        }
    }

    @Test("a run of it that ends before any of its answers goes on to the same bytes")
    func resumed() async throws {
        let file = try PictureFile(reading: try await studio.photo(width: 150, height: 128))
        let generator = try studio.generator(from: file, width: 300, height: 256)
        let answers = Watched(0)
        let counting = ToyExecutor(onAnswer: { _ in answers.change { $0 += 1 } })
        let report = try await studio.run(generator, to: studio.path("quiet.png"), with: counting)
        #expect(report.failure == nil)
        let quiet = bytes(of: studio.path("quiet.png"))
        try #require(answers.value > 15)
        for end in 0..<answers.value {
            let (state, output) = (studio.path("from-\(end)"), studio.path("a.png"))
            let given = Watched(0)
            let stopped = ToyExecutor(onAnswer: { _ in
                guard given.value < end else { throw CancellationError() }
                given.change { $0 += 1 }
            })
            _ = try await studio.run(
                generator, to: output, state: state, keepingEvery: .zero, with: stopped)
            let isEncoded = names(in: state).contains { $0.hasPrefix("step-") }
            // What is encoded is not asked for again, nor is the picture.
            let rest = isEncoded ? try studio.generator(of: generator.picture) : generator
            let resumed = try await studio.run(rest, to: output, state: state, resume: true)
            #expect(resumed.failure == nil, "ended before answer \(end)")
            #expect(bytes(of: output) == quiet, "ended before answer \(end)")
            #expect(names(in: state) == ["life.json", "lock"])
        }
    }

    @Test("that the autoencoder makes no finite numbers of is said with the place")
    func notFinite() async throws {
        let file = try PictureFile(reading: try await studio.photo(width: 64, height: 64))
        let broken = ToyExecutor(onAnswer: { item in
            guard case .encode = item else { return }
            throw ComputeError.notFinite(index: item.index, "it holds NaN")
        })
        let report = try await studio.run(
            try studio.generator(from: file, width: 128, height: 128), to: studio.path("a.png"),
            with: broken)
        let text = "\(try #require(report.failure))"
        for part in ["encoded", "row 1, column 1", "it holds NaN"] {
            #expect(text.contains(part), "\(text)")
        }
    }

    @Test("that is encoded and not refined yet is said when a run goes on with it")
    func keptEncoding() async throws {
        let file = try PictureFile(reading: try await studio.photo(width: 64, height: 64))
        let generator = try studio.generator(from: file, width: 128, height: 128)
        let log = EventLog<StateEvent>()
        let stopped = ToyExecutor(onAnswer: { item in
            guard case .denoise = item else { return }
            try await log.wait { if case .saved(0, 0, _, _) = $0 { true } else { false } }
            throw CancellationError()
        })
        let state = studio.path("state")
        _ = try await studio.run(
            generator, to: studio.path("a.png"), state: state, with: stopped, stateLog: log)
        #expect(names(in: state).contains("step-0.safetensors"))
        let report = try await studio.run(
            try studio.generator(of: generator.picture), to: studio.path("a.png"), state: state,
            resume: true)
        #expect(report.failure == nil)
        #expect(report.events.first == .pictureKept)
    }
}

@Suite("The size of a picture that starts from another", .watched)
struct ImageSizeTests {
    private let image = Extent(height: 400, width: 600)

    @Test("is so many times that one's sides, or pixels of its shape")
    func resolved() throws {
        func resolved(_ text: String) throws -> [Int] {
            let size = try #require(PictureSize(text)).resolved(nativeSide: 128, image: image)
            return [size.width, size.height]
        }
        #expect(try resolved("2x") == [1200, 800])
        #expect(try resolved("1.5x") == [900, 600])
        #expect(try resolved("3000x2000") == [3000, 2000])
        // Rounded to a pixel, or to eight.
        #expect(try resolved("1000x667") == [1000, 667])
        #expect(try resolved("1024x680") == [1024, 680])
    }

    @Test("is refused in another shape, with sizes that would do")
    func otherShape() throws {
        let size = try #require(PictureSize("2048x2048"))
        let error = #expect(throws: RequestError.self) {
            try size.resolved(nativeSide: 128, image: image)
        }
        let text = try #require(error).description
        for part in ["2048x2048", "600×400", "2048x1365", "3072x2048", "2x"] {
            #expect(text.contains(part), "\(text)")
        }
    }
}
