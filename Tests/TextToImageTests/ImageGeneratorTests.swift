import Denoising
import DiffusionModels
import Foundation
import ImageOutput
import Tensors
import Testing
import TextToImage

/// Answers at once: no noise anywhere, and tiles whose pixels say where they are.
private struct ToyExecutor: TaskExecutor {
    /// Delivers the answers in the reverse order.
    var isReversed = false

    func execute(
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        for item in isReversed ? items.reversed() : items {
            try await deliver(item.index, Self.answer(item))
        }
    }

    private static func answer(_ item: WorkItem) -> WorkAnswer {
        switch item {
        case .denoise(let task):
            return .denoise(task.views.map { $0.sample.mapValues { $0 / 2 } })
        case .decode(let task):
            let tile = task.tile
            let (height, width) = (tile.height * 8, tile.width * 8)
            let bytes = (0..<height * width).flatMap { position in
                let value = tile.values[position / width / 8 * tile.width + position % width / 8]
                return (0..<3).map { _ in UInt8(max(0, min(255, 128 + 40 * value))) }
            }
            return .decode(RGBTile(height: height, width: width, bytes: bytes))
        }
    }
}

@Suite("A request's whole path, with a toy in the network's place")
final class ImageGeneratorTests {
    private let folder = NSTemporaryDirectory() + "tessera-generator-\(UUID().uuidString)"
    private let model: ModelFolder

    init() throws {
        try ModelSynthesizer(preset: .tiny).write(to: folder + "/model")
        model = try ModelFolder(path: folder + "/model")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func generator(width: Int, height: Int) throws -> ImageGenerator {
        let request = GenerationRequest(
            prompt: "hills", width: width, height: height, steps: 3, guidanceScale: 1, seed: 5,
            method: "cutdiffusion")
        let embedding = PromptEmbedding(
            hiddenStates: Tensor(zeros: Shape(77, 4)), pooled: Tensor(zeros: Shape(4)))
        return ImageGenerator(
            picture: try PicturePlan(request: request, model: model),
            conditioning: Conditioning(prompt: embedding, negative: embedding))
    }

    private func picture(
        _ generator: ImageGenerator, with executor: ToyExecutor
    ) async throws -> (PNGPicture, [GenerationProgress]) {
        var progress: [GenerationProgress] = []
        let noise = try generator.picture.initialNoise(from: nil)
        let latent = try await generator.denoise(
            from: generator.initialState(noise: noise), with: executor,
            onProgress: { progress.append($0) })
        let path = folder + "/\(UUID().uuidString).png"
        let request = generator.picture.request
        let stream = try PNGStream(
            path: path, width: request.width, height: request.height, texts: [])
        try await generator.decode(
            latent, with: executor, into: stream, onProgress: { progress.append($0) })
        return (try PNGPicture(path: path), progress)
    }

    @Test(
        "any size comes out at that size, whatever order answers come in",
        arguments: [(256, 256), (300, 213), (128, 128), (131, 500)]
    )
    func sizes(width: Int, height: Int) async throws {
        let generator = try generator(width: width, height: height)
        let (picture, progress) = try await picture(generator, with: ToyExecutor())
        #expect(picture.width == width && picture.height == height)
        let (other, _) = try await self.picture(
            generator, with: ToyExecutor(isReversed: true))
        #expect(picture == other)
        let views = generator.picture.plan.forwardCount
        let tiles = generator.picture.tiles.rows * generator.picture.tiles.columns
        #expect(progress.contains(.views(done: views, of: views)))
        #expect(progress.contains(.step(done: 3, of: 3)))
        #expect(progress.last == .tile(done: tiles, of: tiles))
    }

    @Test("initial latents of another shape are refused with both shapes")
    func foreignLatents() throws {
        let generator = try generator(width: 256, height: 256)
        let file = Latent(zeros: 4, height: 16, width: 16)
        let failure = #expect(throws: RequestError.self) {
            try generator.picture.initialNoise(from: file)
        }
        #expect(failure?.description.contains("(1, 4, 32, 32)") == true)
        #expect(failure?.description.contains("(1, 4, 16, 16)") == true)
    }

    @Test("a request survives its own JSON")
    func requestRoundTrip() throws {
        var request = try generator(width: 256, height: 256).picture.request
        request.negativePrompt = ""
        request.windowCrops = false
        request.sizeConditioning = .picture
        request.compatibility = .cutDiffusion
        let bytes = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(GenerationRequest.self, from: bytes) == request)
    }
}
