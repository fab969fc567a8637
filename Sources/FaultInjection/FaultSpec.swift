/// One thing that goes wrong: what, how, when.
package struct FaultRule: Hashable, Sendable, CustomStringConvertible {
    package let target: FaultTarget
    package let action: FaultAction
    package let occasion: FaultOccasion

    package init(
        _ target: FaultTarget, _ action: FaultAction, _ occasion: FaultOccasion = .always
    ) {
        self.target = target
        self.action = action
        self.occasion = occasion
    }

    /// `result:drop@0.05`, in the form that is parsed.
    package var description: String {
        let value = action.valueText.map { "=\($0)" } ?? ""
        let when = occasion.text
        return "\(target.rawValue):\(action.name.rawValue)\(value)"
            + (when.isEmpty ? "" : "@\(when)")
    }
}

/// Everything that shall go wrong in one process.
///
/// The text is `target:action[=value][@when]`, several with `;` between. See
/// ``FaultGrammar/help`` for the words.
package struct FaultSpec: Hashable, Sendable, CustomStringConvertible {
    package let rules: [FaultRule]

    package init(_ rules: [FaultRule]) { self.rules = rules }

    /// Parses a specification. Throws ``FaultSpecError`` that names the bad part and says what is
    /// possible in its place.
    package init(_ text: String) throws(FaultSpecError) {
        var rules: [FaultRule] = []
        for part in text.split(separator: ";", omittingEmptySubsequences: true) {
            let part = FaultGrammar.trimmed(part)
            if !part.isEmpty { rules.append(try FaultGrammar.rule(part)) }
        }
        guard !rules.isEmpty else {
            throw FaultSpecError(
                part: text, problem: "it names no fault",
                possible: "target:action[=value][@when], such as result:drop@0.05")
        }
        self.rules = rules
    }

    /// In the form that is parsed: `FaultSpec(spec.description) == spec`.
    package var description: String { rules.map(\.description).joined(separator: ";") }
}

/// Why a text is no fault specification.
package struct FaultSpecError: Error, Hashable, CustomStringConvertible {
    /// The part of the text that is wrong.
    package let part: String
    package let problem: String
    /// What could stand there.
    package let possible: String

    package var description: String { "'\(part)': \(problem); possible: \(possible)" }
}
