import CAllocationCounter
import ComputeBackends
import Denoising
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// Networks laid out ahead, against the same networks computed at once.
@Suite("Forwards laid out ahead", .watched)
struct NetworkForwardTests {
    /// Items and their extents.
    struct Pass: Sendable, CustomTestStringConvertible {
        let preset: ModelPreset
        let items: Int
        let texts: Int
        let height: Int
        let width: Int

        var testDescription: String {
            "\(preset.rawValue), \(items)×\(height)×\(width), \(texts) texts"
        }

        static let all: [Pass] = [
            Pass(preset: .tiny, items: 2, texts: 2, height: 13, width: 11),
            Pass(preset: .tiny, items: 1, texts: 1, height: 16, width: 16),
            Pass(preset: .tiny, items: 6, texts: 2, height: 5, width: 9),
            Pass(preset: .tiny, items: 3, texts: 1, height: 1, width: 2),
            Pass(preset: .tinySD15, items: 2, texts: 2, height: 13, width: 11),
            Pass(preset: .tinySD15, items: 4, texts: 2, height: 8, width: 8),
            Pass(preset: .tinySD15, items: 1, texts: 1, height: 1, width: 1),
        ]

        func sample(_ seed: Int) -> DeviceTensor {
            DeviceTensor(wave(1.618 + 0.01 * Double(seed), 1.5, items, 4, height, width))
        }

        var timeIDs: [[Int]] { (0..<items).map { [96, 80, 8 * $0, $0, 96, 80] } }

        func forward(_ model: LoadedModel) throws -> UNet.Forward {
            try #require(
                try UNet.Forward(
                    model.unet, items: items, height: height, width: width, texts: texts,
                    tokens: 77, on: model.backend))
        }
    }

    private func predict(
        _ forward: UNet.Forward,
        _ sample: DeviceTensor,
        _ texts: UNet.Texts,
        _ pass: Pass,
        timestep: Double
    ) -> [Float] {
        forward.predict(
            timestep: timestep, texts: texts, timeIDs: pass.timeIDs,
            sample: { buffer in sample.withElements { _ = buffer.update(from: $0) } },
            read: \.elements)
    }

    private func predictAtOnce(
        _ model: LoadedModel,
        _ sample: DeviceTensor,
        _ texts: UNet.Texts,
        _ pass: Pass,
        timestep: Double
    ) -> [Float] {
        let backend = model.backend
        let prediction = model.unet.predict(
            sample: backend.channelsLast(sample), timestep: timestep, texts: texts,
            timeIDs: pass.timeIDs, on: backend)
        return backend.channelsFirst(prediction).elements
    }

    @Test("predictions are the same bytes, for texts in turn", arguments: Pass.all)
    func predictions(_ pass: Pass) throws {
        let model = try TinyModel.of(pass.preset)
        let forward = try pass.forward(model.loaded)
        let texts = try [0.0, 0.3].map {
            try model.loaded.texts(model.conditioning(seed: $0)).items(2 - pass.texts..<2)
        }
        for (turn, timestep) in [617.0, 3, 617].enumerated() {
            let sample = pass.sample(turn % 2)
            let found = predict(forward, sample, texts[turn % 2], pass, timestep: timestep)
            let expected = predictAtOnce(
                model.loaded, sample, texts[turn % 2], pass, timestep: timestep)
            #expect(found == expected, "turn \(turn)")
        }
    }

    @Test("any number of threads gives the same bytes", arguments: [ModelPreset.tiny, .tinySD15])
    func threads(_ preset: ModelPreset) throws {
        let model = try TinyModel.of(preset)
        let pass = Pass(preset: preset, items: 2, texts: 2, height: 11, width: 16)
        let texts = try model.loaded.texts(model.conditioning())
        let expected = predictAtOnce(model.loaded, pass.sample(0), texts, pass, timestep: 30)
        for threads in 1...3 {
            let loaded = try model.on(CPUBackend(instructionSet: .chosen(), threads: threads))
            let forward = try pass.forward(loaded)
            #expect(predict(forward, pass.sample(0), texts, pass, timestep: 30) == expected)
        }
    }

    @Test("pictures are the same values", arguments: [ModelPreset.tiny, .tinySD15])
    func pictures(_ preset: ModelPreset) throws {
        let decoder = try TinyModel.of(preset).loaded.decoder
        for (items, height, width) in [(1, 5, 9), (2, 8, 8), (1, 1, 1)] {
            let forward = try #require(
                try VAEDecoder.Forward(
                    decoder, items: items, height: height, width: width, on: testBackend))
            for seed in [0.0, 1] {
                let latents = DeviceTensor(wave(1.6 + seed, 1.5, items, 4, height, width))
                let found = forward.decode(
                    latents: { buffer in latents.withElements { _ = buffer.update(from: $0) } },
                    read: \.elements)
                let expected = decoder.decode(testBackend.channelsLast(latents), on: testBackend)
                #expect(found == expected.elements)
            }
        }
    }

    @Test("a model whose backend has no plans answers alike")
    func withoutPlans() throws {
        let model = try TinyModel.of(.tiny)
        let direct = try model.on(ProfilingBackend(testBackend))
        let task = model.task([(9, 14), (9, 14), (8, 8)])
        let conditioning = model.conditioning()
        #expect(
            try direct.denoise(task, texts: direct.texts(conditioning))
                == model.loaded.denoise(task, texts: model.loaded.texts(conditioning)))
        let tile = DecodeTask(index: 0, tile: task.views[0].sample)
        #expect(try direct.decode(tile) == model.loaded.decode(tile))
        #expect(direct.forwards.counts == (0, 0, 0))
    }

    @Test("few plans are kept, of predictions, of decodings or of encodings")
    func bound() throws {
        let model = try TinyModel.of(.tinySD15).on(testBackend)
        let tiny = try TinyModel.of(.tinySD15)
        let texts = try model.texts(tiny.conditioning())
        for side in 4...8 {
            _ = try model.denoise(tiny.task([(side, side)]), texts: texts)
            #expect(model.forwards.counts == (min(side - 3, ForwardCache.limit), 0, 0))
        }
        for side in [4, 5, 6] {
            let tile = tiny.view(height: side, width: side, number: 0).sample
            _ = try model.decode(DecodeTask(index: 0, tile: tile))
            #expect(model.forwards.counts == (0, min(side - 3, ForwardCache.limit), 0))
        }
        for side in [8, 16, 24] {
            _ = try model.encode(picture(height: side, width: side), index: 0)
            #expect(model.forwards.counts == (0, 0, min(side / 8, ForwardCache.limit)))
        }
        _ = try model.denoise(tiny.task([(4, 4)]), texts: texts)
        #expect(model.forwards.counts == (1, 0, 0))
    }

    @Test("a plan that is there is used again")
    func reuse() throws {
        let model = try TinyModel.of(.tinySD15)
        let cache = ForwardCache()
        let shape = ForwardCache.Pass(items: 1, height: 4, width: 4, texts: 1, tokens: 77)
        let pass = Pass(preset: .tinySD15, items: 1, texts: 1, height: 4, width: 4)
        let made = try pass.forward(model.loaded)
        #expect(try cache.prediction(shape, make: { nil }) == nil)
        #expect(try cache.prediction(shape, make: { made }) === made)
        #expect(try cache.prediction(shape, make: { nil }) === made)
    }

    @Test("the estimate of a prediction's memory is about what its plan takes")
    func memory() throws {
        let model = try TinyModel.of(.tiny).loaded
        let pass = Pass(preset: .tiny, items: 1, texts: 1, height: 64, width: 64)
        let bytes = Double(try pass.forward(model).plan.arenaBytes)
        let estimate = model.unet.workingBytes(positions: 64 * 64)
        #expect(bytes < 2 * estimate && estimate < 2 * bytes, "\(bytes), \(estimate)")
        let decoding = try #require(
            try VAEDecoder.Forward(model.decoder, items: 1, height: 64, width: 64, on: testBackend))
        let found = Double(decoding.plan.arenaBytes)
        let expected = model.decoder.workingBytes(positions: 64 * 64)
        #expect(found < 2 * expected && expected < 2 * found, "\(found), \(expected)")
        let encoder = try #require(model.encoder).encoder()
        let encoding = try #require(
            try VAEEncoder.Forward(encoder, items: 1, height: 64, width: 64, on: testBackend))
        let taken = Double(encoding.plan.arenaBytes)
        let guessed = encoder.workingBytes(positions: 64 * 64)
        #expect(taken < 2 * guessed && guessed < 2 * taken, "\(taken), \(guessed)")
    }

    @Test(
        "a steady prediction allocates nothing", .enabled(if: allocation_counter_works()),
        arguments: [ModelPreset.tiny, .tinySD15])
    func allocations(_ preset: ModelPreset) throws {
        let model = try TinyModel.of(preset)
        // One thread, so that all that is done is done, and counted, on this one.
        let loaded = try model.on(CPUBackend(instructionSet: .chosen(), threads: 1))
        let pass = Pass(preset: preset, items: 4, texts: 2, height: 12, width: 9)
        let forward = try pass.forward(loaded)
        let texts = try loaded.texts(model.conditioning())
        let timeIDs = pass.timeIDs
        let sample = pass.sample(0)
        var counts: [UInt64] = []
        counts.reserveCapacity(8)
        for turn in 0..<4 {
            let before = allocation_counter_value()
            forward.predict(
                timestep: Double(turn), texts: texts, timeIDs: timeIDs,
                sample: { buffer in sample.withElements { _ = buffer.update(from: $0) } },
                read: { _ in })
            counts.append(allocation_counter_value() - before)
        }
        #expect(counts.dropFirst().allSatisfy { $0 == 0 }, "\(counts)")
    }
}
