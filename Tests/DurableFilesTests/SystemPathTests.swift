import DurableFiles
import TestSupport
import Testing

@Suite("Names of files as texts", .watched)
struct SystemPathTests {
    @Test(
        "every name comes back as it was",
        arguments: [
            [0x61], [0xE9], [0xFF, 0x2F, 0xFE], [0xCC, 0x81], [0xE5, 0xB1, 0xB1], [0xE5, 0xB1],
            [0xED, 0xA0, 0x80], [0xF4, 0x8F, 0xBA, 0x80], [0xF4, 0x8F, 0xBB, 0xBF, 0xE9], [],
            [0xF0, 0x9F, 0x98, 0x80, 0x80], [0xC0, 0x80],
        ] as [[UInt8]])
    func roundTrip(name: [UInt8]) {
        let text = SystemPath.text(of: name)
        #expect(SystemPath.bytes(of: text) == name)
        #expect(SystemPath.isUTF8(text) == (String(validating: name, as: UTF8.self) == text))
    }

    @Test("what is UTF-8 stays as it is, other bytes do not meet")
    func text() {
        #expect(SystemPath.text(of: Array("山\u{301}.png".utf8)) == "山\u{301}.png")
        #expect(SystemPath.text(of: [0xE9]) != SystemPath.text(of: [0xEA]))
        #expect(!SystemPath.isUTF8(SystemPath.text(of: [0x61, 0xE9])))
    }

    @Test("a slash before a combining mark still ends a folder's name")
    func slash() {
        let (folder, name) = folderAndName(of: "a/b/\u{301}x")
        #expect(folder == "a/b")
        #expect(Array(name.unicodeScalars) == ["\u{301}", "x"])
    }

    @Test(
        "a file of any name appears whole, replaces what was there and leaves nothing beside it",
        arguments: [[0xE9], [0xCC, 0x81, 0x78], [UInt8](repeating: 0xFF, count: 255)] as [[UInt8]])
    func files(name: [UInt8]) throws {
        let place = TestFolder()
        let path = place.path(SystemPath.text(of: name))
        for bytes: [UInt8] in [[1], [2, 3]] {
            try AtomicFile.write(bytes, to: path)
            #expect(try readSmallFile(path) == bytes)
        }
        #expect(try place.contents.count == 1)
    }

    @Test("two names that differ only in how a mark is written are two places")
    func normalization() throws {
        let place = TestFolder()
        let (composed, decomposed) = (place.path("\u{E9}"), place.path("e\u{301}"))
        #expect(composed == decomposed)
        #expect(try #require(FilePlace(file: composed)) != #require(FilePlace(file: decomposed)))
    }
}
