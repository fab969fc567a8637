internal import Tensors

/// A prompt as a text encoder takes it.
package struct TokenizedPrompt: Equatable, Sendable {
    /// Beginning, text, end and padding: always as many as were asked for.
    package let ids: [Int]
    /// The end of the text that had no room, as the tokenizer spells it; nil when all fitted.
    package let cut: String?
}

/// CLIP's byte-level BPE (Radford et al. 2021, arXiv 2103.00020, section 2.4), as transformers'
/// `CLIPTokenizer` has it: canonical composition, white space to one space, lower case, a split
/// into words, and merges of byte pairs by rank inside each word.
package struct BPETokenizer: Sendable {
    /// Longest `vocab.json` or `merges.txt` accepted.
    static let maximumFileBytes = 1 << 26

    /// When there is no vocabulary.
    static let advice =
        "complete the model folder: a tokenizer has vocab.json and merges.txt, or tokenizer.json"

    /// The files in `folder` that hold the vocabulary: transformers 5 writes `tokenizer.json`
    /// alone.
    static func vocabularyFiles(in folder: String) -> [String] {
        !fileExists("\(folder)/vocab.json") && fileExists("\(folder)/tokenizer.json")
            ? ["tokenizer.json"] : ["vocab.json", "merges.txt"]
    }

    let vocabulary: BPEVocabulary
    private let specials: SpecialTokens

    /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json`, and what stands beside them: see
    /// ``AddedTokens``. Throws ``WeightsError`` naming file and line.
    package init(folder: String) throws(WeightsError) {
        vocabulary = try BPEVocabulary(folder: folder)
        specials = try SpecialTokens(folder: folder, vocabulary: vocabulary)
    }

    /// The highest token id there is; the text encoder's table must reach it.
    package var maximumID: Int {
        specials.added.keys.reduce(vocabulary.maximumID) { max($0, $1) }
    }

    /// Throws ``WeightsError`` unless every id is a row of the text encoder's table; `folder` is
    /// the tokenizer's, for the error's path.
    func checkFits(rows: Int, folder: String) throws(WeightsError) {
        guard vocabulary.maximumID < rows else {
            throw .malformed(
                path: "\(folder)/\(Self.vocabularyFiles(in: folder)[0])",
                reason: "it has the id \(vocabulary.maximumID), and the text encoder's table has "
                    + "\(rows) rows")
        }
        let beyond = specials.added.filter { $0.key >= rows }
        if let (id, token) = beyond.min(by: { $0.key < $1.key }) {
            throw .addedToken(
                path: folder, token: token,
                reason: "expected an id that the text encoder's table of \(rows) rows has (was "
                    + "the text encoder saved with the tokenizer?), found \(id)")
        }
    }

    /// The ids of a prompt, padded or cut to `length` ≥ 2. Any text is a prompt.
    package func tokenize(_ text: String, length: Int) -> TokenizedPrompt {
        precondition(length >= 2, "a prompt has at least its beginning and its end")
        let ids = encode(text)
        let kept = ids.prefix(length - 2)
        let padding = Array(repeating: specials.padding, count: length - 2 - kept.count)
        return TokenizedPrompt(
            ids: [specials.beginning] + kept + [specials.end] + padding,
            cut: kept.count < ids.count ? decode(ids[kept.count...]) : nil
        )
    }

    /// The ids of a text alone, all of them.
    func encode(_ text: String) -> [Int] {
        var ids: [Int] = []
        for part in parts(of: text) {
            switch part {
            case .token(let id, _): ids.append(id)
            case .text(let clean):
                for word in CLIPText.words(clean) { ids += vocabulary.encode(word) }
            }
        }
        return ids
    }

    /// Special tokens, and the normalised text between them.
    private func parts(of text: String) -> [SpecialTokens.Part] {
        specials.split(text, normalized: false).flatMap { part in
            guard case .text(let raw) = part else { return [part] }
            return specials.split(CLIPText.normalized(raw), normalized: true)
        }
    }

    /// The prompt with every vector of the textual inversions that it names; what pipelines hand
    /// to ``tokenize(_:length:)``.
    package func expanded(_ prompt: String) -> String {
        guard !specials.added.isEmpty else { return prompt }
        return specials.expanded(
            prompt,
            spellings: parts(of: prompt).compactMap { part in
                if case .token(_, let spelling) = part { spelling } else { nil }
            })
    }

    /// The text that ids stand for, words separated by spaces.
    func decode(_ ids: some Sequence<Int>) -> String {
        CLIPText.trimmed(vocabulary.decode(ids, added: specials.added))
    }

    /// Adds what the vocabulary's own files do not say about the tokens.
    func addSpecials(to hash: inout Fingerprinter) { specials.add(to: &hash) }
}
