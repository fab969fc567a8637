import TestSupport
import Testing

@testable import DiffusionModels

@Suite("JSON", .watched)
struct JSONTests {
    private func parse(_ text: String) throws -> JSONValue {
        try JSONParser.parse(Array(text.utf8))
    }

    @Test("values are read as they are written")
    func values() throws {
        #expect(try parse(" null ") == .null)
        #expect(try parse("[true,false]") == [true, false])
        #expect(try parse("-12") == .integer(-12))
        #expect(try parse("[0, -0, 1e3, 1.5E-2]") == [0, 0, 1000.0, 0.015])
        #expect(try parse("123456789012345678901") == .number(1.2345678901234568e20))
        #expect(try parse(#""a\n\u00e9\ud83d\ude00\/\"""#) == "a\né😀/\"")
        #expect(try parse(#"{"b":1,"a":{}}"#) == ["b": 1, "a": [:]])
    }

    @Test(
        "what is no JSON is refused",
        arguments: [
            "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
            "01", "1.", ".5", "-", "1e", "+1", "NaN", "Infinity", "1e999", "tru", "nulls", "\"",
            "\"\u{01}\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
            "\"\\udc00\"", "{\"a\":1,\"a\":2}", "1 2", "[1]]",
        ])
    func refused(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test("depth and number of values are bounded")
    func bounds() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONError.self) { try parse(deep) }
        #expect(throws: JSONError.self) {
            try JSONParser.parse(Array("[1,2,3]".utf8), maximumValues: 3)
        }
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
    }

    @Test("what is printed is read back, keys in order")
    func roundTrip() throws {
        let value: JSONValue = [
            "z": [1, 2.5, nil, true], "a": "tab\tquote\" back\\slash é 😀 \u{7F}", "o": ["k": [:]],
        ]
        #expect(try parse(value.text) == value)
        #expect(try parse(value.indentedText) == value)
        #expect(value.text.hasPrefix(#"{"z":[1,2.5,null,true],"a":"tab\u0009"#))
    }
}
