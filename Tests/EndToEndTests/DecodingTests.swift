import Foundation
import ImageOutput
import TestSupport
import Testing

/// The model that ships, with one weight of its autoencoder changed.
struct DamagedModel {
    let path: String

    /// Writes `value` over the first value of a tensor of the autoencoder in a copy.
    init(in folder: TemporaryFolder, tensor: String, value: Float) throws {
        path = folder.file("model")
        try FileManager.default.copyItem(atPath: Self.shipped, toPath: path)
        let file = URL(fileURLWithPath: path + "/vae/diffusion_pytorch_model.safetensors")
        var bytes = try Data(contentsOf: file)
        let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSONSerialization.jsonObject(with: bytes[8..<8 + length])
        let entry = try #require((header as? [String: Any])?[tensor] as? [String: Any])
        let offset = try #require((entry["data_offsets"] as? [Int])?.first)
        // The autoencoder that ships is stored in half precision.
        let pattern = withUnsafeBytes(of: UInt16(value.isNaN ? 0x7E00 : 0x7C00).littleEndian) {
            Data($0)
        }
        let place = 8 + length + offset
        bytes.replaceSubrange(place..<place + pattern.count, with: pattern)
        try bytes.write(to: file)
    }

    static let shipped = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources/DefaultModel/Model").path
}

@Suite(
    "An autoencoder that gives no finite numbers, in real processes", .watched,
    .timeLimit(.minutes(10)))
struct DecodingTests {
    private func arguments(
        _ model: DamagedModel, _ folder: TemporaryFolder, method: String = "cutdiffusion"
    ) -> [String] {
        [
            "generate", "--prompt", "hills", "--model", model.path, "--size", "2x", "--steps", "2",
            "--method", method, "--output", folder.file("b.png"),
        ]
    }

    @Test(
        "a picture that is enlarged on the way ends with the tile, too",
        arguments: ["decoder.conv_out.bias", "encoder.conv_in.bias"])
    func enlarged(tensor: String) async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: tensor, value: .nan)
        let run = arguments(model, folder, method: "upscale") + ["--state-dir", folder.file("s")]
        let outcome = try await CommandLineTool.run(run)
        #expect(outcome.status == 65, "\(outcome)")
        for part in ["while the picture was enlarged", "row 1, column 1", "pixels 0…127"] {
            #expect(outcome.errors.contains(part), "\(outcome)")
        }
        #expect(try folder.contents == ["model", "s"])
        // The first phase's latents have nothing of the autoencoder: the picture is the mended one's.
        let mended = ["--model", DamagedModel.shipped]
        let resumed = try await CommandLineTool.run(run + mended + ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("another autoencoder"), "\(resumed)")
        #expect(!resumed.errors.contains("no model alone"), "\(resumed)")
        let picture = try Data(contentsOf: URL(fileURLWithPath: folder.file("b.png")))
        let quiet = try await CommandLineTool.run(
            arguments(model, folder, method: "upscale") + mended)
        #expect(quiet.status == 0, "\(quiet)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("b.png"))) == picture)
    }

    @Test(
        "the run ends with 65 and the tile, the latents are kept and said where",
        arguments: [
            ("decoder.mid_block.resnets.0.conv1.weight", Float.nan),
            ("decoder.mid_block.resnets.0.conv1.bias", .infinity),
            ("decoder.conv_in.weight", .infinity), ("decoder.conv_out.bias", .nan),
        ]
    )
    func refused(tensor: String, value: Float) async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: tensor, value: value)
        let state = folder.file("s")
        let outcome = try await CommandLineTool.run(
            arguments(model, folder) + ["--state-dir", state])
        #expect(outcome.status == 65, "\(outcome)")
        for part in ["row 1, column 1", "pixels 0…127", "kept", state, "--resume"] {
            #expect(outcome.errors.contains(part), "\(outcome)")
        }
        #expect(try folder.contents == ["model", "s"])
        #expect(FileManager.default.fileExists(atPath: state + "/step-2.safetensors"))
    }

    @Test("a mended autoencoder decodes what is kept, to the bytes of a run that never had another")
    func mended() async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_out.bias", value: .nan)
        let run = arguments(model, folder) + ["--state-dir", folder.file("s")]
        let refused = try await CommandLineTool.run(run)
        try #require(refused.status == 65, "\(refused)")
        let good = ["--model", DamagedModel.shipped]
        let resumed = try await CommandLineTool.run(run + good + ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("another autoencoder"), "\(resumed)")
        let quiet = try await CommandLineTool.run(
            arguments(model, folder) + good + ["--output", folder.file("quiet.png")])
        try #require(quiet.status == 0, "\(quiet)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("b.png"), andPath: folder.file("quiet.png")))
    }

    @Test("without a state folder the latents lie beside the picture's place")
    func rescued() async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_out.bias", value: .nan)
        let outcome = try await CommandLineTool.run(arguments(model, folder))
        #expect(outcome.status == 65, "\(outcome)")
        #expect(outcome.errors.contains(folder.file("b.latents.safetensors")), "\(outcome)")
        #expect(try folder.contents == ["b.latents.safetensors", "model"])
    }

    @Test("with workers it is found before anything is computed")
    func workers() async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_out.bias", value: .nan)
        let outcome = try await CommandLineTool.run(
            arguments(model, folder) + ["--workers", "2"])
        #expect(outcome.status == 65, "\(outcome)")
        #expect(outcome.errors.contains("autoencoder"), "\(outcome)")
        #expect(try folder.contents == ["model"])
    }

    @Test(
        "one worker that finds no finite picture ends the run as this process does",
        arguments: [
            // The questions with known answers and the steps before are answered well.
            ("upscale", "while the picture was enlarged"), ("cutdiffusion", "the finished latents"),
        ])
    func oneWorker(method: String, part: String) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", "hills", "--size", "2x", "--steps", "2", "--method", method,
            "--workers", "1", "--worker-fault", "0:compute:nan@6..",
            "--output", folder.file("b.png"),
        ])
        #expect(outcome.status == 65, "\(outcome)")
        for part in [part, "row 1, column 1", folder.file("b.latents.safetensors")] {
            #expect(outcome.errors.contains(part), "\(outcome)")
        }
        #expect(!outcome.errors.contains("no worker is left"), "\(outcome)")
        #expect(try folder.contents == ["b.latents.safetensors"])
    }

    @Test("doctor names damaged weights, and an autoencoder known for its overflow")
    func doctor() async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_in.weight", value: .nan)
        let configuration = URL(fileURLWithPath: model.path + "/vae/config.json")
        let text = try String(contentsOf: configuration, encoding: .utf8)
            .replacingOccurrences(of: "\"force_upcast\": false", with: "\"force_upcast\": true")
        try text.write(to: configuration, atomically: true, encoding: .utf8)
        let outcome = try await CommandLineTool.run(["doctor", "--model", model.path])
        #expect(outcome.status == 65, "\(outcome)")
        for part in ["decoder.conv_in.weight", "1 of", "force_upcast"] {
            #expect(outcome.output.contains(part), "\(outcome)")
        }
        let json = try await CommandLineTool.run(["doctor", "--json", "--model", model.path])
        let report = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        let warnings = (report as? [String: Any])?["warnings"] as? [[String: String]]
        #expect(warnings?.count == 1)
        #expect(warnings?.first?["finding"]?.contains("half precision") == true)
    }
}
