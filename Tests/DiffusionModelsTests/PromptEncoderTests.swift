import ComputeBackends
import Denoising
import Foundation
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Prompts to conditioning", .watched)
struct PromptEncoderTests {
    private func encoder(_ preset: ModelPreset) throws -> PromptEncoder {
        let folder = try TemporaryFolder()
        try ModelSynthesizer(preset: preset).write(to: folder.path)
        return try PromptEncoder(model: ModelFolder(path: folder.path), backend: testBackend)
    }

    @Test("no negative prompt is zeros for SDXL and the empty text for Stable Diffusion")
    func negatives() throws {
        let xl = try encoder(.tiny)
        let none = xl.encode(prompt: "the sun").conditioning
        #expect(none.negative.hiddenStates.elements.allSatisfy { $0 == 0 })
        #expect(none.negative.pooled?.elements.allSatisfy { $0 == 0 } == true)
        let empty = xl.encode(prompt: "the sun", negativePrompt: "").conditioning
        #expect(empty.prompt == none.prompt)
        #expect(empty.negative == xl.encode(prompt: "").conditioning.prompt)
        #expect(empty.fingerprint != none.fingerprint)

        let sd = try encoder(.tinySD15)
        let plain = sd.encode(prompt: "the sun").conditioning
        #expect(plain == sd.encode(prompt: "the sun", negativePrompt: "").conditioning)
        #expect(plain.negative == sd.encode(prompt: "").conditioning.prompt)
        #expect(plain.prompt.pooled == nil)
    }

    @Test("a prompt that does not fit says what was cut, once, and which prompt it was")
    func truncation() throws {
        let encoder = try encoder(.tiny)
        // Each of these words is one token of the synthetic tokenizer.
        let full = Array(repeating: "the", count: 75).joined(separator: " ")
        #expect(encoder.encode(prompt: full, negativePrompt: full).truncations.isEmpty)
        let cut = encoder.encode(prompt: full + " lake and sun", negativePrompt: full + " the")
        #expect(
            cut.truncations == [
                .init(prompt: "prompt", cut: "lake and sun", limit: 77),
                .init(prompt: "negative prompt", cut: "the", limit: 77),
            ])
        #expect(
            cut.truncations[0].description
                == "the prompt is longer than 77 tokens; left out: \"lake and sun\"")
        #expect(cut.conditioning.prompt == encoder.encode(prompt: full).conditioning.prompt)
    }

    @Test("a token of two vectors is encoded as both, wherever its files say what it is")
    func addedTokens() throws {
        let folder = try TemporaryFolder()
        try ModelSynthesizer(preset: .tinySD15).write(to: folder.path)
        let before = try ModelFolder(path: folder.path).fingerprint()
        // The rows of two bytes that no text has stand in for those of the inversion.
        let rows = try ModelFolder(path: folder.path).textEncoders[0].configuration.vocabularySize
        let vocabulary = URL(fileURLWithPath: "\(folder.path)/tokenizer/vocab.json")
        var ids = try JSONDecoder().decode([String: Int].self, from: Data(contentsOf: vocabulary))
        let (first, second) = (try #require(ids["Ā"]), try #require(ids["ā"]))
        ids["Ā"] = nil
        ids["ā"] = nil
        try JSONEncoder().encode(ids).write(to: vocabulary)
        try folder.write(
            #"{"<cat>": \#(first), "<cat>_1": \#(second)}"#, "tokenizer/added_tokens.json")
        let model = try ModelFolder(path: folder.path)
        #expect(try model.fingerprint() != before)
        let encoder = try PromptEncoder(model: model, backend: testBackend)
        let one = encoder.encode(prompt: "the <cat> sun").conditioning.prompt
        // In capitals a token stays what it is, as in diffusers.
        #expect(one == encoder.encode(prompt: "the <CAT> <CAT>_1 sun").conditioning.prompt)
        #expect(one != encoder.encode(prompt: "the sun").conditioning.prompt)

        try folder.write(#"{"<cat>": \#(rows)}"#, "tokenizer/added_tokens.json")
        expectError("tokenizer", "<cat>", "\(rows) rows") {
            _ = try ModelFolder(path: folder.path).fingerprint()
        }
    }

    @Test("a vocabulary beyond the encoder's table is an error, not a trap")
    func vocabularyTooLarge() throws {
        let folder = try TemporaryFolder()
        try ModelSynthesizer(preset: .tiny).write(to: folder.path)
        for file in SyntheticTokenizer(firstMarkID: 5000, padding: "!").files {
            try folder.write(file.text, "tokenizer_2/\(file.name)")
        }
        expectError("tokenizer_2/vocab.json", "5001", "rows") {
            _ = try PromptEncoder(model: ModelFolder(path: folder.path), backend: testBackend)
        }
    }

    @Test("the pooled vector is the first end token's, by id or by the old rule of the highest id")
    func pooling() throws {
        let folder = try TemporaryFolder()
        try ModelSynthesizer(preset: .tiny).write(to: folder.path)
        let files = try ModelFolder(path: folder.path).textEncoders[1]
        let end = files.configuration.endTokenID
        func pooled(_ ids: [Int], endToken: Int) throws -> [Float] {
            var configuration = files.configuration
            configuration.endTokenID = endToken
            let encoder = try CLIPTextEncoder(
                configuration: configuration, weights: files.weights, backend: testBackend)
            return try #require(encoder.encode(ids).pooled).elements
        }
        // Causal attention: what follows the end token cannot change it.
        let short = try pooled([end - 1, 7, end], endToken: end)
        #expect(
            try deviation(pooled([end - 1, 7, end, 9, end], endToken: end), from: short) < 1e-5)
        #expect(try deviation(pooled([end - 1, 7, end, 9], endToken: 2), from: short) < 1e-5)
        #expect(try deviation(pooled([end - 1, 7, 8, end], endToken: end), from: short) > 1e-2)
    }
}
