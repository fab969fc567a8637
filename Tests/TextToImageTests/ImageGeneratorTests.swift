import Denoising
import DurableFiles
import Foundation
import ImageOutput
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("A request's whole path, with a toy in the network's place", .watched)
final class ImageGeneratorTests {
    private let studio: ToyStudio

    init() throws { studio = try ToyStudio() }

    private func picture(
        _ generator: ImageGenerator, with executor: ToyExecutor
    ) async throws -> (PNGPicture, [GenerationProgress]) {
        var progress: [GenerationProgress] = []
        let noise = try generator.picture.initialNoise(from: nil)
        let latent = try await generator.denoise(
            from: generator.initialState(noise: noise), with: executor,
            onProgress: { progress.append($0) })
        let path = studio.path("\(UUID().uuidString).png")
        let request = generator.picture.request
        let stream = try PNGStream(
            to: .file(path), width: request.width, height: request.height, texts: [])
        try await generator.decode(
            latent, with: executor, into: stream, onProgress: { progress.append($0) })
        return (try PNGPicture(path: path), progress)
    }

    @Test(
        "any size comes out at that size, whatever order answers come in",
        arguments: [(256, 256), (300, 213), (128, 128), (131, 500)]
    )
    func sizes(width: Int, height: Int) async throws {
        let generator = try studio.generator(width: width, height: height)
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
        let generator = try studio.generator(width: 256, height: 256)
        let file = Latent(zeros: 4, height: 16, width: 16)
        let failure = #expect(throws: RequestError.self) {
            try generator.picture.initialNoise(from: file)
        }
        #expect(failure?.description.contains("(1, 4, 32, 32)") == true)
        #expect(failure?.description.contains("(1, 4, 16, 16)") == true)
    }

    @Test("a request survives its own JSON")
    func requestRoundTrip() throws {
        var request = try studio.generator(width: 256, height: 256).picture.request
        request.negativePrompt = ""
        request.windowCrops = false
        request.sizeConditioning = .picture
        request.compatibility = .cutDiffusion
        let bytes = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(GenerationRequest.self, from: bytes) == request)
    }
}
