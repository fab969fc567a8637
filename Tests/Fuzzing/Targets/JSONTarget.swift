@testable import DiffusionModels

/// Any bytes: they are a document or an error. What parses can be written, and that parses to the
/// same.
enum JSONTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let value = try? JSONParser.parse(input, maximumValues: 10_000) else { return }
        for text in [value.text, value.indentedText] {
            do throws(JSONError) {
                let again = try JSONParser.parse(Array(text.utf8))
                guard again == value else { broken("\(value) came back as \(again)") }
            } catch {
                broken("\(value) was parsed and its text is refused: \(error)")
            }
        }
    }

    static var seeds: [String: [UInt8]] {
        [
            "everything": #"{"a":[1,-0,1.5e-3,true,false,null,"\u00e9\ud83d\ude00\n"],"b":{}}"#,
            "nested": String(repeating: "[", count: 40),
            "numbers": "[9223372036854775807,9223372036854775808,1e308,-1e-320,0.1]",
            "surrogates": #"["\ud83d","\ude00","\ud83d\u0041"]"#,
            "twice": #"{"a":1,"\u0061":2}"#,
            "too-large": "[1e309]",
        ].mapValues { Array($0.utf8) }
    }
}
