import ArgumentParser
import Foundation
import ImageOutput
import TestSupport
import Testing

@testable import tessera

@Suite("Values on the command line", .watched)
struct ArgumentSettlingTests {
    private let names = OptionNames(
        takingValues: ["--prompt", "--size", "--output", "-o"], flags: ["--json", "--help"])

    private func settled(_ arguments: String...) throws -> [String] {
        try CommandLineArguments.settled(arguments[...], names: names)
    }

    @Test(
        "a value is a value, whatever it begins with",
        arguments: [
            "-3 degrees", "- a bullet", "--no text", "-", "--", "---", "-o x", "=", "=x", "",
            "\u{301}combining", "\u{200D}joiner", "-\u{301}", "hills", "a=b", "-a=b", "\n",
        ])
    func values(value: String) throws {
        for form in [["--prompt", value], ["--prompt=\(value)"]] {
            let settled = try CommandLineArguments.settled(["--json"] + form + [], names: names)
            let options = try PromptOptions.parse(settled)
            #expect(Array(options.prompt.unicodeScalars) == Array(value.unicodeScalars))
        }
        let short = try CommandLineArguments.settled(["-o", value, "--prompt", "x"], names: names)
        let output = try PromptOptions.parse(short).output
        #expect(output.map { Array($0.unicodeScalars) } == Array(value.unicodeScalars))
    }

    /// What the parser makes of it.
    private struct PromptOptions: ParsableArguments {
        @Option var prompt: String
        @Option(name: .shortAndLong) var output: String?
        @Flag var json = false
    }

    @Test(
        "an option after an option is a value that was forgotten, and how to say it is said",
        arguments: ["--size", "--json", "-o", "--help", "--size=4x", "--prompt"])
    func forgotten(next: String) {
        let failure = #expect(throws: CommandFailure.self) {
            try settled("--prompt", next, "4x")
        }
        #expect(failure?.status == .usage)
        #expect(failure?.description.contains("--prompt=\(next)") == true)
    }

    @Test("attached, the name of an option is a value")
    func attached() throws {
        #expect(try settled("--prompt=--size") == ["--prompt=--size"])
    }

    @Test("what takes no value, comes after --, or is missing is left to the parser")
    func leftAlone() throws {
        for arguments in [
            ["--json", "-x", "--unknown", "-1"], ["--", "--prompt", "--size"], ["x", "--prompt"],
        ] {
            #expect(try CommandLineArguments.settled(arguments[...], names: names) == arguments)
        }
    }

    @Test("a subcommand's own options are known")
    func subcommands() throws {
        #expect(
            try CommandLineArguments.settled(
                ["token", "create", "--name", "-x"], of: Tessera.self)
                == ["token", "create", "--name=-x"])
        #expect(
            try CommandLineArguments.settled(
                ["generate", "--no-jitter", "-o", "-"], of: Tessera.self)
                == ["generate", "--no-jitter", "-o=-"])
        #expect(
            try CommandLineArguments.settled(["--version"], of: Tessera.self) == ["--version"])
    }

    @Test("a seed is a number, or drawn once for each name of a job")
    func seeds() throws {
        #expect(try SeedOption("18446744073709551615") == .number(.max))
        #expect(try SeedOption("-1") == .random && SeedOption("random") == .random)
        for text in ["-2", "1.5", "", "Random", "18446744073709551616"] {
            #expect(throws: ValidationError.self) { try SeedOption(text) }
        }
        #expect(SeedOption.number(7).settled(kept: 8) == 7)
        #expect(SeedOption.random.settled(kept: 8) == 8)
        let job = SeedOption.random.settled(forJob: "lake-1")
        #expect(job == SeedOption.random.settled(forJob: "lake-1"))
        #expect(job != SeedOption.random.settled(forJob: "lake-2"))
        #expect(SeedOption.number(7).settled(forJob: "lake-1") == 7)
    }
}

@Suite("Texts and seeds as users type them, in real processes", .watched, .timeLimit(.minutes(10)))
struct ArgumentTests {
    /// The request in a picture.
    private func request(in path: String) throws -> [String: Any] {
        let texts = try PNGPicture(path: path).texts
        let text = try #require(texts.first { $0.keyword == "tessera" }?.text)
        let record = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return try #require(record?["request"] as? [String: Any])
    }

    private func generate(_ arguments: String...) async throws -> CommandLineTool.Outcome {
        try await CommandLineTool.run(
            ["generate", "--size", "1x", "--steps", "1"] + arguments)
    }

    @Test("texts that begin with a dash reach the picture")
    func texts() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await generate(
            "--prompt", "--no text", "--negative-prompt", "-blurry", "--output",
            folder.file("a.png"))
        try #require(outcome.status == 0, "\(outcome)")
        let request = try request(in: folder.file("a.png"))
        #expect(request["prompt"] as? String == "--no text")
        #expect(request["negative_prompt"] as? String == "-blurry")
    }

    @Test("a combining mark after the equals sign belongs to the text, and no text is a text")
    func marks() async throws {
        for text in ["\u{301}x", ""] {
            let folder = try TemporaryFolder()
            let outcome = try await generate("--prompt=\(text)", "--output=\(folder.file("a.png"))")
            try #require(outcome.status == 0, "\(outcome)")
            let prompt = try request(in: folder.file("a.png"))["prompt"] as? String
            #expect(prompt.map { Array($0.utf8) } == Array(text.utf8))
        }
    }

    @Test("a forgotten value is said with exit code 64")
    func forgotten() async throws {
        let outcome = try await generate("--prompt", "--output", "a.png")
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("--prompt=--output"), "\(outcome)")
    }

    @Test("a text that is not UTF-8 is said to be none")
    func bytes() async throws {
        let outcome = try await CommandLineTool.shell(
            "\"$T\" generate --prompt $'caf\\xe9' --output a.png")
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("UTF-8"), "\(outcome)")
    }

    @Test("a drawn seed is said, and makes the picture again")
    func drawnSeed() async throws {
        let folder = try TemporaryFolder()
        let drawn = try await generate(
            "--prompt", "x", "--seed", "-1", "--json", "--output", folder.file("a.png"))
        try #require(drawn.status == 0, "\(drawn)")
        let seed = try #require(try request(in: folder.file("a.png"))["seed"] as? UInt64)
        #expect(drawn.errors.contains("seed \(seed)\n"), "\(drawn)")
        #expect(drawn.output.contains("\"event\":\"seed\""), "\(drawn)")
        #expect(drawn.output.contains("\"seed\":\(seed)"), "\(drawn)")
        let again = try await generate(
            "--prompt", "x", "--seed", "\(seed)", "--output", folder.file("b.png"))
        try #require(again.status == 0, "\(again)")
        #expect(
            FileManager.default.contentsEqual(
                atPath: folder.file("a.png"), andPath: folder.file("b.png")))
    }

    @Test("a run with a drawn seed goes on with it")
    func resumedSeed() async throws {
        let folder = try TemporaryFolder()
        let arguments = [
            "generate", "--prompt", "x", "--size", "2x", "--steps", "8", "--seed", "random",
            "--state-dir", folder.file("state"), "--json", "--output", folder.file("a.png"),
        ]
        let killed = try await CommandLineTool.run(arguments + ["--fault", "tile:kill@1"])
        #expect(killed.status == 128 + SIGKILL, "\(killed)")
        let seed = killed.errors.split(separator: "\n").first { $0.hasPrefix("seed ") }
        let resumed = try await CommandLineTool.run(arguments + ["--resume"])
        try #require(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains(try #require(seed)), "\(resumed)")
        #expect(!resumed.output.contains("\"step\":0,\"tasks\":0"), "\(resumed)")
    }

    @Test("other numbers below zero are refused with what is possible", arguments: ["-2", "1e3"])
    func badSeed(seed: String) async throws {
        let outcome = try await generate("--prompt", "x", "--seed", seed, "--output", "a.png")
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("random"), "\(outcome)")
    }
}
