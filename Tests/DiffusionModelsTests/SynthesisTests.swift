import ComputeBackends
import Denoising
import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Synthesized models", .watched)
struct SynthesisTests {
    private func count(_ parameters: [ParameterShape]) -> Int {
        parameters.map(\.shape.count).reduce(0, +)
    }

    private func fields(_ object: JSONObject) -> ConfigurationFields {
        ConfigurationFields(path: "config.json", object: object)
    }

    @Test("the parameter counts are the published ones")
    func parameterCounts() throws {
        #expect(ModelSynthesizer(preset: .sdxl).unetParameterCount == 2_567_463_684)
        #expect(ModelSynthesizer(preset: .sd15).unetParameterCount == 859_520_964)
        #expect(ModelSynthesizer(preset: .mini).unetParameterCount / 1_000_000 == 22)
        let sdxl = ModelPreset.sdxl.blueprint
        let vae = try VAEConfiguration(fields: fields(sdxl.vae))
        #expect(count(vae.encoderParameters + vae.decoderParameters) == 83_653_863)
        let first = try CLIPTextConfiguration(fields: fields(sdxl.textEncoders[0]))
        #expect(count(first.parameters) == 123_060_480)
        let second = try CLIPTextConfiguration(fields: fields(sdxl.textEncoders[1]))
        #expect(count(second.parameters) == 694_659_840)
    }

    @Test("SDXL's and SD 1.5's tensors have their published names and shapes")
    func names() throws {
        func shapes(_ preset: ModelPreset) throws -> [String: Shape] {
            let unet = try UNetConfiguration(fields: fields(preset.blueprint.unet))
            return Dictionary(uniqueKeysWithValues: unet.parameters.map { ($0.name, $0.shape) })
        }
        let sdxl = try shapes(.sdxl)
        #expect(sdxl.count == 1680)
        #expect(sdxl["add_embedding.linear_1.weight"] == Shape(1280, 2816))
        #expect(
            sdxl["down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k.weight"]
                == Shape(1280, 2048))
        #expect(sdxl["up_blocks.0.resnets.2.conv1.weight"] == Shape(1280, 1920, 3, 3))
        #expect(sdxl["up_blocks.2.resnets.0.conv_shortcut.weight"] == Shape(320, 960, 1, 1))
        #expect(sdxl["mid_block.attentions.0.proj_in.weight"] == Shape(1280, 1280))
        let sd15 = try shapes(.sd15)
        #expect(sd15.count == 686)
        #expect(sd15["down_blocks.0.attentions.0.proj_in.weight"] == Shape(320, 320, 1, 1))
        #expect(
            sd15["up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.bias"] == Shape(2560))
        #expect(sd15["add_embedding.linear_1.weight"] == nil)
    }

    @Test("a seed gives the same bytes every time, on every machine, and seeds differ")
    func bytes() throws {
        let parameter = ParameterShape(
            name: "conv_in.weight", shape: Shape(4, 5, 3, 3), role: .weight(fanIn: 45))
        func values(_ seed: UInt64, _ component: String) throws -> [Float] {
            var values: [Float] = []
            try SyntheticWeights(seed: seed, component: component)
                .forEachChunk(of: parameter) { values += $0 }
            return values
        }
        let first = try values(0, "unet")
        #expect(first.count == 180)
        #expect(try values(0, "unet") == first)
        #expect(try values(1, "unet") != first)
        #expect(try values(0, "vae") != first)
        // What these were when the goldens of the tiny models were made.
        #expect(CRC32C.of(first) == 778_734_704)
    }

    @Test("weights keep the size of what passes through them")
    func scaling() throws {
        let parameter = ParameterShape(
            name: "x", shape: Shape(100, 300), role: .weight(fanIn: 300))
        var values: [Float] = []
        try SyntheticWeights(seed: 3, component: "unet").forEachChunk(of: parameter) {
            values += $0
        }
        let variance = values.map { Double($0 * $0) }.reduce(0, +) / Double(values.count)
        let mean = values.map(Double.init).reduce(0, +) / Double(values.count)
        #expect(abs(variance * 300 - 1) < 0.02)
        #expect(abs(mean) < 0.001)
    }

    @Test("large tensors come in chunks that fit together")
    func chunks() throws {
        let count = SyntheticWeights.chunk + 13
        let parameter = ParameterShape(name: "x", shape: Shape(count), role: .bias)
        var sizes: [Int] = []
        var last: [Float] = []
        let random = SyntheticWeights(seed: 3, component: "unet")
        try random.forEachChunk(of: parameter) { chunk in
            sizes.append(chunk.count)
            last = chunk
        }
        #expect(sizes == [SyntheticWeights.chunk, 13])
        #expect(Set(last).count > 10)
    }

    @Test("nothing is written over, and a failed synthesis leaves nothing")
    func refusals() throws {
        let folder = try TemporaryFolder()
        try folder.write("mine", "model/precious.txt")
        expectError("model", "not an empty folder") {
            try ModelSynthesizer(preset: .tiny).write(to: "\(folder.path)/model/")
        }
        expectError("precious.txt", "not an empty folder") {
            try ModelSynthesizer(preset: .tiny).write(to: "\(folder.path)/model/precious.txt")
        }
        expectError("cannot be written") {
            try ModelSynthesizer(preset: .tiny).write(to: "\(folder.path)/model/precious.txt/x")
        }
        expectError("model", "MiB left") {
            try ModelSynthesizer.checkSpace(at: folder.path, needed: .max, for: "model")
        }
        #expect(try folder.contents == ["model"])
        #expect(FileManager.default.contents(atPath: "\(folder.path)/model/precious.txt") != nil)
    }

    @Test("progress rises from its first step to one")
    func progress() throws {
        let folder = try TemporaryFolder()
        var shares: [Double] = []
        try ModelSynthesizer(preset: .tiny).write(to: "\(folder.path)/a/b") { shares.append($0) }
        #expect(shares.last == 1)
        #expect(zip(shares, shares.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(try folder.contents == ["a"])
    }

    @Test("the schedulers of every preset can be made")
    func schedulers() throws {
        for preset in [ModelPreset.tiny, .tinySD15] {
            let folder = try TemporaryFolder()
            try ModelSynthesizer(preset: preset).write(to: folder.path)
            let configuration = try ModelFolder(path: folder.path).scheduler
            let entry = try Schedulers.entry(named: nil, configuration: configuration)
            let scheduler = try entry.makeScheduler(configuration: configuration, steps: 20)
            #expect(scheduler.timesteps.count == 20)
            #expect(scheduler.timesteps[0].value == 951)
        }
    }
}

@Suite("Models synthesized like a folder of configuration files", .watched)
struct SynthesisFromFolderTests {
    /// The configuration files of a blueprint, no weights and no tokenizers.
    private func configurations(of blueprint: ModelBlueprint) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        func write(_ object: JSONObject, _ name: String) throws {
            try folder.write(JSONValue.object(object).indentedText, name)
        }
        try write(blueprint.index, "model_index.json")
        try write(blueprint.scheduler, "scheduler/scheduler_config.json")
        try write(blueprint.unet, "unet/config.json")
        try write(blueprint.vae, "vae/config.json")
        for (object, suffix) in zip(blueprint.textEncoders, ["", "_2"]) {
            try write(object, "text_encoder\(suffix)/config.json")
        }
        return folder
    }

    /// Copies the files whose names end in one of `endings` into a folder of their own.
    private func copy(of model: String, endings: [String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for name in try FileManager.default.subpathsOfDirectory(atPath: model)
        where endings.contains(where: { name.hasSuffix($0) }) {
            let bytes = try #require(FileManager.default.contents(atPath: "\(model)/\(name)"))
            try folder.write(Array(bytes), name)
        }
        return folder
    }

    private func edit(
        _ folder: TemporaryFolder, _ name: String, _ old: String, _ new: String
    ) throws {
        let text = try String(contentsOfFile: "\(folder.path)/\(name)", encoding: .utf8)
        try #require(text.contains(old), "\(name) has no \(old)")
        try folder.write(text.replacingOccurrences(of: old, with: new), name)
    }

    private func files(of folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            files[name] = FileManager.default.contents(atPath: "\(folder)/\(name)")
        }
        return files
    }

    @Test(
        "the files of a preset, without its weights, give the preset's bytes again",
        arguments: [ModelPreset.tiny, .tinySD15]
    )
    func sameAsPreset(preset: ModelPreset) throws {
        let original = try TemporaryFolder()
        try ModelSynthesizer(preset: preset, seed: 5).write(to: original.path)
        let shape = try copy(of: original.path, endings: [".json", ".txt"])
        let type = preset.blueprint.elementType
        let again = try TemporaryFolder()
        try ModelSynthesizer(like: shape.path + "/", seed: 5, elementType: type)
            .write(to: again.path)
        #expect(try files(of: again.path) == files(of: original.path))
        let other = try TemporaryFolder()
        try ModelSynthesizer(like: shape.path, seed: 6, elementType: type).write(to: other.path)
        #expect(try files(of: other.path).keys == files(of: original.path).keys)
        let first = try ModelFolder(path: again.path).fingerprint()
        let second = try ModelFolder(path: other.path).fingerprint()
        #expect(first != second)
    }

    @Test("the shipped model's configuration files give a model of its shape")
    func likeTheShippedModel() throws {
        let shipped = URL(fileURLWithPath: Golden.folder)
            .appendingPathComponent("../../Sources/DefaultModel/Model").standardized.path
        let shape = try copy(of: shipped, endings: [".json"])
        // Fewer channels, for the time that random numbers take in a debug build.
        try edit(shape, "unet/config.json", "96,", "64,")
        try edit(shape, "unet/config.json", "\n    160", "\n    64")
        try edit(shape, "unet/config.json", "3,\n    5", "2,\n    2")
        let result = try TemporaryFolder()
        try ModelSynthesizer(like: shape.path).write(to: result.path)
        let model = try ModelFolder(path: result.path)
        let original = try ModelFolder(path: shipped)
        #expect(model.unet.blockOutChannels == [64, 64, 64])
        #expect(model.vae == original.vae && model.scheduler == original.scheduler)
        #expect(
            model.textEncoders.map(\.configuration) == original.textEncoders.map(\.configuration))
        #expect(model.forcesZerosForEmptyPrompt == original.forcesZerosForEmptyPrompt)
        // merges.txt was left out: the tokenizers are made up, their marks where the encoders look.
        for files in model.textEncoders {
            let ids = try BPETokenizer(folder: files.tokenizerFolder)
                .tokenize("a lake", length: files.configuration.positions).ids
            #expect(ids[0] == 722 && ids.firstIndex(of: 723) != nil)
        }
        let prompts = try PromptEncoder(model: model, backend: testBackend)
        let prompt = prompts.encode(prompt: "a lake").conditioning.prompt
        #expect(prompt.hiddenStates.shape == Shape(77, 160))
        #expect(prompt.hiddenStates.elements.allSatisfy { $0.isFinite })
    }

    @Test("Stable Diffusion 1.5's shape, with a scheduler that has no code here")
    func likeStableDiffusion() throws {
        let scheduler: JSONObject = [
            "_class_name": "PNDMScheduler", "beta_start": 0.00085, "skip_prk_steps": true,
            "trained_betas": nil, "num_train_timesteps": 1000, "a_field_of_tomorrow": [1, "x"],
        ]
        var blueprint = ModelPreset.sd15.blueprint
        blueprint.scheduler = scheduler
        let full = try configurations(of: blueprint)
        let synthesizer = try ModelSynthesizer(like: full.path)
        #expect(synthesizer.unetParameterCount == 859_520_964)
        #expect(synthesizer.byteCount == ModelSynthesizer(preset: .sd15).byteCount)
        let wide = try ModelSynthesizer(like: full.path, elementType: .float32)
        #expect(wide.byteCount == 2 * synthesizer.byteCount)

        blueprint = ModelPreset.tinySD15.blueprint
        blueprint.scheduler = scheduler
        let narrow = try configurations(of: blueprint)
        let result = try TemporaryFolder()
        try ModelSynthesizer(like: narrow.path, elementType: .bfloat16).write(to: result.path)
        let model = try ModelFolder(path: result.path)
        #expect(model.family == .stableDiffusion && model.scheduler.className == "PNDMScheduler")
        let written = try ConfigurationFields(
            path: "\(result.path)/scheduler/scheduler_config.json", adviceWhenMissing: "")
        #expect(written.object == scheduler)
        let index = try ConfigurationFields(
            path: "\(result.path)/model_index.json", adviceWhenMissing: "")
        #expect(index.value("scheduler") == ["diffusers", "PNDMScheduler"])
        _ = try PromptEncoder(model: model, backend: testBackend)
    }

    @Test("a configuration file that is not there is named")
    func missingFiles() throws {
        expectError("/no/such/folder", "missing", "diffusers layout") {
            _ = try ModelSynthesizer(like: "/no/such/folder")
        }
        for name in [
            "model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
            "vae/config.json", "text_encoder/config.json", "text_encoder_2/config.json",
        ] {
            let shape = try configurations(of: .tiny)
            try FileManager.default.removeItem(atPath: "\(shape.path)/\(name)")
            expectError("\(shape.path)/\(name)", "missing") {
                _ = try ModelSynthesizer(like: shape.path)
            }
        }
    }

    @Test("whatever could not be opened or run is refused by file and field")
    func hostileFields() throws {
        for (name, old, new, parts) in [
            ("model_index.json", "StableDiffusionXL", "Flux", ["_class_name", "FluxPipeline"]),
            ("unet/config.json", "{", "[", ["damaged", "at byte"]),
            (
                "unet/config.json", "[16, 32, 32]", "[20, 32, 32]",
                ["block_out_channels", "multiples of norm_num_groups (8)"]
            ),
            ("unet/config.json", "[16, 32, 32]", "[0, 32, 32]", ["block_out_channels"]),
            ("unet/config.json", "[16, 32, 32]", "[-16, 32, 32]", ["block_out_channels"]),
            ("unet/config.json", "[16, 32, 32]", "[16, 32, 32, 32]", ["block_out_channels"]),
            ("unet/config.json", "[16, 32, 32]", "1e99", ["block_out_channels"]),
            (
                "unet/config.json", "\"sample_size\": 16",
                "\"sample_size\": 9223372036854775807", ["sample_size", "1 to 4096"]
            ),
            (
                "unet/config.json", "\"sample_size\": 16",
                "\"sample_size\": 99999999999999999999", ["sample_size", "1 to 4096"]
            ),
            ("unet/config.json", "[2, 4, 4]", "[2, 3, 4]", ["attention_head_dim", "divisor"]),
            (
                "unet/config.json", "\"cross_attention_dim\": 56", "\"cross_attention_dim\": 57",
                ["cross_attention_dim", "expected 56", "found 57"]
            ),
            ("unet/config.json", "\"text_time\"", "null", ["text_time", "projection_dim"]),
            (
                "vae/config.json", "\"latent_channels\": 4", "\"latent_channels\": 8",
                ["unet/config.json", "in_channels", "expected 8"]
            ),
            ("vae/config.json", "[8, 8, 16, 16]", "[8, 6, 16, 16]", ["norm_num_groups (4)"]),
            (
                "text_encoder/config.json", "\"num_attention_heads\": 3",
                "\"num_attention_heads\": 5", ["num_attention_heads", "divisor of 24"]
            ),
            (
                "text_encoder_2/config.json", "CLIPTextModelWithProjection", "CLIPTextModel",
                ["architectures", "CLIPTextModelWithProjection"]
            ),
            ("text_encoder/config.json", "529", "528", ["vocab_size", "529", "merges.txt"]),
            (
                "text_encoder_2/config.json", "\"eos_token_id\": 528", "\"eos_token_id\": 527",
                ["eos_token_id", "merges.txt"]
            ),
            (
                "text_encoder_2/config.json", "\"eos_token_id\": 528", "\"eos_token_id\": 529",
                ["eos_token_id", "528 to 528"]
            ),
            ("scheduler/scheduler_config.json", "_class_name", "class", ["_class_name"]),
            (
                "scheduler/scheduler_config.json", "\"steps_offset\": 1", "\"steps_offset\": \"a\"",
                ["scheduler_config.json", "steps_offset"]
            ),
        ] {
            let shape = try configurations(of: .tiny)
            try edit(shape, name, old, new)
            do {
                _ = try ModelSynthesizer(like: shape.path)
                Issue.record("\(name) with \(new) was taken")
            } catch {
                for part in parts { #expect(error.description.contains(part), "\(error)") }
                #expect(error.description.contains(shape.path), "\(error)")
            }
        }
    }

    @Test("a tokenizer that is damaged or too large for its encoder is refused")
    func hostileTokenizers() throws {
        let shape = try configurations(of: .tiny)
        try shape.write("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 529}", "tokenizer/vocab.json")
        try shape.write("#version: 0.2\n", "tokenizer/merges.txt")
        expectError("tokenizer/vocab.json", "the id 529", "529 rows") {
            _ = try ModelSynthesizer(like: shape.path)
        }
        try shape.write("a b\n", "tokenizer/merges.txt")
        expectError("tokenizer/merges.txt", "line 1") {
            _ = try ModelSynthesizer(like: shape.path)
        }
    }

    @Test("the largest numbers that fields admit are refused for the disk, and leave nothing")
    func largest() throws {
        let shape = try configurations(of: .tiny)
        for (old, new) in [
            ("[16, 32, 32]", "16384"), ("\"layers_per_block\": 2", "\"layers_per_block\": 16"),
            ("[1, 1, 2]", "64"), ("\"norm_num_groups\": 8", "\"norm_num_groups\": 1024"),
            ("\"cross_attention_dim\": 56", "\"cross_attention_dim\": 65560"),
        ] {
            try edit(shape, "unet/config.json", old, new)
        }
        expectError("cross_attention_dim", "1 to 65536") {
            _ = try ModelSynthesizer(like: shape.path)
        }
        try edit(shape, "unet/config.json", "65560", "65536")
        try edit(shape, "text_encoder/config.json", "\"hidden_size\": 24", "\"hidden_size\": 65504")
        try edit(
            shape, "text_encoder/config.json", "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 1")
        try edit(shape, "text_encoder/config.json", "529", "1000000")
        let synthesizer = try ModelSynthesizer(like: shape.path, elementType: .float32)
        #expect(synthesizer.byteCount > 1 << 46)
        let output = try TemporaryFolder()
        expectError("\(output.path)/a/b", "MiB", "left") {
            try synthesizer.write(to: "\(output.path)/a/b")
        }
        #expect(try output.contents == [])
    }
}
