import ComputeBackends
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Loading networks", .watched)
struct NetworkLoadingTests {
    @Test("an autoencoder with the names and shapes of old files decodes the same picture")
    func oldAutoencoder() throws {
        let model = try TinyModel.of(.tiny)
        let scratch = try TemporaryFolder()
        let old = try rewritten(model.folder.vaeWeights, in: scratch) { name, shape in
            guard name.contains("attentions.0.to_") else { return (name, shape) }
            var name = name
            for (new, former) in [
                ("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"),
            ] where name.contains(new) {
                name.replace(new, with: former)
            }
            return (name, shape.rank == 2 ? Shape(shape.extents + [1, 1]) : shape)
        }
        #expect(old.contains("decoder.mid_block.attentions.0.proj_attn.weight"))
        let decoder = try VAEDecoder(
            configuration: model.folder.vae, weights: old, backend: testBackend, preparation: .ahead
        )
        let latents = testBackend.channelsLast(DeviceTensor(wave(1.618, 1.5, 1, 4, 6, 6)))
        #expect(
            decoder.decode(latents, on: testBackend).elements
                == model.loaded.decoder.decode(latents, on: testBackend).elements)
    }

    @Test("projections may be linear layers or 1×1 convolutions")
    func projections() throws {
        let model = try TinyModel.of(.tinySD15)
        let scratch = try TemporaryFolder()
        let linear = try rewritten(model.folder.unetWeights, in: scratch) { name, shape in
            let isProjection = name.contains("proj_in.weight") || name.contains("proj_out.weight")
            return (name, isProjection ? Shape(Array(shape.extents.prefix(2))) : shape)
        }
        _ = try UNet(
            configuration: model.folder.unet, weights: linear, backend: testBackend,
            preparation: .ahead)
    }

    @Test("a missing tensor is named with its file and shape")
    func missing() throws {
        let model = try TinyModel.of(.tiny)
        let scratch = try TemporaryFolder()
        let name = "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_k.weight"
        let store = try rewritten(model.folder.unetWeights, in: scratch) { other, shape in
            other == name ? nil : (other, shape)
        }
        expectError("copy.safetensors", name, "(32, 56)") {
            _ = try UNet(
                configuration: model.folder.unet, weights: store, backend: testBackend,
                preparation: .ahead)
        }
    }

    @Test("a tensor of another shape is named with both shapes")
    func wrongShape() throws {
        let model = try TinyModel.of(.tiny)
        let scratch = try TemporaryFolder()
        let store = try rewritten(model.folder.vaeWeights, in: scratch) { name, shape in
            name == "decoder.conv_in.weight" ? (name, Shape(16, 8, 3, 3)) : (name, shape)
        }
        expectError("copy.safetensors", "decoder.conv_in.weight", "(16, 4, 3, 3)", "(16, 8, 3, 3)")
        {
            _ = try VAEDecoder(
                configuration: model.folder.vae, weights: store, backend: testBackend,
                preparation: .ahead)
        }
    }

    @Test("memory estimates grow with the picture")
    func workingMemory() throws {
        let model = try TinyModel.of(.tiny).loaded
        #expect(model.unet.workingBytes(positions: 2000) > model.unet.workingBytes(positions: 1000))
        // Three images of 8 × 8 pixels per latent pixel and 8 channels of four bytes.
        #expect(model.decoder.workingBytes(positions: 100) == 3 * 6400 * 8 * 4)
    }
}
