import Comparison
import DurableFiles
import Foundation
import ImageOutput
import TestSupport
import Testing

private let lake = ComparisonCase(
    method: "upscale", size: "4x", promptNumber: 0, prompt: "a <lake> & \"hills\"", seed: 3)

private func record(of case: ComparisonCase = lake, failure: String? = nil) -> ComparisonRecord {
    let origin = ["0.9", "--size"]
    guard let failure else {
        return ComparisonRecord(case: `case`, origin: origin, figures: figures)
    }
    return ComparisonRecord(case: `case`, origin: origin, failure: failure)
}

private let figures = ComparisonRecord.Figures(
    width: 512, height: 512, views: 229, seconds: 3.25, peakBytes: 173 << 20, weights: "ab")

@Suite("Cases and folders of a comparison", .watched)
struct ComparisonFolderTests {
    @Test("every method meets every size, prompt and seed, seeds last, each under its own name")
    func cases() {
        let cases = ComparisonCase.all(
            methods: ["a", "b"], sizes: ["2x", "4x"], prompts: ["p", "q"], seeds: 5...7)
        #expect(cases.count == 24)
        #expect(Set(cases.map(\.name)).count == 24)
        #expect(cases.prefix(8).allSatisfy { $0.seed == 5 })
        #expect(cases[0].name == "a-2x-p0-s5" && cases[1].name == "b-2x-p0-s5")
    }

    @Test("a record is found again with its picture, and only by the same origin")
    func records() throws {
        let place = try TemporaryFolder()
        let folder = try ComparisonFolder(path: place.file("c"))
        let kept = record()
        try makeFolder(folder.state(of: lake, origin: kept.origin))
        try folder.keep(kept)
        #expect(folder.record(of: lake, origin: kept.origin) == nil, "no picture is there")
        let picture = URL(fileURLWithPath: folder.picture(of: lake))
        try Data([1]).write(to: picture)
        #expect(folder.record(of: lake, origin: kept.origin) == nil, "no whole picture is there")
        let end: [UInt8] = [0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82]
        try Data(end).write(to: picture)
        #expect(folder.record(of: lake, origin: kept.origin) == kept)
        #expect(folder.record(of: lake, origin: ["0.9", "--steps"]) == nil)
        #expect(
            !FileManager.default.fileExists(atPath: folder.state(of: lake, origin: kept.origin)))
        #expect(folder.state(of: lake, origin: []) != folder.state(of: lake, origin: ["a"]))
    }

    @Test("what failed is tried again")
    func failures() throws {
        let place = try TemporaryFolder()
        let folder = try ComparisonFolder(path: place.file("c"))
        try folder.keep(record(failure: "no"))
        try Data([1]).write(to: URL(fileURLWithPath: folder.picture(of: lake)))
        #expect(folder.record(of: lake, origin: ["0.9", "--size"]) == nil)
    }

    @Test("a judgement is read, is nil without one, and named when it is none")
    func judgement() throws {
        let place = try TemporaryFolder()
        let folder = try ComparisonFolder(path: place.file("c"))
        #expect(try folder.judgement() == nil)
        let file = URL(fileURLWithPath: folder.path + "/judgement.json")
        let judgement = Judgement(
            pictures: ["x": ["suns": 1]], groups: ["upscale 4x": ["horizons": 1]], missing: ["m"])
        try JSONEncoder().encode(judgement).write(to: file)
        #expect(try folder.judgement() == judgement)
        try Data("{".utf8).write(to: file)
        #expect(throws: JudgementError.self) { try folder.judgement() }
    }
}

@Suite("The page of a comparison", .watched)
struct ComparisonPageTests {
    private func page(_ records: [ComparisonRecord], _ judgement: Judgement? = nil) -> String {
        let entries = records.map {
            ComparisonPage.Entry(record: $0, reduced: [1, 2, 3], detail: [4, 5, 6])
        }
        return ComparisonPage(entries: entries, judgement: judgement, machine: "a machine").html
    }

    @Test("it holds the figures, the pictures and the prompt, and asks for nothing elsewhere")
    func contents() {
        let html = page([record()])
        for part in [
            "229", "3.2", "173 MiB", "data:image/png;base64,AQID", "data:image/png;base64,BAUG",
            "a &lt;lake&gt; &amp; &quot;hills&quot;", "a machine", "Not judged",
        ] { #expect(html.contains(part), "\(part)") }
        #expect(!html.contains("http"))
    }

    @Test("what a judge said has columns, what is missing a line, what failed its sentence")
    func judged() {
        let judgement = Judgement(
            pictures: [lake.name: ["horizons": 1.5]],
            groups: ["upscale 4x": ["horizons": 1.25, "detail": 0.5]], missing: ["no features"])
        let other = ComparisonCase(
            method: "direct", size: "4x", promptNumber: 0, prompt: lake.prompt, seed: 3)
        let html = page(
            [record(), record(of: other, failure: "too <large>")], judgement)
        for part in [
            "<td>1.250</td>", "<td>0.500</td>", "no features", "too &lt;large&gt;", "horizons 1.50",
        ] { #expect(html.contains(part), "\(part)") }
        #expect(!html.contains("Not judged"))
    }
}

@Suite("Pictures of a comparison, reduced", .watched)
struct ThumbnailTests {
    /// Grey that grows from row to row, to one byte in 256 rows.
    private func write(height: Int, width: Int, to path: String) async throws {
        let stream = try PNGStream(to: .file(path), width: width, height: height, texts: [])
        for row in 0..<height {
            try await stream.append(
                rows: [UInt8](repeating: UInt8(row % 256), count: 3 * width))
        }
        try await stream.finish()
    }

    @Test(
        "the reduced one has the shape of the whole, the other is its middle, to the byte",
        arguments: [(200, 100), (70, 200), (20, 30)])
    func shapes(height: Int, width: Int) async throws {
        let folder = try TemporaryFolder()
        let paths = ["a", "r", "d"].map { folder.file("\($0).png") }
        try await write(height: height, width: width, to: paths[0])
        try await Thumbnail.write(
            of: paths[0], side: 50, reduced: .file(paths[1]), detail: .file(paths[2]))
        let (reduced, detail) = (try PNGPicture(path: paths[1]), try PNGPicture(path: paths[2]))
        #expect(max(reduced.height, reduced.width) == min(50, max(height, width)))
        #expect(abs(reduced.height * width - reduced.width * height) <= max(height, width))
        #expect(detail.height == min(50, height) && detail.width == min(50, width))
        #expect(Int(detail.pixels[0]) == (height - detail.height) / 2)
        #expect(Int(detail.pixels.last ?? 0) == (height - detail.height) / 2 + detail.height - 1)
    }
}
