/// A CLIP tokenizer made by rule: every byte, every byte at the end of a word, a few merges and
/// the two marks. It takes any text, in more tokens than a learned one would.
struct SyntheticTokenizer: Sendable {
    /// Merged in this order; later ones build on earlier ones.
    static let merges = [
        ("t", "h"), ("th", "e</w>"), ("i", "n"), ("a", "n"), ("o", "n</w>"), ("e", "r"),
        ("a", "t</w>"), ("u", "n"), ("l", "a"), ("la", "k"), ("lak", "e</w>"),
        ("m", "o"), ("an", "d</w>"), ("e", "d</w>"), ("in", "g</w>"),
    ]

    /// Ids of the marks; nil puts them behind the other tokens, as CLIP does.
    let firstMarkID: Int?
    /// `<|endoftext|>` for the first encoder, `!` for SDXL's second.
    let padding: String
    /// Tokens per prompt, the two marks included.
    var length = 77

    /// Tokens in vocabulary order, without the marks.
    static var tokens: [String] {
        let bytes = ByteAlphabet.vocabularyOrder.map { byte in
            String(Character(ByteAlphabet.characters[Int(byte)]))
        }
        return bytes + bytes.map { $0 + BPEVocabulary.endOfWord } + merges.map { $0.0 + $0.1 }
    }

    /// Size of the vocabulary when the marks follow the other tokens.
    static var vocabularySize: Int { tokens.count + 2 }

    /// The files of the tokenizer's folder, by name.
    var files: [(name: String, text: String)] {
        var vocabulary = JSONObject()
        for (id, token) in Self.tokens.enumerated() {
            precondition(vocabulary.insert(.integer(id), for: token), "tokens differ")
        }
        let first = firstMarkID ?? Self.tokens.count
        for (offset, mark) in ["<|startoftext|>", "<|endoftext|>"].enumerated() {
            precondition(vocabulary.insert(.integer(first + offset), for: mark), "tokens differ")
        }
        let merges = Self.merges.map { "\($0.0) \($0.1)\n" }.joined()
        let specials: JSONObject = [
            "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>", "pad_token": .string(padding),
        ]
        var configuration: JSONObject = [
            "tokenizer_class": "CLIPTokenizer", "model_max_length": .integer(length),
            "do_lower_case": true,
        ]
        for key in specials.keys {
            precondition(configuration.insert(specials[key] ?? nil, for: key), "keys differ")
        }
        return [
            ("vocab.json", JSONValue.object(vocabulary).text),
            ("merges.txt", "#version: 0.2\n" + merges),
            ("tokenizer_config.json", JSONValue.object(configuration).indentedText),
            ("special_tokens_map.json", JSONValue.object(specials).indentedText),
        ]
    }
}
