/// Tokens, their ids and the merges, from `vocab.json` and `merges.txt`.
struct BPEVocabulary: Sendable {
    /// Marks a token that ends a word.
    static let endOfWord = "</w>"

    struct Merge: Sendable {
        let rank: Int
        let result: Int
    }

    private struct Pair: Hashable, Sendable {
        let left: Int
        let right: Int
    }

    let maximumID: Int
    private let ids: [String: Int]
    private let tokens: [Int: String]
    private let merges: [Pair: Merge]
    /// Ids of each byte alone, inside a word and at its end; nil where the file lacks it.
    private let byteIDs: [Int?]
    private let endByteIDs: [Int?]
    /// Stands in for a byte that the file lacks.
    private let unknownID: Int

    /// How many tokens there are.
    var count: Int { ids.count }

    /// The id of a token, given as the file spells it.
    func id(of token: String) -> Int? { ids[token] }

    /// The token of an id, as the file spells it.
    func token(of id: Int) -> String? { tokens[id] }

    init(folder: String) throws(WeightsError) {
        let names = BPETokenizer.vocabularyFiles(in: folder)
        let path = "\(folder)/\(names[0])"
        let isOneFile = names.count == 1
        let document =
            try isOneFile
            ? Self.model(in: readDocument(path, holding: "a tokenizer"))
            : readDocument(path, holding: "an object from token to id")
        ids = try Self.readVocabulary(
            isOneFile ? Self.object("vocab", of: document) : document)
        var tokens: [Int: String] = [:]
        for (token, id) in ids {
            guard tokens.updateValue(token, forKey: id) == nil else {
                throw .malformed(path: path, reason: "id \(id) belongs to two tokens")
            }
        }
        self.tokens = tokens
        maximumID = tokens.keys.max() ?? 0
        guard let unknown = ids["<|endoftext|>"] else {
            throw .malformed(path: path, reason: "token <|endoftext|> is missing")
        }
        unknownID = unknown
        merges =
            isOneFile
            ? try Self.readMerges(of: document, ids: ids)
            : try Self.readMerges("\(folder)/merges.txt", ids: ids)
        byteIDs = ByteAlphabet.characters.map { [ids] in ids[String(Character($0))] }
        endByteIDs = ByteAlphabet.characters.map { [ids] in
            ids[String(Character($0)) + Self.endOfWord]
        }
    }

    /// The object of that name.
    private static func object(
        _ key: String, of fields: ConfigurationFields
    ) throws(WeightsError) -> ConfigurationFields {
        guard case .object(let object)? = fields.value(key) else {
            throw fields.error(key, expected: "an object")
        }
        return ConfigurationFields(path: fields.path, object: object)
    }

    /// CLIP's own model in a `tokenizer.json`.
    private static func model(
        in document: ConfigurationFields
    ) throws(WeightsError) -> ConfigurationFields {
        let model = try object("model", of: document)
        guard try model.string("type", default: "BPE") == "BPE",
            try model.string("end_of_word_suffix", default: "") == endOfWord
        else {
            throw model.error(
                "type", expected: "BPE with words that end in \(endOfWord), as CLIP's")
        }
        return model
    }

    private static func readVocabulary(
        _ fields: ConfigurationFields
    ) throws(WeightsError) -> [String: Int] {
        var ids: [String: Int] = [:]
        for token in fields.object.keys {
            guard case .integer(let id)? = fields.object[token], (0..<10_000_000).contains(id)
            else {
                throw .malformed(
                    path: fields.path,
                    reason: "token \"\(token.prefix(80))\": expected an id from 0, found "
                        + (fields.object[token]?.kind ?? "nothing"))
            }
            ids[token] = id
        }
        return ids
    }

    /// The merges of a `tokenizer.json`: pairs, or in older files texts of two tokens.
    private static func readMerges(
        of model: ConfigurationFields, ids: [String: Int]
    ) throws(WeightsError) -> [Pair: Merge] {
        guard case .array(let entries)? = model.value("merges") else {
            throw model.error("merges", expected: "a list of pairs of tokens")
        }
        var merges: [Pair: Merge] = [:]
        for (index, entry) in entries.enumerated() {
            let parts: [String] =
                switch entry {
                case .array(let pair):
                    pair.compactMap { if case .string(let token) = $0 { token } else { nil } }
                case .string(let text):
                    text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
                        .compactMap { String($0) }
                default: []
                }
            let place = "merge \(index + 1)"
            guard parts.count == 2 else {
                throw .malformed(path: model.path, reason: "\(place): expected two tokens")
            }
            try add(parts[0], parts[1], to: &merges, ids: ids, at: place, of: model.path)
        }
        return merges
    }

    private static func add(
        _ left: String, _ right: String, to merges: inout [Pair: Merge], ids: [String: Int],
        at place: String, of path: String
    ) throws(WeightsError) {
        guard let leftID = ids[left], let rightID = ids[right], let result = ids[left + right]
        else {
            throw .malformed(
                path: path,
                reason: "\(place): \(left), \(right) or what they make is not in the vocabulary")
        }
        merges[Pair(left: leftID, right: rightID)] = Merge(rank: merges.count, result: result)
    }

    private static func readMerges(
        _ path: String,
        ids: [String: Int]
    ) throws(WeightsError) -> [Pair: Merge] {
        let bytes = try readFile(
            path, limit: BPETokenizer.maximumFileBytes, adviceWhenMissing: BPETokenizer.advice)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .malformed(path: path, reason: "it is not UTF-8")
        }
        var merges: [Pair: Merge] = [:]
        let lines = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            if line.isEmpty || line.starts(with: "#version".utf8) { continue }
            let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw .malformed(
                    path: path, reason: "line \(index + 1): expected two tokens and one space")
            }
            try add(
                String(parts[0]) ?? "", String(parts[1]) ?? "", to: &merges, ids: ids,
                at: "line \(index + 1)", of: path)
        }
        return merges
    }

    /// What merging two tokens gives, where that is allowed.
    func merge(_ left: Int, _ right: Int) -> Merge? {
        merges[Pair(left: left, right: right)]
    }

    /// The ids of one word: its bytes, merged.
    func encode(_ word: Substring.UnicodeScalarView) -> [Int] {
        let bytes = Array(Substring(word).utf8)
        let symbols = bytes.enumerated().map { index, byte in
            let table = index == bytes.count - 1 ? endByteIDs : byteIDs
            return table[Int(byte)] ?? unknownID
        }
        return BPEMerger(symbols: symbols, vocabulary: self).merged()
    }

    /// The text that ids stand for, a space after every word; what is no UTF-8 becomes U+FFFD.
    /// `added` are tokens that are not in here.
    func decode(_ ids: some Sequence<Int>, added: [Int: String]) -> String {
        var bytes: [UInt8] = []
        for id in ids {
            if let token = added[id] { bytes += token.utf8 }
            let token = tokens[id] ?? ""
            let endsWord = token.hasSuffix(Self.endOfWord)
            let spelling = endsWord ? token.dropLast(Self.endOfWord.count) : token[...]
            bytes += spelling.unicodeScalars.compactMap { ByteAlphabet.bytes[$0] }
            if endsWord { bytes.append(UInt8(ascii: " ")) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
