/// Numbers and times as they are written in a specification.
enum FaultText {
    /// The largest time that may be written: more is a mistake.
    static let longest: Duration = .seconds(86_400)

    private static let units: [(name: String, microseconds: Int64)] = [
        ("us", 1), ("ms", 1000), ("s", 1_000_000), ("min", 60_000_000),
    ]

    /// `800ms`, `1.5s`, `2min`, `50us`; nil for anything else, negative or above a day.
    static func time(_ text: some StringProtocol) -> Duration? {
        // The unit is what follows the number, and not a part of it.
        guard let split = text.firstIndex(where: { $0.isLetter }) else { return nil }
        guard let unit = units.first(where: { $0.name == text[split...] }),
            let count = decimal(text[..<split])
        else { return nil }
        let microseconds = (count * Double(unit.microseconds)).rounded()
        guard microseconds <= Double(86_400_000_000) else { return nil }
        return .microseconds(Int64(microseconds))
    }

    /// In the largest unit that needs no fraction.
    static func text(of time: Duration) -> String {
        let (seconds, attoseconds) = time.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        if microseconds == 0 { return "0s" }
        let unit = units.last { microseconds % $0.microseconds == 0 } ?? units[0]
        return "\(microseconds / unit.microseconds)\(unit.name)"
    }

    /// `200ms` or `100ms..300ms`.
    static func times(_ text: some StringProtocol) -> ClosedRange<Duration>? {
        guard let (low, high) = halves(text) else { return time(text).map { $0...$0 } }
        guard let low = time(low), let high = time(high), low <= high else { return nil }
        return low...high
    }

    static func text(of range: ClosedRange<Duration>) -> String {
        range.lowerBound == range.upperBound
            ? text(of: range.lowerBound)
            : text(of: range.lowerBound) + ".." + text(of: range.upperBound)
    }

    /// `10x` or `1.5x`, at least 1 and at most a million.
    static func factor(_ text: some StringProtocol) -> Double? {
        guard text.last == "x", let value = decimal(text.dropLast()), (1...1e6).contains(value)
        else { return nil }
        return value
    }

    static func text(of value: Double) -> String {
        value == value.rounded() && value < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    /// Always with a point, because a number without one is an ordinal.
    static func probability(_ value: Double) -> String { "\(value)" }

    /// Digits with at most one point; no sign, no exponent.
    static func decimal(_ text: some StringProtocol) -> Double? {
        guard !text.isEmpty, text.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
            text.contains(where: { $0 != "." })
        else { return nil }
        return Double(String(text))
    }

    /// Digits only.
    static func count(_ text: some StringProtocol) -> UInt64? {
        guard text.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        return UInt64(text)
    }

    /// What stands on both sides of `..`; nil without one.
    static func halves<Text: StringProtocol>(
        _ text: Text
    ) -> (Text.SubSequence, Text.SubSequence)? {
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if text[index] == ".", next < text.endIndex, text[next] == "." {
                return (text[..<index], text[text.index(after: next)...])
            }
            index = next
        }
        return nil
    }
}
