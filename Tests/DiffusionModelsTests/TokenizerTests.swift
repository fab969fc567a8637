import Foundation
import TestSupport
import Testing

@testable import DiffusionModels

/// What transformers made of a text; see make_fixtures.py.
struct TokenizerGolden: Decodable, Sendable {
    struct Answer: Decodable, Equatable {
        /// Without the repetitions of the padding at the end.
        let ids: [Int]
        let cut: String?
    }

    let text: String
    let end: Answer
    let bang: Answer
    let marks: Answer

    static let folder = "\(Golden.folder)/tokenizer"

    static func all() throws -> [TokenizerGolden] {
        struct Document: Decodable { let prompts: [TokenizerGolden] }
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/golden.json"))
        return try JSONDecoder().decode(Document.self, from: data).prompts
    }
}

@Suite("The CLIP tokenizer", .watched)
struct TokenizerTests {
    /// The golden tokenizer's files with other special tokens.
    private func tokenizer(_ padding: String, normalizedMarks: Bool = false) throws -> BPETokenizer
    {
        let folder = try TemporaryFolder()
        for name in ["vocab.json", "merges.txt"] {
            try FileManager.default.copyItem(
                atPath: "\(TokenizerGolden.folder)/\(name)", toPath: "\(folder.path)/\(name)")
        }
        func mark(_ text: String) -> String {
            normalizedMarks
                ? #"{"__type":"AddedToken","content":"\#(text)","normalized":true}"# : "\"\(text)\""
        }
        let end = mark("<|endoftext|>")
        try folder.write(
            #"{"bos_token":\#(mark("<|startoftext|>")),"eos_token":\#(end),"unk_token":\#(end),"#
                + #""pad_token":"\#(padding)"}"#, "tokenizer_config.json")
        return try BPETokenizer(folder: folder.path)
    }

    private func answer(_ tokenizer: BPETokenizer, _ text: String) -> TokenizerGolden.Answer {
        let prompt = tokenizer.tokenize(text, length: 77)
        #expect(prompt.ids.count == 77)
        let padding = tokenizer.tokenize("", length: 77).ids[76]
        var ids = prompt.ids
        while ids.count > 1, ids[ids.count - 1] == padding, ids[ids.count - 2] == padding {
            ids.removeLast()
        }
        return TokenizerGolden.Answer(ids: ids, cut: prompt.cut)
    }

    @Test("every golden text gives transformers' ids and cut, with each set of special tokens")
    func goldens() throws {
        let goldens = try TokenizerGolden.all()
        #expect(goldens.count >= 60)
        let end = try tokenizer("<|endoftext|>")
        let bang = try tokenizer("!")
        let marks = try tokenizer("!", normalizedMarks: true)
        for golden in goldens {
            #expect(answer(end, golden.text) == golden.end, "\(golden.text.prefix(60))")
            #expect(answer(bang, golden.text) == golden.bang, "\(golden.text.prefix(60))")
            #expect(answer(marks, golden.text) == golden.marks, "\(golden.text.prefix(60))")
        }
    }

    @Test("the special tokens may stand in special_tokens_map.json or in neither file")
    func specialTokensMap() throws {
        let folder = try TemporaryFolder()
        for name in ["vocab.json", "merges.txt"] {
            try FileManager.default.copyItem(
                atPath: "\(TokenizerGolden.folder)/\(name)", toPath: "\(folder.path)/\(name)")
        }
        let plain = try BPETokenizer(folder: folder.path)
        let ends = plain.tokenize("", length: 4).ids
        #expect(ends[1] == ends[3] && ends[0] + 1 == ends[1])
        try folder.write(
            #"{"pad_token":{"content":"!","normalized":false}}"#, "special_tokens_map.json")
        #expect(try BPETokenizer(folder: folder.path).tokenize("", length: 4).ids[3] == 0)
        try folder.write(#"{"pad_token":"absent"}"#, "special_tokens_map.json")
        expectError("pad_token", "absent") { _ = try BPETokenizer(folder: folder.path) }
        try folder.write(#"{"pad_token":7}"#, "special_tokens_map.json")
        expectError("pad_token", "7") { _ = try BPETokenizer(folder: folder.path) }
    }

    @Test("a hostile prompt of 100 kB is an ordinary prompt")
    func longPrompts() throws {
        let tokenizer = try tokenizer("<|endoftext|>")
        for (unit, size) in [
            ("the sun! ", 100_000), ("a", 20_000), ("ba", 5000), ("!?", 5000), ("<|", 5000),
            ("\u{301}", 5000),
            ("😀", 5000), ("\u{0} ", 5000),
        ] {
            let text = String(repeating: unit, count: size / unit.utf8.count)
            let prompt = tokenizer.tokenize(text, length: 77)
            #expect(prompt.ids.count == 77)
            #expect(prompt.cut != nil)
        }
    }

    @Test("merges happen by rank and from the left, as a plain loop would do them")
    func mergeOrder() throws {
        let vocabulary = try BPEVocabulary(folder: TokenizerGolden.folder)
        let letters = Array("abnlh")
        for seed in 0..<200 {
            var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
            let count = 1 + seed % 23
            let symbols = (0..<count).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1
                return vocabulary.id(of: String(letters[Int(state >> 33) % letters.count])) ?? 0
            }
            let merged = BPEMerger(symbols: symbols, vocabulary: vocabulary).merged()
            #expect(merged == naive(symbols, vocabulary))
        }
    }

    private func naive(_ symbols: [Int], _ vocabulary: BPEVocabulary) -> [Int] {
        var symbols = symbols
        while true {
            let merges = symbols.indices.dropLast().compactMap { position in
                vocabulary.merge(symbols[position], symbols[position + 1]).map { ($0, position) }
            }
            guard
                let (merge, position) = merges.min(by: {
                    ($0.0.rank, $0.1) < ($1.0.rank, $1.1)
                })
            else { return symbols }
            symbols.replaceSubrange(position...(position + 1), with: [merge.result])
        }
    }

    @Test("malformed files are errors that say where")
    func malformed() throws {
        func refused(vocabulary: String, merges: String, _ parts: String...) throws {
            let folder = try TemporaryFolder()
            try folder.write(vocabulary, "vocab.json")
            try folder.write(merges, "merges.txt")
            do {
                _ = try BPETokenizer(folder: folder.path)
                Issue.record("accepted")
            } catch {
                for part in parts { #expect("\(error)".contains(part), "\(error)") }
            }
        }
        let good = #"{"a":0,"b":1,"ab":2,"<|startoftext|>":3,"<|endoftext|>":4}"#
        try refused(vocabulary: "[]", merges: "", "vocab.json", "token to id")
        try refused(vocabulary: #"{"a":"x"}"#, merges: "", "vocab.json", "token \"a\"")
        try refused(vocabulary: #"{"a":-1}"#, merges: "", "-1")
        try refused(vocabulary: #"{"a":1,"b":1}"#, merges: "", "id 1")
        try refused(vocabulary: #"{"a":1}"#, merges: "", "<|endoftext|>")
        try refused(vocabulary: #"{"<|endoftext|>":1}"#, merges: "", "bos_token")
        try refused(vocabulary: good, merges: "#version: 0.2\na b\na b c\n", "line 3")
        try refused(vocabulary: good, merges: "a c\n", "line 1", "c")
        let folder = try TemporaryFolder()
        try folder.write(good, "vocab.json")
        expectError("merges.txt", "missing") { _ = try BPETokenizer(folder: folder.path) }
        try folder.write([0xFF, 0x0A], "merges.txt")
        expectError("merges.txt", "UTF-8") { _ = try BPETokenizer(folder: folder.path) }
        try folder.write("a b\r\n\n", "merges.txt")
        #expect(try BPETokenizer(folder: folder.path).encode("ab") == [0, 4])
    }
}

/// What transformers and diffusers made of texts with added tokens; see make_fixtures.py.
private struct AddedTokensGolden: Decodable {
    struct Answer: Decodable {
        let ids: [Int]
        let expanded: String
    }

    struct Prompt: Decodable {
        let text: String
        let decoder: Answer
        let list: Answer
        let saved: Answer
    }

    let list: [String: Int]
    let answers: [Prompt]

    static func read() throws -> AddedTokensGolden {
        try JSONDecoder().decode(AddedTokensGolden.self, from: data)
    }

    static var data: Data {
        get throws {
            try Data(contentsOf: URL(fileURLWithPath: "\(TokenizerGolden.folder)/added.json"))
        }
    }

    /// A member of the file as JSON.
    static func json(_ key: String) throws -> String {
        let document = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        let value = try #require(document?[key])
        return String(decoding: try JSONSerialization.data(withJSONObject: value), as: UTF8.self)
    }
}

@Suite("Tokens that were added to a vocabulary", .watched)
struct AddedTokenTests {
    /// The ways in which versions of transformers have written them.
    enum Layout: CaseIterable { case decoder, list, saved }

    private func folder(_ layout: Layout) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        func copy(_ name: String, to place: String) throws {
            try FileManager.default.copyItem(
                atPath: "\(TokenizerGolden.folder)/\(name)", toPath: "\(folder.path)/\(place)")
        }
        guard layout != .saved else {
            try copy("saved/tokenizer.json", to: "tokenizer.json")
            return folder
        }
        for name in ["vocab.json", "merges.txt"] { try copy(name, to: name) }
        if layout == .list {
            try folder.write(AddedTokensGolden.json("list"), "added_tokens.json")
        } else {
            try folder.write(
                #"{"added_tokens_decoder": \#(AddedTokensGolden.json("decoder"))}"#,
                "tokenizer_config.json")
        }
        return folder
    }

    @Test("give transformers' ids and diffusers' vectors", arguments: Layout.allCases)
    func goldens(_ layout: Layout) throws {
        let folder = try folder(layout)
        let tokenizer = try BPETokenizer(folder: folder.path)
        let golden = try AddedTokensGolden.read()
        #expect(golden.answers.count >= 20)
        for prompt in golden.answers {
            let answer =
                switch layout {
                case .decoder: prompt.decoder
                case .list: prompt.list
                case .saved: prompt.saved
                }
            #expect(tokenizer.encode(prompt.text) == answer.ids, "\(prompt.text.prefix(60))")
            #expect(tokenizer.expanded(prompt.text) == answer.expanded)
        }
        #expect(tokenizer.maximumID == golden.list.values.max())
        #expect(
            tokenizer.tokenize("the <cat> the sun", length: 3).cut == "<cat>the sun",
            "what is cut is spelt as the tokens are")
    }

    @Test(
        "without an id come after all others, in their order",
        arguments: ["tokenizer_config.json", "special_tokens_map.json"])
    func additional(file: String) throws {
        let folder = try folder(.list)
        let last = try BPETokenizer(folder: folder.path).maximumID
        try folder.write(
            #"{"additional_special_tokens": ["<Sun>", {"content": "<moon>"}, "<cat>", "a</w>"]}"#,
            file)
        let tokenizer = try BPETokenizer(folder: folder.path)
        #expect(tokenizer.maximumID == last + 2)
        #expect(tokenizer.encode("<moon><Sun>") == [last + 2, last + 1])
        try folder.write(#"{"additional_special_tokens": [7]}"#, file)
        expectError("additional_special_tokens", "list of tokens") {
            _ = try BPETokenizer(folder: folder.path)
        }
        try folder.write(#"{"additional_special_tokens": ["<Sun>"]}"#, file)
        try folder.write(#"{"<cat>": 900000}"#, "added_tokens.json")
        expectError("<Sun>", "added_tokens.json", "gaps") {
            _ = try BPETokenizer(folder: folder.path)
        }
    }

    @Test("that the text encoder's table does not reach are refused by name")
    func beyondTheTable() throws {
        let folder = try folder(.decoder)
        let tokenizer = try BPETokenizer(folder: folder.path)
        try tokenizer.checkFits(rows: tokenizer.maximumID + 1, folder: folder.path)
        expectError("two words", "\(tokenizer.maximumID)", "rows") {
            try tokenizer.checkFits(rows: tokenizer.maximumID, folder: folder.path)
        }
    }

    @Test(
        "that contradict other files are refused",
        arguments: [
            (#"{"<cat>": 0}"#, "id 0 belongs to two tokens"),
            (#"{"<cat>": 700, "<dog>": 700}"#, "id 700 belongs to two tokens"),
            (#"{"<cat>": -1}"#, "an id"), (#"{"<cat>": "x"}"#, "an id"),
            (#"{"<|endoftext|>": 700}"#, "id 700 belongs to two tokens"),
        ])
    func contradictions(list: String, mention: String) throws {
        let folder = try folder(.list)
        try folder.write(list, "added_tokens.json")
        expectError(mention) { _ = try BPETokenizer(folder: folder.path) }
    }
}
