import Foundation
import Sampling
import Tensors
import Testing

@testable import DiffusionModels

@Suite("Synthesized models")
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
