/// The fields of one JSON configuration file, read one by one, each with its bounds; every error
/// names the file, the field, what was expected and what was found.
///
/// A field that is absent or null takes the default its library gives it (diffusers,
/// transformers), or is an error where there is none.
struct ConfigurationFields {
    let path: String
    let object: JSONObject

    init(path: String, object: JSONObject) {
        self.path = path
        self.object = object
    }

    /// Reads the file; throws ``WeightsError``.
    init(path: String, adviceWhenMissing advice: String) throws(WeightsError) {
        let bytes = try readFile(path, limit: 1 << 20, adviceWhenMissing: advice)
        guard case .object(let object) = try parseJSON(bytes, path: path) else {
            throw .malformed(path: path, reason: "expected a JSON object")
        }
        self.init(path: path, object: object)
    }

    /// The value, unless absent or null.
    func value(_ key: String) -> JSONValue? {
        guard let value = object[key], value != .null else { return nil }
        return value
    }

    func error(_ key: String, expected: String) -> WeightsError {
        .field(
            path: path, field: key, expected: expected, found: object[key]?.kind ?? "nothing")
    }

    func integer(
        _ key: String,
        in range: ClosedRange<Int>,
        default standard: Int? = nil
    ) throws(WeightsError) -> Int {
        if let standard, value(key) == nil { return standard }
        guard case .integer(let number)? = value(key), range.contains(number) else {
            throw error(
                key, expected: "a whole number, \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// One number for all `count` blocks, or a list of one per block.
    func integers(
        _ key: String,
        in range: ClosedRange<Int>,
        count: Int,
        default standard: Int? = nil
    ) throws(WeightsError) -> [Int] {
        guard case .array(let values)? = value(key) else {
            let number = try integer(key, in: range, default: standard)
            return Array(repeating: number, count: count)
        }
        var numbers: [Int] = []
        for value in values {
            guard case .integer(let number) = value, range.contains(number) else { break }
            numbers.append(number)
        }
        guard numbers.count == count, values.count == count else {
            throw error(
                key,
                expected: "one or \(count) whole numbers, \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
        return numbers
    }

    func number(
        _ key: String,
        in range: ClosedRange<Double>,
        default standard: Double? = nil
    ) throws(WeightsError) -> Double {
        if let standard, value(key) == nil { return standard }
        let number: Double
        switch value(key) {
        case .integer(let whole)?: number = Double(whole)
        case .number(let real)?: number = real
        default: number = .nan
        }
        guard range.contains(number) else {
            throw error(key, expected: "a number, \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// One number for each of `count` channels; nil where the file says nothing.
    func numbers(
        _ key: String,
        in range: ClosedRange<Double>,
        count: Int
    ) throws(WeightsError) -> [Double]? {
        guard let value = value(key) else { return nil }
        var numbers: [Double] = []
        if case .array(let values) = value {
            for value in values {
                switch value {
                case .integer(let whole): numbers.append(Double(whole))
                case .number(let real): numbers.append(real)
                default: numbers.append(.nan)
                }
            }
        }
        guard numbers.count == count, numbers.allSatisfy(range.contains) else {
            throw error(
                key, expected: "\(count) numbers, \(range.lowerBound) to \(range.upperBound)")
        }
        return numbers
    }

    func bool(_ key: String, default standard: Bool) throws(WeightsError) -> Bool {
        switch value(key) {
        case .bool(let flag)?: return flag
        case nil: return standard
        default: throw error(key, expected: "true or false")
        }
    }

    func string(_ key: String, default standard: String? = nil) throws(WeightsError) -> String {
        switch value(key) {
        case .string(let text)?: return text
        case nil:
            guard let standard else { throw error(key, expected: "a text") }
            return standard
        default: throw error(key, expected: "a text")
        }
    }

    func strings(_ key: String) throws(WeightsError) -> [String] {
        guard case .array(let values)? = value(key) else {
            throw error(key, expected: "a list of texts")
        }
        var texts: [String] = []
        for value in values {
            guard case .string(let text) = value else {
                throw error(key, expected: "a list of texts")
            }
            texts.append(text)
        }
        return texts
    }

    /// Insists that fields this program has no code for are absent, null or at their neutral
    /// value.
    func requireNeutral(_ neutral: [(String, JSONValue)]) throws(WeightsError) {
        for (key, expected) in neutral {
            guard let found = value(key), !found.isSameNumber(as: expected) else { continue }
            throw error(key, expected: "\(expected.kind), the only value supported")
        }
    }
}

extension JSONValue {
    /// Equal, where 1 and 1.0 are one number.
    fileprivate func isSameNumber(as other: JSONValue) -> Bool {
        switch (self, other) {
        case (.integer(let whole), .number(let real)), (.number(let real), .integer(let whole)):
            Double(whole) == real
        default: self == other
        }
    }
}

/// All bytes of a file of at most `limit` bytes.
func readFile(
    _ path: String,
    limit: Int,
    adviceWhenMissing advice: String
) throws(WeightsError) -> [UInt8] {
    let file = try MappedFile(path: path, advice: advice)
    guard file.count <= limit else {
        throw .malformed(path: path, reason: "it has \(file.count) bytes, the limit is \(limit)")
    }
    return unsafe file.withBytes(in: 0..<file.count) { unsafe Array($0) }
}

/// A file's JSON, with the file named in the error.
func parseJSON(_ bytes: [UInt8], path: String) throws(WeightsError) -> JSONValue {
    do {
        return try JSONParser.parse(bytes)
    } catch {
        throw .malformed(path: path, reason: "\(error)")
    }
}
