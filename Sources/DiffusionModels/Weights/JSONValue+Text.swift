extension JSONValue {
    /// The document as text, ASCII only, without white space.
    var text: String {
        var text = ""
        append(to: &text, indentation: nil)
        return text
    }

    /// The document as text, ASCII only, one member a line, with a newline at the end.
    var indentedText: String {
        var text = ""
        append(to: &text, indentation: 0)
        return text + "\n"
    }

    private func append(to text: inout String, indentation: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += "\(value)"
        case .number(let value): text += "\(value)"
        case .string(let value): Self.append(quoted: value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += indentation == nil ? "," : ", " }
                value.append(to: &text, indentation: nil)
            }
            text += "]"
        case .object(let object):
            Self.append(object, to: &text, indentation: indentation)
        }
    }

    private static func append(_ object: JSONObject, to text: inout String, indentation: Int?) {
        let inner = indentation.map { $0 + 2 }
        let newline = { (depth: Int?) in
            depth.map { "\n" + String(repeating: " ", count: $0) } ?? ""
        }
        text += "{"
        for (index, key) in object.keys.enumerated() {
            if index > 0 { text += "," }
            text += newline(inner)
            append(quoted: key, to: &text)
            text += indentation == nil ? ":" : ": "
            object[key]?.append(to: &text, indentation: inner)
        }
        if !object.keys.isEmpty { text += newline(indentation) }
        text += "}"
    }

    private static func append(quoted string: String, to text: inout String) {
        text += "\""
        for unit in string.utf16 {
            switch unit {
            case 0x22: text += "\\\""
            case 0x5C: text += "\\\\"
            case 0x20..<0x7F: text += String(Character(Unicode.Scalar(UInt8(unit))))
            default:
                let digits = String(unit, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        text += "\""
    }
}
