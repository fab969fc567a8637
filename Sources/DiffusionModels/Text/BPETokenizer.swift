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

    let vocabulary: BPEVocabulary
    private let specials: SpecialTokens

    /// Reads `vocab.json`, `merges.txt` and, where they are, `tokenizer_config.json` and
    /// `special_tokens_map.json`. Throws ``WeightsError`` naming file and line.
    package init(folder: String) throws(WeightsError) {
        vocabulary = try BPEVocabulary(folder: folder)
        specials = try SpecialTokens(folder: folder, vocabulary: vocabulary)
    }

    /// The highest token id there is; the text encoder's table must reach it.
    package var maximumID: Int { vocabulary.maximumID }

    /// Throws ``WeightsError/malformed(path:reason:)`` unless every id is a row of the text
    /// encoder's table; `folder` is the tokenizer's, for the error's path.
    func checkFits(rows: Int, folder: String) throws(WeightsError) {
        guard maximumID < rows else {
            throw .malformed(
                path: "\(folder)/vocab.json",
                reason: "it has the id \(maximumID), and the text encoder's table has \(rows) "
                    + "rows")
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
        for part in specials.split(text, normalized: false) {
            guard case .text(let raw) = part else {
                ids.append(part.id)
                continue
            }
            for part in specials.split(CLIPText.normalized(raw), normalized: true) {
                guard case .text(let clean) = part else {
                    ids.append(part.id)
                    continue
                }
                for word in CLIPText.words(clean) { ids += vocabulary.encode(word) }
            }
        }
        return ids
    }

    /// The text that ids stand for, words separated by spaces.
    func decode(_ ids: some Sequence<Int>) -> String {
        CLIPText.trimmed(vocabulary.decode(ids))
    }
}
