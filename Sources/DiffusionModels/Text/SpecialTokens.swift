/// The tokens that are matched whole in a prompt's text, and those that frame it.
///
/// transformers matches every special token in the text, the padding token too: SDXL's second
/// tokenizer pads with "!", so that an exclamation mark in a prompt becomes the padding's id.
struct SpecialTokens: Sendable {
    /// A piece of a text: plain, or one special token.
    enum Part: Equatable {
        case text(String)
        case token(Int)

        var id: Int {
            guard case .token(let id) = self else {
                preconditionFailure("only a token has an id")
            }
            return id
        }
    }

    private struct Token: Sendable {
        let content: String
        let id: Int
        /// Looked for in the normalised text instead of the raw one.
        let isNormalized: Bool
    }

    let beginning: Int
    let end: Int
    let padding: Int
    /// Longest first, so that the longest match at a place wins.
    private let tokens: [Token]

    init(folder: String, vocabulary: BPEVocabulary) throws(WeightsError) {
        var contents: [String: Bool] = [:]
        var role: [String: String] = [:]
        for name in ["tokenizer_config.json", "special_tokens_map.json"]
        where fileExists("\(folder)/\(name)") {
            let fields = try ConfigurationFields(
                path: "\(folder)/\(name)", adviceWhenMissing: "check the path")
            for key in ["bos_token", "eos_token", "unk_token", "pad_token"]
            where role[key] == nil {
                guard let token = try Self.token(key, fields) else { continue }
                role[key] = token.content
                contents[token.content] = token.isNormalized
            }
            for token in try Self.addedTokens(fields) {
                contents[token.content] = token.isNormalized
            }
        }
        func id(_ key: String, default standard: String) throws(WeightsError) -> Int {
            let content = role[key] ?? standard
            if contents[content] == nil { contents[content] = false }
            guard let id = vocabulary.id(of: content) else {
                throw .field(
                    path: "\(folder)/tokenizer_config.json", field: key,
                    expected: "a token of vocab.json", found: "\"\(content.prefix(80))\"")
            }
            return id
        }
        beginning = try id("bos_token", default: "<|startoftext|>")
        end = try id("eos_token", default: "<|endoftext|>")
        padding = try id("pad_token", default: "<|endoftext|>")
        _ = try id("unk_token", default: "<|endoftext|>")
        tokens = contents.compactMap { content, isNormalized in
            vocabulary.id(of: content).map {
                Token(content: content, id: $0, isNormalized: isNormalized)
            }
        }.sorted { ($0.content.count, $0.content) > ($1.content.count, $1.content) }
    }

    /// A token given as a text, or as an object with `content` and `normalized`.
    private static func token(
        _ key: String,
        _ fields: ConfigurationFields
    ) throws(WeightsError) -> (content: String, isNormalized: Bool)? {
        switch fields.value(key) {
        case nil: return nil
        case .string(let content)? where !content.isEmpty: return (content, false)
        case .object(let object)?:
            return try token(
                ConfigurationFields(path: fields.path, object: object), named: key)
        default: throw fields.error(key, expected: "a token")
        }
    }

    private static func token(
        _ fields: ConfigurationFields,
        named key: String
    ) throws(WeightsError) -> (content: String, isNormalized: Bool) {
        let content = try fields.string("content")
        guard !content.isEmpty else { throw fields.error("content", expected: "a token") }
        try fields.requireNeutral([("single_word", false)])
        return (content, try fields.bool("normalized", default: false))
    }

    /// `added_tokens_decoder` of newer files: the flags of tokens by id.
    private static func addedTokens(
        _ fields: ConfigurationFields
    ) throws(WeightsError) -> [(content: String, isNormalized: Bool)] {
        guard case .object(let added)? = fields.value("added_tokens_decoder") else { return [] }
        var tokens: [(content: String, isNormalized: Bool)] = []
        for id in added.keys {
            guard case .object(let object)? = added[id] else {
                throw fields.error("added_tokens_decoder", expected: "an object of tokens")
            }
            tokens.append(
                try token(ConfigurationFields(path: fields.path, object: object), named: id))
        }
        return tokens
    }

    /// Cuts the special tokens out of a text; of two that match at one place the longer wins.
    func split(_ text: String, normalized: Bool) -> [Part] {
        let candidates = tokens.filter { $0.isNormalized == normalized }
            .map { ($0.id, Array($0.content.unicodeScalars)) }
        guard !candidates.isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        let scalars = Array(text.unicodeScalars)
        var parts: [Part] = []
        var plain = String.UnicodeScalarView()
        var position = 0
        while position < scalars.count {
            let match = candidates.first { _, content in
                scalars[position] == content[0] && scalars[position...].starts(with: content)
            }
            if let (id, content) = match {
                if !plain.isEmpty { parts.append(.text(String(plain))) }
                plain = String.UnicodeScalarView()
                parts.append(.token(id))
                position += content.count
            } else {
                plain.append(scalars[position])
                position += 1
            }
        }
        if !plain.isEmpty { parts.append(.text(String(plain))) }
        return parts
    }
}
