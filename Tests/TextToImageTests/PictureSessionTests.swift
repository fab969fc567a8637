import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import Foundation
import Tensors
import TestSupport
import Testing
import TextToImage

/// Lends one executor to whoever asks, and notes what it was asked for.
private struct ToyComputing: PictureComputing {
    let executor: ToyExecutor
    var failure: (any Error & Sendable)?

    func compute(
        _ picture: PreparedPicture,
        _ body: @escaping @Sendable (any TaskExecutor) async throws -> Void
    ) async throws {
        if let failure { throw failure }
        try await body(executor)
    }
}

private struct NobodyThere: Error {}

@Suite("From a request to a picture", .watched)
struct PictureSessionTests {
    private let studio: ToyStudio
    private let backend: CPUBackend

    init() throws {
        studio = try ToyStudio()
        backend = try CPUBackend(instructionSet: .chosen(), threads: 1)
    }

    private func request(_ change: (inout GenerationRequest) -> Void = { _ in })
        -> GenerationRequest
    {
        var request = GenerationRequest(
            prompt: "hills", width: 240, height: 150, steps: 3, guidanceScale: 1, seed: 5,
            method: "cutdiffusion")
        change(&request)
        return request
    }

    private func session(
        _ request: GenerationRequest, inputs: PictureInputs? = nil
    ) throws -> PictureSession {
        let setup = try PictureSetup(
            request: request, inputs: inputs ?? PictureInputs(), model: studio.model)
        return PictureSession(setup, weights: Fingerprint(value: 2), backend: backend)
    }

    /// Runs to the end or to its failure; gives what it said.
    private func make(
        _ session: PictureSession, to output: String, on executor: ToyExecutor = ToyExecutor(),
        state: StatePlace? = nil
    ) async throws -> (events: [PictureRunEvent], failure: (any Error)?) {
        let log = EventLog<PictureRunEvent>()
        let opened = try state.map { try session.open($0, onEvent: { _ in }) }
        do {
            try await session.make(
                on: ToyComputing(executor: executor),
                to: PictureResults(output: .file(studio.path(output))), keeping: opened?.folder,
                onEvent: { log.add($0) })
        } catch {
            return (log.all, error)
        }
        return (log.all, nil)
    }

    @Test("every step and tile is said, and the picture holds what it was made of")
    func events() async throws {
        let session = try session(request())
        let (events, failure) = try await make(session, to: "a.png")
        #expect(failure == nil)
        let steps = events.compactMap { event in
            if case .progress(.step(let done, 3)) = event { done } else { nil }
        }
        #expect(steps == [1, 2, 3])
        guard case .progress(.tile(let done, let count))? = events.last else {
            Issue.record("it does not end with a tile")
            return
        }
        #expect(done == count)
        #expect(session.provenance.weights == "0000000000000002")
        #expect(session.provenance.computeClass == "\(backend.computeClass)")
        let again = try await make(session, to: "b.png")
        #expect(again.events == events)
        #expect(bytes(of: studio.path("a.png")) == bytes(of: studio.path("b.png")))
    }

    @Test("what of the prompts has no effect is said before anybody computes")
    func notes() async throws {
        let words = Array(repeating: "mountain", count: 90).joined(separator: " ")
        let session = try session(
            request {
                $0.prompt = words
                $0.negativePrompt = "rain"
            })
        let (events, _) = try await make(session, to: "a.png")
        let notes = events.prefix { if case .note = $0 { true } else { false } }
        #expect(notes.count == 2)
        #expect("\(notes)".contains("negative prompt"))
    }

    @Test("a session that ends goes on in another one, from its state folder, to the same bytes")
    func resumed() async throws {
        let session = try session(request())
        _ = try await make(session, to: "quiet.png")
        let state = studio.path("state")
        let log = EventLog<Int>()
        let stopped = ToyExecutor(onAnswer: { item in
            guard case .denoise(let task) = item, task.step == 2 else { return }
            log.add(task.step)
            throw CancellationError()
        })
        let first = try await make(
            session, to: "a.png", on: stopped, state: StatePlace(path: state, resumes: false))
        #expect(first.failure is CancellationError)
        #expect(throws: CheckpointError.self) {
            try session.open(StatePlace(path: state, resumes: false), onEvent: { _ in })
        }
        let second = try await make(
            session, to: "a.png", state: StatePlace(path: state, resumes: true))
        #expect(second.failure == nil)
        let isResumed = second.events.contains {
            if case .resumed(let step, _) = $0 { step > 0 } else { false }
        }
        #expect(isResumed)
        #expect(bytes(of: studio.path("a.png")) == bytes(of: studio.path("quiet.png")))
    }

    @Test("nobody who computes is an error, and nothing is written")
    func nobody() async throws {
        let session = try session(request())
        let output = studio.path("a.png")
        await #expect(throws: NobodyThere.self) {
            try await session.make(
                on: ToyComputing(executor: ToyExecutor(), failure: NobodyThere()),
                to: PictureResults(output: .file(output)), onEvent: { _ in })
        }
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test("this process computes what it answers to its own trial")
    func local() async throws {
        let small = request {
            ($0.width, $0.height, $0.steps) = (128, 128, 1)
            $0.method = "direct"
        }
        let session = try session(small)
        for name in ["a.png", "b.png"] {
            try await session.make(
                on: LocalComputing(budget: MemoryBudget(bytes: 0)),
                to: PictureResults(output: .file(studio.path(name))), onEvent: { _ in })
        }
        #expect(!bytes(of: studio.path("a.png")).isEmpty)
        #expect(bytes(of: studio.path("a.png")) == bytes(of: studio.path("b.png")))
    }

    @Test("a request takes its size and what files are known by from what is there")
    func inputs() async throws {
        let photo = try await studio.photo(width: 60, height: 40)
        let inputs = try PictureInputs(initialLatents: nil, image: photo)
        let size = try #require(PictureSize("8x"))
        let resolved = try request().resolved(size: size, with: inputs, nativeSide: 64)
        #expect(resolved.width == 480 && resolved.height == 320)
        #expect(resolved.imageExtent == Extent(height: 40, width: 60))
        #expect(inputs.hasImage(of: resolved) && inputs.hasNoise(of: resolved))
        let none = PictureInputs()
        #expect(!none.hasImage(of: resolved) && none.hasNoise(of: resolved))
        let plain = try request().resolved(size: size, with: none, nativeSide: 64)
        #expect(plain.width == 512 && plain.image == nil)
    }
}
