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

    /// The id of a token, given as the file spells it.
    func id(of token: String) -> Int? { ids[token] }

    init(folder: String) throws(WeightsError) {
        let path = "\(folder)/vocab.json"
        ids = try Self.readVocabulary(path)
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
        merges = try Self.readMerges("\(folder)/merges.txt", ids: ids)
        byteIDs = ByteAlphabet.characters.map { [ids] in ids[String(Character($0))] }
        endByteIDs = ByteAlphabet.characters.map { [ids] in
            ids[String(Character($0)) + Self.endOfWord]
        }
    }

    private static func readVocabulary(_ path: String) throws(WeightsError) -> [String: Int] {
        let bytes = try readFile(
            path, limit: BPETokenizer.maximumFileBytes,
            adviceWhenMissing: "complete the model folder: a tokenizer has vocab.json and "
                + "merges.txt")
        guard case .object(let object) = try parseJSON(bytes, path: path) else {
            throw .malformed(path: path, reason: "expected an object from token to id")
        }
        var ids: [String: Int] = [:]
        for token in object.keys {
            guard case .integer(let id)? = object[token], (0..<10_000_000).contains(id) else {
                throw .malformed(
                    path: path,
                    reason: "token \"\(token.prefix(80))\": expected an id from 0, found "
                        + (object[token]?.kind ?? "nothing"))
            }
            ids[token] = id
        }
        return ids
    }

    private static func readMerges(
        _ path: String,
        ids: [String: Int]
    ) throws(WeightsError) -> [Pair: Merge] {
        let bytes = try readFile(
            path, limit: BPETokenizer.maximumFileBytes,
            adviceWhenMissing: "complete the model folder: a tokenizer has vocab.json and "
                + "merges.txt")
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
            let (left, right) = (String(parts[0]) ?? "", String(parts[1]) ?? "")
            guard let leftID = ids[left], let rightID = ids[right], let result = ids[left + right]
            else {
                throw .malformed(
                    path: path,
                    reason: "line \(index + 1): \(left), \(right) or what they make is not in "
                        + "vocab.json")
            }
            merges[Pair(left: leftID, right: rightID)] = Merge(rank: merges.count, result: result)
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
    func decode(_ ids: some Sequence<Int>) -> String {
        var bytes: [UInt8] = []
        for id in ids {
            let token = tokens[id] ?? ""
            let endsWord = token.hasSuffix(Self.endOfWord)
            let spelling = endsWord ? token.dropLast(Self.endOfWord.count) : token[...]
            bytes += spelling.unicodeScalars.compactMap { ByteAlphabet.bytes[$0] }
            if endsWord { bytes.append(UInt8(ascii: " ")) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
