import DurableFiles
import Foundation
import ImageOutput
import TestSupport
import Testing

@Suite("PNG output", .watched)
struct PNGStreamTests {
    private func temporaryFolder() throws -> String {
        let folder = NSTemporaryDirectory() + "tessera-png-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        return folder
    }

    private func gradient(width: Int, height: Int) -> [UInt8] {
        (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 7) }
    }

    @Test("what is streamed in pieces reads back, pixels and texts", arguments: [1, 3, 16])
    func roundTrip(rowsAtATime: Int) async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/picture.png"
        let pixels = gradient(width: 21, height: 16)
        let texts = [
            PNGText(keyword: "Software", text: "tessera"),
            PNGText(keyword: "Description", text: "Österreich – 山"),
        ]
        let stream = try PNGStream(to: .file(path), width: 21, height: 16, texts: texts)
        var row = 0
        while row < 16 {
            let count = min(rowsAtATime, 16 - row)
            try await stream.append(rows: Array(pixels[row * 63..<(row + count) * 63]))
            row += count
        }
        try await stream.finish()
        let picture = try PNGPicture(path: path)
        #expect(picture.width == 21 && picture.height == 16)
        #expect(picture.pixels == pixels)
        #expect(picture.texts == texts)
    }

    @Test("an unfinished picture leaves no file behind")
    func unfinishedLeavesNothing() async throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do {
            let stream = try PNGStream(
                to: .file(folder + "/a.png"), width: 4, height: 4, texts: [])
            try await stream.append(rows: gradient(width: 4, height: 2))
            stream.abandon()
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    @Test("a file that is no PNG is refused with its name")
    func unreadable() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/text.png"
        try "no picture".write(toFile: path, atomically: true, encoding: .utf8)
        let failure = #expect(throws: ImageOutputError.self) { try PNGPicture(path: path) }
        #expect(failure?.description.contains(path) == true)
    }
}
