import ComputeBackends
import Foundation
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// Sizes that no downsampling divides, against diffusers; see make_network_fixtures.py.
@Suite("Network at odd sizes", .watched)
struct NetworkGoldenTests {
    private static let tolerance = 1e-4
    private static let presets: [ModelPreset] = [.tiny, .tinySD15]

    @Test(
        "predictions of two items equal diffusers'", arguments: presets,
        [[13, 11], [5, 9], [1, 1], [2, 7]])
    func unet(_ preset: ModelPreset, _ size: [Int]) throws {
        let model = try TinyModel.of(preset)
        let golden = try Golden("network-odd-sizes")
        let unet = model.loaded.unet
        let width = unet.configuration.crossAttentionWidth
        let pooledWidth = unet.configuration.addedConditioning?.pooledWidth ?? 0
        let pooled = wave(0.9, 1, 2, pooledWidth).elements
        let texts = unet.texts(
            hiddenStates: DeviceTensor(wave(0.7, 0.8, 2, 77, width)),
            pooled: [Array(pooled[..<pooledWidth]), Array(pooled[pooledWidth...])],
            on: testBackend)
        let sample = DeviceTensor(wave(1.618, 1.5, 2, 4, size[0], size[1]))
        let answer = unet.predict(
            sample: testBackend.channelsLast(sample), timestep: 617, texts: texts,
            timeIDs: [[96, 80, 0, 0, 96, 80], [1024, 2048, 640, 72, 1024, 2048]],
            on: testBackend)
        let reference = try golden["\(preset.rawValue).unet.\(size[0])x\(size[1])"]
        let found = testBackend.channelsFirst(answer)
        #expect(found.shape == reference.shape)
        #expect(deviation(found.elements, from: reference.elements) < Self.tolerance)
    }

    @Test("a decoded picture equals diffusers'", arguments: presets)
    func decoder(_ preset: ModelPreset) throws {
        let decoder = try TinyModel.of(preset).loaded.decoder
        let picture = decoder.decode(
            testBackend.channelsLast(DeviceTensor(wave(1.618, 1.5, 1, 4, 5, 9))), on: testBackend)
        #expect(picture.shape == Shape(1, 40, 72, 3))
        let elements = picture.elements
        var halved: [Float] = []
        for channel in 0..<3 {
            for row in stride(from: 0, to: 40, by: 2) {
                for column in stride(from: 0, to: 72, by: 2) {
                    halved.append(elements[(row * 72 + column) * 3 + channel])
                }
            }
        }
        let reference = try Golden("network-odd-sizes")["\(preset.rawValue).vae.5x9"]
        #expect(deviation(halved, from: reference.elements) < Self.tolerance)
    }

    /// get_timestep_embedding(torch.tensor([617., 4096.]), 8, flip_sin_to_cos=True, …) and with
    /// flip_sin_to_cos=False, downscale_freq_shift=1.
    @Test("sinusoids equal diffusers'")
    func sinusoids() {
        let flipped = SinusoidalEmbedding(width: 8, flipSineToCosine: true, frequencyShift: 0)
        let plain = SinusoidalEmbedding(width: 8, flipSineToCosine: false, frequencyShift: 1)
        for (found, expected) in zip(
            [617, 4096].flatMap { flipped.values(of: $0) + plain.values(of: $0) }, Self.sinusoids)
        {
            #expect(abs(found - expected) < 2e-4)
        }
    }

    private static let sinusoids: [Float] = [
        0.317372, 0.424980, 0.993601, 0.815618, 0.948301, -0.905203, -0.112944, 0.578591,
        0.948301, -0.356268, 0.970978, 0.061661, 0.317372, -0.934384, 0.239169, 0.998097,
        0.803991, 0.368938, -0.992893, -0.578093, -0.594642, 0.929454, -0.119012, -0.815971,
        -0.594642, 0.998589, 0.564818, 0.398242, 0.803991, -0.053111, -0.825215, 0.917280,
    ]
}
