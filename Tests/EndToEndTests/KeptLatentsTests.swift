import Foundation
import ImageOutput
import TestSupport
import Testing

@Suite("tessera decode, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct KeptLatentsTests {
    /// A picture and its latents; made once. Its height is no multiple of the autoencoder's cells.
    private static let original = Task {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", "hills at dawn", "--size", "304x213", "--steps", "2",
            "--method", "multidiffusion", "--seed", "3", "--panorama", "--threads", "1",
            "--output", folder.file("a.png"), "--save-latents", folder.file("a.safetensors"),
        ])
        try #require(outcome.status == 0, "\(outcome)")
        return folder
    }

    private func pixels(of path: String) throws -> [UInt8] { try PNGPicture(path: path).pixels }

    @Test("latents that were saved make the picture that they were saved of", arguments: [0, 2])
    func samePixels(workers: Int) async throws {
        let (kept, folder) = (try await Self.original.ownValue, try TemporaryFolder())
        let outcome = try await CommandLineTool.run([
            "decode", "--latents", kept.file("a.safetensors"), "--size", "304x213", "--panorama",
            "--workers", "\(workers)", "--threads", "1", "--output", folder.file("b.png"), "--json",
        ])
        try #require(outcome.status == 0, "\(outcome)")
        #expect(try pixels(of: folder.file("b.png")) == pixels(of: kept.file("a.png")))
        #expect(try folder.contents == ["b.png"])
        #expect(outcome.events("tile").last?.done ?? 0 > 4)
    }

    @Test("without a size everything is shown that the latents show")
    func whole() async throws {
        let (kept, folder) = (try await Self.original.ownValue, try TemporaryFolder())
        let outcome = try await CommandLineTool.run([
            "decode", "--latents", kept.file("a.safetensors"), "--output", folder.file("b.png"),
        ])
        try #require(outcome.status == 0, "\(outcome)")
        let picture = try PNGPicture(path: folder.file("b.png"))
        #expect(picture.width == 304 && picture.height == 216)
    }

    @Test(
        "what cannot be decoded is refused with what is there, and nothing is written",
        arguments: [
            (["--size", "400x213"], "304x216"), (["--size", "2x"], "pixels"),
            (["--latents", "/dev/null"], "/dev/null"), (["--model", "/tmp/none"], "/tmp/none"),
            (["--output", "/dev/full"], "/dev/full"),
        ])
    func refused(change: [String], mention: String) async throws {
        let (kept, folder) = (try await Self.original.ownValue, try TemporaryFolder())
        let outcome = try await CommandLineTool.run(
            [
                "decode", "--latents", kept.file("a.safetensors"), "--output", folder.file("b.png"),
            ] + change)
        #expect([64, 65].contains(outcome.status), "\(outcome)")
        #expect(outcome.errors.contains(mention), "\(outcome)")
        #expect(try folder.contents.isEmpty)
    }

    @Test("latents that were rescued beside the picture's place are decoded by a sound autoencoder")
    func rescued() async throws {
        let folder = try TemporaryFolder()
        let model = try DamagedModel(in: folder, tensor: "decoder.conv_out.bias", value: .nan)
        let lost = try await CommandLineTool.run([
            "generate", "--prompt", "hills", "--model", model.path, "--size", "2x", "--steps", "2",
            "--method", "multidiffusion", "--output", folder.file("a.png"),
        ])
        try #require(lost.status == 65, "\(lost)")
        let outcome = try await CommandLineTool.run([
            "decode", "--latents", folder.file("a.latents.safetensors"), "--output",
            folder.file("a.png"),
        ])
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try folder.contents == ["a.latents.safetensors", "a.png", "model"])
    }
}
