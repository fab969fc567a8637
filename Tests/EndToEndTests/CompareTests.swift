import Foundation
import TestSupport
import Testing

@Suite("tessera compare, in real processes", .watched, .serialized, .timeLimit(.minutes(10)))
struct CompareTests {
    private let folder: TemporaryFolder
    private var output: String { folder.file("c") }

    init() throws { folder = try TemporaryFolder() }

    private func arguments(_ more: [String] = [], steps: Int = 2) -> [String] {
        [
            "compare", "--method", "cutdiffusion", "--method", "direct", "--size", "2x", "--seeds",
            "4..4", "--output", output,
        ] + more + ["--", "--threads", "1", "--steps", "\(steps)"]
    }

    private func pictures() throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: output + "/pictures")
        return try Dictionary(
            uniqueKeysWithValues: names.map { name in
                let url = URL(fileURLWithPath: "\(output)/pictures/\(name)")
                return (name, try Data(contentsOf: url))
            })
    }

    @Test("it makes what generate makes, a page of it, and nothing a second time")
    func again() async throws {
        let outcome = try await CommandLineTool.run(arguments())
        try #require(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == output + "/comparison.html\n")
        let made = try pictures()
        #expect(made.keys.sorted() == ["cutdiffusion-2x-p0-s4.png", "direct-2x-p0-s4.png"])
        let alone = try await CommandLineTool.run([
            "generate", "--prompt", "a mountain range at sunset above a lake", "--size", "2x",
            "--method", "direct", "--seed", "4", "--steps", "2", "--threads", "1", "--output",
            folder.file("a.png"),
        ])
        try #require(alone.status == 0, "\(alone)")
        let own = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
        #expect(made["direct-2x-p0-s4.png"] == own)
        #expect(names(in: output + "/state").isEmpty)

        // A picture that is there is not looked into: what is made again would be another.
        let mark = URL(fileURLWithPath: output + "/pictures/direct-2x-p0-s4.png")
        try (made["cutdiffusion-2x-p0-s4.png"] ?? Data()).write(to: mark)
        let judgement = #"{"pictures":{},"groups":{"direct 2x":{"horizons":2.5}},"missing":[]}"#
        try Data(judgement.utf8).write(to: URL(fileURLWithPath: output + "/judgement.json"))
        let second = try await CommandLineTool.run(arguments())
        try #require(second.status == 0, "\(second)")
        #expect(try pictures()["direct-2x-p0-s4.png"] == made["cutdiffusion-2x-p0-s4.png"])
        let page = try String(contentsOfFile: output + "/comparison.html", encoding: .utf8)
        #expect(page.contains("2.500"))

        // One that was cut short is made again.
        try own.prefix(1000).write(to: mark)
        let third = try await CommandLineTool.run(arguments())
        try #require(third.status == 0, "\(third)")
        #expect(try pictures()["direct-2x-p0-s4.png"] == own)

        let other = try await CommandLineTool.run(arguments(steps: 3))
        try #require(other.status == 0, "\(other)")
        #expect(try pictures()["direct-2x-p0-s4.png"] != own, "other options, another picture")
    }

    @Test("a method that cannot is said, and the others are compared")
    func failing() async throws {
        let outcome = try await CommandLineTool.run(arguments() + ["--structure-steps", "1"])
        try #require(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.contains("direct-2x-p0-s4: tessera: "), "\(outcome)")
        #expect(try pictures().keys.sorted() == ["cutdiffusion-2x-p0-s4.png"])
    }

    @Test("an option that generate does not know is named")
    func unknownOption() async throws {
        let outcome = try await CommandLineTool.run(arguments() + ["--bogus"])
        #expect(outcome.errors.contains("Error: Unknown option '--bogus'"), "\(outcome)")
    }

    @Test("SIGTERM ends it with 75, and the same again goes on to the same pictures")
    func interrupted() async throws {
        let tool = try await RunningTool(arguments(steps: 12))
        try #require(
            try await tool.hasShown("comparing"), "its progress says when it is under way")
        tool.send(signal: SIGTERM)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 75 || outcome.status == 0, "\(outcome)")
        let again = try await CommandLineTool.run(arguments(steps: 12))
        #expect(again.status == 0, "\(again)")
        #expect(try pictures().count == 2)
    }

    @Test(
        "what cannot be compared is refused before anything is made",
        arguments: [
            (["--method", "nonsense"], [], "nonsense"), ([], ["--seed", "3"], "--seed"),
            ([], ["--output=x"], "--output"), (["--thumbnail", "0"], [], "--thumbnail"),
        ])
    func refused(options: [String], rest: [String], mention: String) async throws {
        let outcome = try await CommandLineTool.run(
            ["compare", "--output", output] + options + ["--"] + rest)
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains(mention), "\(outcome)")
        #expect(try folder.contents.isEmpty)
    }
}
