/// One token that is matched whole, as a tokenizer's files describe it.
struct AddedToken: Equatable, Sendable {
    let content: String
    /// Nil where the file leaves it to the vocabulary.
    var id: Int?
    /// Looked for in the normalised text instead of the raw one.
    var isNormalized = false
    /// Takes the white space before it along.
    var stripsLeft = false
    /// Takes the white space after it along.
    var stripsRight = false

    init(content: String, id: Int? = nil, isNormalized: Bool = false) {
        self.content = content
        self.id = id
        self.isNormalized = isNormalized
    }

    /// An object with `content` and flags; `key` is where it stands, for errors.
    init(_ fields: ConfigurationFields, id: Int? = nil) throws(WeightsError) {
        content = try fields.string("content")
        guard !content.isEmpty else { throw fields.error("content", expected: "a token") }
        try fields.requireNeutral([("single_word", false)])
        self.id = id
        isNormalized = try fields.bool("normalized", default: false)
        stripsLeft = try fields.bool("lstrip", default: false)
        stripsRight = try fields.bool("rstrip", default: false)
    }
}

/// The tokens that are matched whole, out of the files that transformers writes beside a
/// vocabulary: `tokenizer_config.json` (`added_tokens_decoder`), `special_tokens_map.json`,
/// `added_tokens.json` and `tokenizer.json`, any of which may be missing.
struct AddedTokens {
    /// Ids of the largest tables there are lie below.
    private static let largestID = 10_000_000

    private(set) var tokens: [String: AddedToken] = [:]
    /// What `bos_token`, `eos_token`, `unk_token` and `pad_token` are.
    private(set) var roles: [String: String] = [:]
    /// Those of `additional_special_tokens`, in their order. Without an id of their own they come
    /// after all other tokens.
    private(set) var additional: [String] = []

    init(folder: String) throws(WeightsError) {
        if fileExists("\(folder)/tokenizer.json") { try readTokenizer("\(folder)/tokenizer.json") }
        for name in ["tokenizer_config.json", "special_tokens_map.json"]
        where fileExists("\(folder)/\(name)") {
            try readConfiguration("\(folder)/\(name)")
        }
        if fileExists("\(folder)/added_tokens.json") {
            try readList("\(folder)/added_tokens.json")
        }
    }

    private mutating func readConfiguration(_ path: String) throws(WeightsError) {
        let fields = try ConfigurationFields(path: path, adviceWhenMissing: "check the path")
        for key in ["bos_token", "eos_token", "unk_token", "pad_token"] where roles[key] == nil {
            switch fields.value(key) {
            case nil: break
            case .string(let content)? where !content.isEmpty:
                roles[key] = content
                if tokens[content] == nil { tokens[content] = AddedToken(content: content) }
            case .object(let object)?:
                let token = try AddedToken(ConfigurationFields(path: path, object: object))
                roles[key] = token.content
                try insert(token, path: path)
            default: throw fields.error(key, expected: "a token")
            }
        }
        try readAdditional(fields)
        guard case .object(let added)? = fields.value("added_tokens_decoder") else { return }
        for key in added.keys {
            guard case .object(let object)? = added[key], let id = Self.id(Int(key)) else {
                throw fields.error("added_tokens_decoder", expected: "an object from id to token")
            }
            try insert(
                AddedToken(ConfigurationFields(path: path, object: object), id: id), path: path)
        }
    }

    private mutating func readAdditional(_ fields: ConfigurationFields) throws(WeightsError) {
        let key = "additional_special_tokens"
        guard let value = fields.value(key) else { return }
        guard case .array(let entries) = value else {
            throw fields.error(key, expected: "a list of tokens")
        }
        for entry in entries {
            let token: AddedToken
            switch entry {
            case .string(let content) where !content.isEmpty:
                token = tokens[content] ?? AddedToken(content: content)
            case .object(let object):
                token = try AddedToken(ConfigurationFields(path: fields.path, object: object))
            default: throw fields.error(key, expected: "a list of tokens")
            }
            try insert(token, path: fields.path)
            if !additional.contains(token.content) { additional.append(token.content) }
        }
    }

    /// From token to id; what an older version added without saying how it is looked for.
    private mutating func readList(_ path: String) throws(WeightsError) {
        let fields = try ConfigurationFields(path: path, adviceWhenMissing: "check the path")
        for content in fields.object.keys {
            guard case .integer(let number)? = fields.object[content], let id = Self.id(number),
                !content.isEmpty
            else { throw fields.error(content, expected: "an id") }
            var token = tokens[content] ?? AddedToken(content: content, isNormalized: true)
            token.id = token.id ?? id
            guard token.id == id else { throw fields.error(content, expected: "\(token.id ?? 0)") }
            tokens[content] = token
        }
    }

    private mutating func readTokenizer(_ path: String) throws(WeightsError) {
        let document = try readDocument(path, holding: "a tokenizer")
        guard case .array(let added)? = document.value("added_tokens") else { return }
        for entry in added {
            guard case .object(let object) = entry, case .integer(let number)? = object["id"],
                let id = Self.id(number)
            else { throw document.error("added_tokens", expected: "a list of tokens with ids") }
            try insert(
                AddedToken(ConfigurationFields(path: path, object: object), id: id), path: path)
        }
    }

    private mutating func insert(_ token: AddedToken, path: String) throws(WeightsError) {
        var token = token
        let before = tokens[token.content]?.id
        token.id = token.id ?? before
        guard before == nil || before == token.id else {
            throw .addedToken(
                path: path, token: token.content,
                reason: "it has the id \(token.id ?? 0), in another file \(before ?? 0)")
        }
        tokens[token.content] = token
    }

    private static func id(_ number: Int?) -> Int? {
        number.flatMap { (0..<largestID).contains($0) ? $0 : nil }
    }
}

/// A tokenizer's file that may be as large as a vocabulary.
func readDocument(
    _ path: String, holding what: String
) throws(WeightsError) -> ConfigurationFields {
    let bytes = try readFile(
        path, limit: BPETokenizer.maximumFileBytes, adviceWhenMissing: BPETokenizer.advice)
    guard case .object(let object) = try parseJSON(bytes, path: path) else {
        throw .malformed(path: path, reason: "expected \(what)")
    }
    return ConfigurationFields(path: path, object: object)
}
