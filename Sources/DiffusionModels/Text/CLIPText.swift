internal import Foundation

/// What CLIP does to a text before it looks at bytes.
enum CLIPText {
    /// Canonical composition, runs of white space to one space, lower case character by
    /// character (no special final sigma).
    static func normalized(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var wasSpace = false
        for scalar in text.precomposedStringWithCanonicalMapping.unicodeScalars {
            let isSpace = scalar.properties.isWhitespace
            if isSpace {
                if !wasSpace { result.append(" ") }
            } else if scalar.isASCII {
                let isUpper = scalar >= "A" && scalar <= "Z"
                result.append(isUpper ? Unicode.Scalar(UInt8(scalar.value) + 32) : scalar)
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
            wasSpace = isSpace
        }
        return String(result)
    }

    /// The words of a normalised text, in the order of the alternatives of CLIP's expression:
    /// the marks of beginning and end, contractions, runs of letters, single digits, runs of
    /// everything else that is no white space.
    static func words(_ text: String) -> [Substring.UnicodeScalarView] {
        let scalars = Array(text.unicodeScalars)
        let view = text.unicodeScalars
        var words: [Substring.UnicodeScalarView] = []
        var position = 0
        var index = view.startIndex
        func take(_ count: Int) {
            let end = view.index(index, offsetBy: count)
            words.append(Substring.UnicodeScalarView(view[index..<end]))
            position += count
            index = end
        }
        while position < scalars.count {
            if scalars[position].properties.isWhitespace {
                position += 1
                index = view.index(after: index)
            } else if let parts = mark(scalars, at: position) {
                parts.forEach(take)
            } else {
                take(wordLength(scalars, at: position))
            }
        }
        return words
    }

    /// A mark spelled out in the text is one word for CLIP and three for the byte splitter that
    /// follows it; the lengths of those three.
    private static func mark(_ scalars: [Unicode.Scalar], at position: Int) -> [Int]? {
        for name in ["startoftext", "endoftext"]
        where matches("<|\(name)|>", scalars, at: position) {
            return [2, name.unicodeScalars.count, 2]
        }
        return nil
    }

    private static func wordLength(_ scalars: [Unicode.Scalar], at position: Int) -> Int {
        for contraction in ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
        where matches(contraction, scalars, at: position) {
            return contraction.unicodeScalars.count
        }
        let kind = Kind(scalars[position])
        if kind == .number { return 1 }
        var end = position + 1
        while end < scalars.count, Kind(scalars[end]) == kind { end += 1 }
        return end - position
    }

    private static func matches(
        _ text: String,
        _ scalars: [Unicode.Scalar],
        at position: Int
    ) -> Bool {
        guard scalars[position] == text.unicodeScalars.first else { return false }
        return scalars[position...].starts(with: text.unicodeScalars)
    }

    private enum Kind {
        case letter
        case number
        case space
        case other

        init(_ scalar: Unicode.Scalar) {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter,
                .otherLetter:
                self = .letter
            case .decimalNumber, .letterNumber, .otherNumber:
                self = .number
            default:
                self = scalar.properties.isWhitespace ? .space : .other
            }
        }
    }

    /// The text without white space at its ends.
    static func trimmed(_ text: String) -> String {
        text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
