/// Where the files of a synthesized model's tokenizer come from.
enum TokenizerSource: Sendable {
    /// One file of a tokenizer's folder.
    struct File: Equatable, Sendable {
        let name: String
        let bytes: [UInt8]
    }

    /// Made by rule.
    case synthetic(SyntheticTokenizer)
    /// Taken from another model.
    case copied([File])

    /// Every file of the tokenizer's folder.
    var files: [File] {
        switch self {
        case .synthetic(let tokenizer):
            tokenizer.files.map { File(name: $0.name, bytes: Array($0.text.utf8)) }
        case .copied(let files): files
        }
    }
}

extension TokenizerSource {
    private static let optional = [
        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    ]

    /// Copies the tokenizer in `folder` when its vocabulary is there; makes one up otherwise, for
    /// the text encoder described by `encoder` and with `padding`.
    ///
    /// Throws ``WeightsError``: the tokenizer in the folder is damaged or larger than the
    /// encoder's table, or there is none and the one made up does not fit the encoder.
    init(
        folder: String,
        encoder: ConfigurationFields,
        padding: String
    ) throws(WeightsError) {
        let configuration = try CLIPTextConfiguration(fields: encoder)
        let required = BPETokenizer.vocabularyFiles(in: folder)
        if required.allSatisfy({ fileExists("\(folder)/\($0)") }) {
            self = try .copied(Self.files(of: folder, rows: configuration.vocabularySize))
        } else {
            self = .synthetic(
                SyntheticTokenizer(
                    firstMarkID: try Self.firstMarkID(configuration, encoder, missing: folder),
                    padding: padding, length: configuration.positions))
        }
    }

    /// The files of a tokenizer that works.
    private static func files(of folder: String, rows: Int) throws(WeightsError) -> [File] {
        try BPETokenizer(folder: folder).checkFits(rows: rows, folder: folder)
        var files: [File] = []
        for name in BPETokenizer.vocabularyFiles(in: folder)
            + optional.filter({ fileExists("\(folder)/\($0)") })
        {
            let bytes = try readFile(
                "\(folder)/\(name)", limit: BPETokenizer.maximumFileBytes,
                adviceWhenMissing: "complete the tokenizer")
            files.append(File(name: name, bytes: bytes))
        }
        return files
    }

    /// The marks go where the encoder looks for the end of a prompt: at its end token, or, where
    /// that is 2, at the highest id (see ``CLIPTextConfiguration/endTokenID``).
    private static func firstMarkID(
        _ configuration: CLIPTextConfiguration,
        _ encoder: ConfigurationFields,
        missing folder: String
    ) throws(WeightsError) -> Int {
        let rows = configuration.vocabularySize
        let least = SyntheticTokenizer.vocabularySize
        let alternative = "or vocab.json and merges.txt in \(folder)"
        guard rows >= least else {
            throw encoder.error("vocab_size", expected: "at least \(least), \(alternative)")
        }
        let end = configuration.endTokenID == 2 ? rows - 1 : configuration.endTokenID
        guard (least - 1..<rows).contains(end) else {
            throw encoder.error(
                "eos_token_id", expected: "2 or \(least - 1) to \(rows - 1), \(alternative)")
        }
        return end - 1
    }
}
