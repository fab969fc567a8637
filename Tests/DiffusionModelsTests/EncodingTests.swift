import ComputeBackends
import Denoising
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Encoding pictures", .watched)
struct EncodingTests {
    private static let presets: [ModelPreset] = [.tiny, .tinySD15]
    private static let sizes = [[40, 72], [8, 8], [24, 136], [128, 128]]

    /// Promised is 1e-3 of the reference's standard deviation.
    private static let tolerance = 1e-4

    // MARK: - Values

    @Test("the posterior's mean equals diffusers'", arguments: ParityCase.all, sizes)
    func mean(_ model: ParityCase, _ size: [Int]) throws {
        let (loaded, _) = try ParityModel.of(model)
        let latent = try loaded.loaded.encode(picture(height: size[0], width: size[1]), index: 0)
        let reference = try Golden("network-odd-sizes")[
            "\(model.name).encode.\(size[0])x\(size[1])"]
        #expect(latent.shape == reference.shape)
        let deviation = deviation(latent.values, from: reference.elements)
        #expect(deviation < Self.tolerance)
    }

    @Test("a forward laid out ahead gives the same values", arguments: presets)
    func forwards(_ preset: ModelPreset) throws {
        let encoder = try #require(TinyModel.of(preset).loaded.encoder).encoder()
        for (items, height, width) in [(1, 5, 9), (2, 4, 4), (1, 1, 1)] {
            let forward = try #require(
                try VAEEncoder.Forward(
                    encoder, items: items, height: height, width: width, on: testBackend))
            for seed in [0.0, 1] {
                let pictures = DeviceTensor(wave(1.6 + seed, 1, items, 3, height * 8, width * 8))
                let found = forward.encode(
                    pictures: { buffer in pictures.withElements { _ = buffer.update(from: $0) } },
                    read: \.elements)
                let moments = encoder.moments(
                    of: testBackend.channelsLast(pictures), on: testBackend)
                #expect(found == testBackend.channelsFirst(moments).elements)
            }
        }
    }

    @Test("any number of threads, and a backend without plans, give the same bytes")
    func backends() throws {
        let model = try TinyModel.of(.tiny)
        let tile = picture(height: 40, width: 72)
        let expected = try model.loaded.encode(tile, index: 0)
        for threads in 1...3 {
            let backend = try CPUBackend(instructionSet: .chosen(), threads: threads)
            #expect(try model.on(backend).encode(tile, index: 0) == expected)
        }
        #expect(try model.on(ProfilingBackend(testBackend)).encode(tile, index: 0) == expected)
    }

    @Test("a host answers as its model does")
    func host() async throws {
        let model = try TinyModel.of(.tinySD15)
        let tile = picture(height: 16, width: 24)
        let host = ModelHost(model: model.loaded)
        let answer = try await host.compute(
            .encode(EncodeTask(index: 3, pixels: tile)), conditioning: Fingerprint(value: 0))
        #expect(answer == .encode(try model.loaded.encode(tile, index: 3)))
    }

    @Test("an encoder with the names and shapes of old files says the same")
    func oldNames() throws {
        let model = try TinyModel.of(.tiny)
        let scratch = try TemporaryFolder()
        let old = try rewritten(model.folder.vaeWeights, in: scratch) { name, shape in
            guard name.contains("encoder.mid_block.attentions.0.to_") else { return (name, shape) }
            var name = name
            for (new, former) in [
                ("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"),
            ] where name.contains(new) {
                name.replace(new, with: former)
            }
            return (name, Shape(shape.extents + (shape.rank == 2 ? [1, 1] : [])))
        }
        #expect(old.contains("encoder.mid_block.attentions.0.proj_attn.weight"))
        let tile = picture(height: 40, width: 24)
        #expect(
            try loaded(model, encoder: old).encode(tile, index: 0)
                == model.loaded.encode(tile, index: 0))
    }

    private func loaded(_ model: TinyModel, encoder weights: WeightStore) -> LoadedModel {
        LoadedModel(
            unet: model.loaded.unet, decoder: model.loaded.decoder,
            encoder: EncoderLoader(
                configuration: model.folder.vae, weights: weights, backend: testBackend),
            backend: testBackend)
    }

    // MARK: - Scale

    @Test("latents are scaled as diffusers' pipelines scale them, and back")
    func scale() throws {
        var configuration = try TinyModel.of(.tiny).folder.vae
        configuration.scalingFactor = 0.5
        configuration.shiftFactor = 0.25
        configuration.latentMeans = [1, 2, 3, 4]
        configuration.latentDeviations = [2, 1, 4, 8]
        let scale = LatentScale(configuration)
        let latent = Latent(channels: 4, height: 1, width: 1, values: [1, 1, 1, 1])
        var written = [Float](repeating: 0, count: 4)
        written.withUnsafeMutableBufferPointer { scale.write(latent, to: $0) }
        // latents · latents_std / scaling_factor + latents_mean, and shift_factor.
        #expect(written == [5.25, 4.25, 11.25, 20.25])
        let back = written.withUnsafeBufferPointer { scale.latent($0[...], height: 1, width: 1) }
        #expect(back == latent)
    }

    @Test("means and deviations of latents are read, one for each channel")
    func configuration() throws {
        let start = #"{"up_block_types":["UpDecoderBlock2D"],"block_out_channels":[32],"#
        let scratch = try TemporaryFolder()
        let path = try scratch.write(
            start + #""latents_mean":[0,1,-2.5,3],"latents_std":[1,2,3,0.5]}"#, "config.json")
        let vae = try VAEConfiguration(path: path)
        #expect(vae.latentMeans == [0, 1, -2.5, 3])
        #expect(vae.latentDeviations == [1, 2, 3, 0.5])
        for wrong in [
            #""latents_mean":[0,1,2]}"#, #""latents_std":[1,1,1,0]}"#, #""latents_std":2}"#,
        ] {
            let path = try scratch.write(start + wrong, "wrong.json")
            expectError("wrong.json", "field latents_", "4 numbers") {
                _ = try VAEConfiguration(path: path)
            }
        }
    }

    // MARK: - What cannot be encoded

    @Test("a model without an encoder paints, and says so in one sentence when it is to encode")
    func missing() async throws {
        let model = try TinyModel.of(.tiny)
        let scratch = try TemporaryFolder()
        let halved = try rewritten(model.folder.vaeWeights, in: scratch) { name, shape in
            name.hasPrefix("encoder.") || name.hasPrefix("quant_conv") ? nil : (name, shape)
        }
        let loaded = loaded(model, encoder: halved)
        let tile = DecodeTask(index: 0, tile: model.view(height: 4, width: 4, number: 0).sample)
        #expect(try loaded.decode(tile) == model.loaded.decode(tile))
        for _ in 0..<2 {
            await expectUnsuitable("no encoder", "copy.safetensors", "encoder.conv_in.weight") {
                _ = try loaded.encode(picture(height: 8, width: 8), index: 0)
            }
        }
    }

    @Test("sides that are no multiples of eight and tiles beyond the memory are refused")
    func refused() async throws {
        let model = try TinyModel.of(.tiny)
        await expectUnsuitable("12×8 pixels", "multiples of 8") {
            _ = try model.loaded.encode(picture(height: 8, width: 12), index: 0)
        }
        let small = try model.on(testBackend, memoryLimit: 1e6)
        _ = try small.encode(picture(height: 64, width: 64), index: 0)
        await expectUnsuitable("160×128 pixels", "GiB") {
            _ = try small.encode(picture(height: 128, width: 160), index: 0)
        }
    }

    @Test("a picture with numbers that are not finite is refused by the tile's number")
    func notFinite() throws {
        let model = try TinyModel.of(.tiny)
        var tile = picture(height: 16, width: 16)
        tile.values[300] = .nan
        #expect(
            throws: ComputeError.notFinite(
                index: 6, "the autoencoder's answer holds infinities or NaN")
        ) { try model.loaded.encode(tile, index: 6) }
    }

    @Test("every tensor that encoding needs is in the list of parameters, and none else")
    func parameters() throws {
        let model = try TinyModel.of(.tinySD15)
        let listed = Set(
            (model.folder.vae.encoderParameters + model.folder.vae.decoderParameters).map(\.name))
        #expect(listed == Set(model.folder.vaeWeights.names))
    }
}
