import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// The files of the tiny models by name, synthesized once.
private enum SynthesizedFiles {
    static let of = Dictionary(
        uniqueKeysWithValues: [ModelPreset.tiny, .tinySD15].map { preset in
            (preset, Result { try files(preset) })
        })

    private static func files(_ preset: ModelPreset) throws -> [String: [UInt8]] {
        let folder = try TemporaryFolder()
        try ModelSynthesizer(preset: preset).write(to: folder.path)
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path)
        where name.contains(".") {
            files[name] = FileManager.default.contents(atPath: "\(folder.path)/\(name)").map(
                Array.init)
        }
        return files
    }
}

@Suite("Model folders", .watched)
struct ModelFolderTests {
    /// A tiny model to damage.
    private func tiny(_ preset: ModelPreset = .tiny) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, bytes) in try #require(SynthesizedFiles.of[preset]).get() {
            try folder.write(bytes, name)
        }
        return folder
    }

    /// Replaces text in one of the folder's files.
    private func edit(
        _ folder: TemporaryFolder, _ name: String, _ old: String, _ new: String
    ) throws {
        let url = URL(fileURLWithPath: "\(folder.path)/\(name)")
        let text = try String(contentsOf: url, encoding: .utf8)
        try #require(text.contains(old), "\(name) has no \(old)")
        try folder.write(text.replacingOccurrences(of: old, with: new), name)
    }

    @Test("both families open, with their native sides and scale factors")
    func opens() throws {
        let folder = try tiny()
        let xl = try ModelFolder(path: folder.path)
        #expect(xl.family == .stableDiffusionXL)
        #expect(xl.nativeLatentSide == 16 && xl.nativeSide == 128 && xl.vae.scaleFactor == 8)
        #expect(xl.textEncoders.count == 2 && xl.forcesZerosForEmptyPrompt)
        #expect(xl.vae.scalingFactor == 0.13025)
        #expect(xl.scheduler.className == "EulerDiscreteScheduler")
        #expect(xl.scheduler.stepsOffset == 1 && xl.scheduler.predictionType == "epsilon")
        let other = try tiny(.tinySD15)
        let sd = try ModelFolder(path: other.path)
        #expect(sd.family == .stableDiffusion && sd.textEncoders.count == 1)
        #expect(!sd.forcesZerosForEmptyPrompt && sd.unet.addedConditioning == nil)
    }

    @Test("a folder that is not there, or not a model, says what one is")
    func missing() throws {
        expectError("/no/such/model", "missing", "tessera synthesize", "diffusers layout") {
            _ = try ModelFolder(path: "/no/such/model")
        }
        let folder = try TemporaryFolder()
        expectError("model_index.json", "missing", "tessera synthesize") {
            _ = try ModelFolder(path: folder.path)
        }
        try folder.write("not JSON", "model_index.json")
        expectError("model_index.json", "expected null at byte 1") {
            _ = try ModelFolder(path: folder.path)
        }
        try folder.write("[]", "model_index.json")
        expectError("model_index.json", "JSON object") { _ = try ModelFolder(path: folder.path) }
    }

    @Test("another architecture is refused by name")
    func otherArchitectures() throws {
        for (name, old, new, parts) in [
            (
                "model_index.json", "StableDiffusionXLPipeline", "FluxPipeline",
                ["_class_name", "FluxPipeline", "StableDiffusionXLPipeline or"]
            ),
            (
                "model_index.json", #"["transformers", "CLIPTextModelWithProjection"]"#,
                "[null, null]", ["text_encoder_2", "library and class"]
            ),
            (
                "unet/config.json", "UNet2DConditionModel", "FluxTransformer2DModel",
                ["unet/config.json", "_class_name"]
            ),
            (
                "unet/config.json", #""only_cross_attention": false"#,
                #""only_cross_attention": true"#, ["only_cross_attention", "found true"]
            ),
            (
                "unet/config.json", "\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"",
                "\"SkipUpBlock2D\", \"CrossAttnUpBlock2D\"", ["up_block_types", "SkipUpBlock2D"]
            ),
            (
                "unet/config.json", #""text_time""#, #""image""#,
                ["addition_embed_type", "image"]
            ),
            (
                "unet/config.json", #""mid_block_type": "UNetMidBlock2DCrossAttn""#,
                #""mid_block_type": null"#, ["mid_block_type"]
            ),
            (
                "unet/config.json", #""cross_attention_dim": 56"#, #""cross_attention_dim": 57"#,
                ["unet", "transformer_blocks", "expected shape"]
            ),
            (
                "vae/config.json", #""latent_channels": 4"#, #""latent_channels": 16"#,
                ["vae", "expected shape"]
            ),
            (
                "vae/config.json", #""scaling_factor": 0.13025"#, #""scaling_factor": "x""#,
                ["scaling_factor", "\"x\""]
            ),
            (
                "text_encoder/config.json", "quick_gelu", "relu", ["hidden_act", "relu"]
            ),
            (
                "text_encoder/config.json", "\"CLIPTextModel\"", "\"T5EncoderModel\"",
                ["architectures", "T5EncoderModel"]
            ),
            (
                "text_encoder_2/config.json", #""num_attention_heads": 4"#,
                #""num_attention_heads": 5"#, ["num_attention_heads", "divisor of 32"]
            ),
            (
                "scheduler/scheduler_config.json", #""steps_offset": 1"#, #""steps_offset": "a""#,
                ["scheduler_config.json", "steps_offset", "Int"]
            ),
        ] {
            let folder = try tiny()
            try edit(folder, name, old, new)
            do {
                _ = try ModelFolder(path: folder.path)
                Issue.record("accepted: \(new) in \(name)")
            } catch {
                for part in parts { #expect("\(error)".contains(part), "\(error)") }
            }
        }
    }

    @Test("numbers out of range never trap")
    func absurdNumbers() throws {
        let folder = try tiny()
        let url = URL(fileURLWithPath: "\(folder.path)/unet/config.json")
        let good = try String(contentsOf: url, encoding: .utf8)
        for key in [
            "sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block",
            "norm_num_groups", "norm_eps", "cross_attention_dim", "transformer_layers_per_block",
            "attention_head_dim", "addition_time_embed_dim", "freq_shift",
            "projection_class_embeddings_input_dim", "down_block_types",
        ] {
            for value in ["0", "-1", "1e300", "9223372036854775807", "[]", "[0]", "{}", "\"\""] {
                let pattern = try NSRegularExpression(
                    pattern: "\"\(key)\": (\\[[^\\]]*\\]|[^,\\n]*)")
                let edited = pattern.stringByReplacingMatches(
                    in: good, range: NSRange(good.startIndex..., in: good),
                    withTemplate: "\"\(key)\": \(value)")
                try folder.write(edited, "unet/config.json")
                if key == "freq_shift" && value == "0" { continue }
                if key == "norm_eps" && value == "0" { continue }
                #expect(throws: WeightsError.self, "\(key): \(value)") {
                    try ModelFolder(path: folder.path)
                }
            }
        }
    }

    @Test("a missing or truncated file of any component is named")
    func damagedFiles() throws {
        for name in [
            "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
            "text_encoder_2/config.json", "scheduler/scheduler_config.json",
        ] {
            let folder = try tiny()
            let path = "\(folder.path)/\(name)"
            let bytes = try #require(FileManager.default.contents(atPath: path))
            try folder.write(Array(bytes.prefix(bytes.count / 2)), name)
            expectError(name) { _ = try ModelFolder(path: folder.path) }
            try FileManager.default.removeItem(atPath: path)
            expectError(String(name.prefix { $0 != "/" }), "missing") {
                _ = try ModelFolder(path: folder.path)
            }
        }
    }

    @Test(
        "a Git LFS pointer in place of a file says how to fetch the file",
        arguments: ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
    func pointers(name: String) throws {
        let folder = try tiny()
        try folder.write(
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", name)
        expectError(name, "Git LFS pointer", "git lfs pull") {
            _ = try ModelFolder(path: folder.path)
        }
    }

    @Test(
        "a link that points to nothing is called that, with what it points to",
        arguments: ["unet/diffusion_pytorch_model.safetensors", "unet", "tokenizer/vocab.json", ""])
    func danglingLinks(name: String) throws {
        let folder = try tiny()
        let path = name.isEmpty ? folder.path : "\(folder.path)/\(name)"
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(
            atPath: path, withDestinationPath: "../blobs/4d7a")
        expectError("\(path) is a link to ../blobs/4d7a, which is not there") {
            _ = try ModelFolder(path: folder.path).fingerprint()
        }
    }

    @Test(
        "a pipe in place of a file is refused at once",
        arguments: [
            "model_index.json", "unet/diffusion_pytorch_model.safetensors", "unet/config.json",
            "tokenizer/vocab.json", "scheduler/scheduler_config.json",
        ])
    func pipes(name: String) throws {
        let folder = try tiny()
        let path = "\(folder.path)/\(name)"
        try FileManager.default.removeItem(atPath: path)
        try #require(mkfifo(path, 0o600) == 0)
        expectError("\(path) cannot be read: it is not a regular file") {
            _ = try ModelFolder(path: folder.path).fingerprint()
        }
    }

    @Test(
        "a scheduler has the class that its file names, or else the index, and is refused by both",
        arguments: [true, false])
    func schedulerClass(isInFile: Bool) throws {
        let folder = try tiny()
        let name = "scheduler/scheduler_config.json"
        if !isInFile { try edit(folder, name, "_class_name", "_no_class_name") }
        #expect(try ModelFolder(path: folder.path).scheduler.className == "EulerDiscreteScheduler")
        try edit(
            folder, "model_index.json", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")
        let scheduler = try ModelFolder(path: folder.path).scheduler
        for entry in Schedulers.all {
            #expect(throws: SamplingError.otherSchedule("FlowMatchEulerDiscreteScheduler")) {
                try entry.makeScheduler(configuration: scheduler, steps: 2)
            }
        }
    }

    @Test(
        "a scheduler's file is believed when it names what no sampler here walks down",
        arguments: ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "FooScheduler"])
    func contradictingClass(name: String) throws {
        let folder = try tiny()
        try edit(folder, "scheduler/scheduler_config.json", "EulerDiscreteScheduler", name)
        let scheduler = try ModelFolder(path: folder.path).scheduler
        for entry in Schedulers.all {
            #expect(throws: SamplingError.otherSchedule(name)) {
                try entry.makeScheduler(configuration: scheduler, steps: 2)
            }
        }
        #expect(throws: SamplingError.otherSchedule(name)) {
            try Schedulers.entry(named: nil, configuration: scheduler)
        }
    }

    @Test("what is wrong with a file has a remedy of its own where there is one")
    func remedies() {
        for (error, word) in [
            (WeightsError.pointer(path: "a"), "git lfs pull"),
            (.brokenLink(path: "a", link: "l", target: "../blobs/1"), "../blobs/1"),
            (.addedToken(path: "a", token: "<cat>", reason: "x"), "tokenizer's files"),
        ] {
            #expect(error.remedy?.contains(word) == true, "\(error)")
        }
        #expect(WeightsError.missing(path: "a", advice: "b").remedy == nil)
    }

    @Test("what one component gives must be what the next takes")
    func disagreement() throws {
        let folder = try tiny()
        let other = try tiny(.tinySD15)
        for name in ["text_encoder_2", "tokenizer_2"] {
            try FileManager.default.copyItem(
                atPath: "\(folder.path)/\(name)", toPath: "\(other.path)/\(name)")
        }
        try FileManager.default.removeItem(atPath: "\(other.path)/model_index.json")
        try FileManager.default.copyItem(
            atPath: "\(folder.path)/model_index.json", toPath: "\(other.path)/model_index.json")
        expectError("cross_attention_dim", "expected 56", "found 24") {
            _ = try ModelFolder(path: other.path)
        }
    }

    @Test("the fingerprint follows weights, meaning of configurations and tokenizers only")
    func fingerprints() throws {
        func fingerprint(_ folder: TemporaryFolder) throws -> Fingerprint {
            try ModelFolder(path: folder.path).fingerprint()
        }
        let folder = try tiny()
        let first = try fingerprint(folder)
        #expect(try fingerprint(tiny()) == first)
        try edit(folder, "scheduler/scheduler_config.json", "leading", "trailing")
        try edit(folder, "unet/config.json", #""center_input_sample": false,"#, "")
        #expect(try fingerprint(folder) == first)
        try edit(folder, "vae/config.json", "0.13025", "0.13026")
        let second = try fingerprint(folder)
        #expect(second != first)
        try edit(folder, "tokenizer/merges.txt", "t h\n", "")
        #expect(try fingerprint(folder) != second)
        let other = try TemporaryFolder()
        try ModelSynthesizer(preset: .tiny, seed: 1).write(to: other.path)
        #expect(try fingerprint(other) != first)
    }
}
