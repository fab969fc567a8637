import ComputeBackends
import Denoising
import Foundation
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// A tiny synthesized model, opened and loaded once.
struct TinyModel: Sendable {
    let folder: ModelFolder
    let loaded: LoadedModel

    static let xl = Result { try TinyModel(.tiny) }
    static let sd15 = Result { try TinyModel(.tinySD15) }

    static func of(_ preset: ModelPreset) throws -> TinyModel {
        try (preset == .tiny ? xl : sd15).get()
    }

    private init(_ preset: ModelPreset) throws {
        // The files may go once they are mapped.
        let scratch = try TemporaryFolder()
        try ModelSynthesizer(preset: preset).write(to: scratch.path)
        folder = try ModelFolder(path: scratch.path)
        loaded = try LoadedModel(folder: folder, backend: testBackend)
    }

    /// The model on other threads.
    func on(_ backend: any ComputeBackend, memoryLimit: Double? = nil) throws -> LoadedModel {
        LoadedModel(
            unet: try UNet(
                configuration: folder.unet, weights: folder.unetWeights, backend: backend,
                preparation: .ahead),
            decoder: try VAEDecoder(
                configuration: folder.vae, weights: folder.vaeWeights, backend: backend,
                preparation: .ahead),
            encoder: EncoderLoader(
                configuration: folder.vae, weights: folder.vaeWeights, backend: backend),
            backend: backend, memoryLimit: memoryLimit)
    }

    /// Some text that this model can look at; other seeds, other texts.
    func conditioning(seed: Double = 0) -> Conditioning {
        func embedding(_ step: Double) -> PromptEmbedding {
            let width = folder.unet.crossAttentionWidth
            let pooled = folder.unet.addedConditioning.map { wave(step, 1, $0.pooledWidth) }
            return PromptEmbedding(hiddenStates: wave(step, 0.8, 77, width), pooled: pooled)
        }
        return Conditioning(prompt: embedding(0.7 + seed), negative: embedding(1.3 + seed))
    }

    /// A task of views of the given heights and widths, each with other contents.
    func task(
        _ sizes: [(Int, Int)],
        guidanceScale: Double = 4,
        guidanceRescale: Double = 0
    ) -> DenoiseTask {
        DenoiseTask(
            index: 5, step: 3, timestep: 617, guidanceScale: guidanceScale,
            guidanceRescale: guidanceRescale,
            views: sizes.enumerated().map { index, size in
                view(height: size.0, width: size.1, number: index)
            })
    }

    func view(height: Int, width: Int, number: Int) -> ViewInput {
        ViewInput(
            sample: Latent(
                channels: 4, height: height, width: width,
                values: wave(1.618 + 0.01 * Double(number), 1.5, 4, height, width).elements),
            microConditioning: MicroConditioning(
                originalHeight: 256, originalWidth: 512, cropTop: 8 * number, cropLeft: 16 * number,
                targetHeight: 256, targetWidth: 512))
    }
}

/// amplitude·sin(step·i), i the element's number, as make_network_fixtures.py computes it.
func wave(_ step: Double, _ amplitude: Double, _ extents: Int...) -> Tensor {
    let shape = Shape(extents)
    return Tensor(
        shape: shape,
        elements: (0..<shape.count).map { Float(amplitude * sin(step * Double($0))) })
}

/// A copy of a component's weights, each tensor as `change` wants it: another name or shape,
/// or nil to leave it out.
func rewritten(
    _ store: WeightStore,
    in folder: TemporaryFolder,
    _ change: (String, Shape) -> (String, Shape)?
) throws -> WeightStore {
    var declarations: [SafeTensorsWriter.Declaration] = []
    var values: [[Float]] = []
    for name in store.names {
        let shape = try #require(store.shape(of: name))
        guard let (newName, newShape) = change(name, shape) else { continue }
        declarations.append(.init(name: newName, type: .float32, shape: newShape))
        var elements = try store.tensor(name, shape: shape).elements
        if newShape.count != shape.count {
            elements = Array(repeating: 0, count: newShape.count)
        }
        values.append(elements)
    }
    let path = "\(folder.path)/copy.safetensors"
    var writer = try SafeTensorsWriter(path: path, tensors: declarations)
    for elements in values { try writer.append(elements) }
    try writer.finish()
    return try WeightStore(folder: folder.path, files: [path])
}

/// What a host says is unsuitable; records an issue when it does not.
func expectUnsuitable(
    _ parts: String...,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("nothing was thrown", sourceLocation: sourceLocation)
    } catch ComputeError.unsuitable(let sentence) {
        for part in parts {
            #expect(sentence.contains(part), "\(sentence)", sourceLocation: sourceLocation)
        }
    } catch {
        Issue.record("\(error) was thrown", sourceLocation: sourceLocation)
    }
}

extension ModelHost {
    /// The views' predictions.
    func denoise(_ task: DenoiseTask, _ conditioning: Conditioning) async throws -> [Latent] {
        guard
            case .denoise(let latents) = try await compute(
                .denoise(task), conditioning: conditioning.fingerprint)
        else {
            Issue.record("another kind of answer")
            return []
        }
        return latents
    }
}

/// The picture of make_network_fixtures.py, from −1 … 1 to 0 … 1.
func picture(height: Int, width: Int) -> RGBImage {
    RGBImage(
        height: height, width: width,
        values: wave(1.618, 1, 3, height, width).elements.map { ($0 + 1) / 2 })
}
