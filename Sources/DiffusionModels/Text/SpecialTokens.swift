internal import Tensors

/// The tokens that are matched whole in a prompt's text, and those that frame it: marks, and what
/// was added to the vocabulary, such as the tokens of a textual inversion.
///
/// transformers matches every special token in the text, the padding token too: SDXL's second
/// tokenizer pads with "!", so that an exclamation mark in a prompt becomes the padding's id.
struct SpecialTokens: Sendable {
    /// A piece of a text: plain, or one token and how the text spells it.
    enum Part: Equatable {
        case text(String)
        case token(Int, spelling: String)
    }

    private struct Token: Sendable {
        let id: Int
        let flags: AddedToken
        /// What is looked for.
        let scalars: [Unicode.Scalar]

        init(id: Int, flags: AddedToken) {
            self.id = id
            self.flags = flags
            let text = flags.isNormalized ? CLIPText.normalized(flags.content) : flags.content
            scalars = Array(text.unicodeScalars)
        }
    }

    let beginning: Int
    let end: Int
    let padding: Int
    /// By id, those that the vocabulary does not have.
    let added: [Int: String]
    /// How their files write them.
    private let contents: Set<String>
    /// Longest first, so that the longest match at a place wins.
    private let tokens: [Token]

    init(folder: String, vocabulary: BPEVocabulary) throws(WeightsError) {
        let files = try AddedTokens(folder: folder)
        var known = try Self.numbered(files, folder: folder, vocabulary: vocabulary)
        func id(_ key: String, default standard: String) throws(WeightsError) -> Int {
            let content = files.roles[key] ?? standard
            if known[content] == nil { known[content] = AddedToken(content: content) }
            guard let id = vocabulary.id(of: content) ?? known[content]?.id else {
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
        var tokens: [Token] = []
        var added: [Int: String] = [:]
        for flags in known.values {
            let own = vocabulary.id(of: flags.content)
            guard let id = own ?? flags.id else { continue }
            let other = own == nil ? vocabulary.token(of: id) ?? added[id] : nil
            guard id == flags.id ?? id, other == nil else {
                throw .addedToken(
                    path: folder, token: flags.content,
                    reason: "id \(flags.id ?? id) belongs to two tokens")
            }
            if own == nil { added[id] = flags.content }
            tokens.append(Token(id: id, flags: flags))
        }
        self.added = added
        contents = Set(tokens.map(\.flags.content))
        self.tokens = tokens.filter { !$0.scalars.isEmpty }
            .sorted { ($0.scalars.count, $1.id) > ($1.scalars.count, $0.id) }
    }

    /// The tokens of the files, those of `additional_special_tokens` without an id after all
    /// others, as transformers appends them. Its ids are counts: where ids have gaps, its versions
    /// do not agree. Throws ``WeightsError``.
    private static func numbered(
        _ files: AddedTokens, folder: String, vocabulary: BPEVocabulary
    ) throws(WeightsError) -> [String: AddedToken] {
        var tokens = files.tokens
        let added = tokens.values.filter { vocabulary.id(of: $0.content) == nil }.compactMap(\.id)
        var next = added.reduce(vocabulary.maximumID, max) + 1
        let hasGaps = next != vocabulary.count + added.count
        for content in files.additional
        where vocabulary.id(of: content) == nil && tokens[content]?.id == nil {
            guard !hasGaps else {
                throw .addedToken(
                    path: folder, token: content,
                    reason: "additional_special_tokens has it, no file its id, and the ids of the "
                        + "others have gaps; write it into added_tokens.json with its id")
            }
            tokens[content]?.id = next
            next += 1
        }
        return tokens
    }

    /// Adds what the vocabulary's own files do not say.
    func add(to hash: inout Fingerprinter) {
        for token in tokens.sorted(by: { $0.id < $1.id }) where added[token.id] != nil {
            hash.add(token.id)
            hash.add(token.flags.content)
            hash.add(token.flags.isNormalized ? 1 : 0)
        }
    }

    /// Cuts the special tokens out of a text; of two that match at one place the longer wins.
    func split(_ text: String, normalized: Bool) -> [Part] {
        let candidates = tokens.filter { $0.flags.isNormalized == normalized }
        guard !candidates.isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        let scalars = Array(text.unicodeScalars)
        var parts: [Part] = []
        var plain: [Unicode.Scalar] = []
        var position = 0
        while position < scalars.count {
            let match = candidates.first { token in
                scalars[position] == token.scalars[0]
                    && scalars[position...].starts(with: token.scalars)
            }
            guard let match else {
                plain.append(scalars[position])
                position += 1
                continue
            }
            position += match.scalars.count
            var spelling = match.scalars
            if match.flags.stripsLeft {
                let spaces = plain.suffix(while: { $0.properties.isWhitespace })
                spelling = spaces + spelling
                plain.removeLast(spaces.count)
            }
            if match.flags.stripsRight {
                let spaces = scalars[position...].prefix { $0.properties.isWhitespace }
                spelling += spaces
                position += spaces.count
            }
            if !plain.isEmpty { parts.append(.text(String(plain))) }
            plain = []
            parts.append(.token(match.id, spelling: String(spelling)))
        }
        if !plain.isEmpty { parts.append(.text(String(plain))) }
        return parts
    }

    /// The text of a prompt in which a token with several vectors, such as `<cat>` beside
    /// `<cat>_1` and `<cat>_2`, stands for all of them, as `maybe_convert_prompt` of diffusers
    /// 0.42.1 has it; `spellings` are of the tokens in the text. One that the text spells otherwise
    /// than its file, in capitals for instance, stays alone there and here.
    func expanded(_ text: String, spellings: [String]) -> String {
        var seen: Set<String> = []
        var result = text
        for token in spellings where contents.contains(token) && seen.insert(token).inserted {
            var vectors = [token]
            while contents.contains("\(token)_\(vectors.count)") {
                vectors.append("\(token)_\(vectors.count)")
            }
            guard vectors.count > 1 else { continue }
            let bytes = Array(result.utf8).replacing(
                Array(token.utf8), with: Array(vectors.joined(separator: " ").utf8))
            result = String(decoding: bytes, as: UTF8.self)
        }
        return result
    }
}

extension String {
    fileprivate init(_ scalars: some Sequence<Unicode.Scalar>) {
        var view = UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}

extension Array {
    /// The longest end of which every element satisfies `belongs`.
    fileprivate func suffix(while belongs: (Element) -> Bool) -> ArraySlice<Element> {
        let start = lastIndex { !belongs($0) }.map { $0 + 1 } ?? startIndex
        return self[start...]
    }
}
