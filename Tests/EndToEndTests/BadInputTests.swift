import Foundation
import TestSupport
import Testing

/// One thing a user can get wrong.
struct Mistake: CustomTestStringConvertible, Sendable {
    let name: String
    let arguments: [String]
    let status: Int32
    /// What the sentence has to mention.
    let mentions: [String]

    var testDescription: String { name }
}

private let mistakes: [Mistake] = [
    Mistake(
        name: "a size below the native side", arguments: ["--size", "64x512"], status: 64,
        mentions: ["64", "128"]),
    Mistake(
        name: "an absurd size", arguments: ["--size", "9000000x9000000"], status: 64,
        mentions: ["9000000"]),
    Mistake(
        name: "a size that is no size", arguments: ["--size", "big"], status: 64,
        mentions: ["big"]),
    Mistake(
        name: "a size of nothing", arguments: ["--size", "0x"], status: 64,
        mentions: ["0x", "4096x2048", "above 0"]),
    Mistake(
        name: "fewer steps than none", arguments: ["--steps", "-1"], status: 64,
        mentions: ["-1 steps"]),
    Mistake(name: "no steps", arguments: ["--steps", "0"], status: 64, mentions: ["steps", "0"]),
    Mistake(
        name: "an unknown method", arguments: ["--method", "magic"], status: 64,
        mentions: ["magic", "cutdiffusion"]),
    Mistake(
        name: "an unknown scheduler", arguments: ["--scheduler", "magic"], status: 64,
        mentions: ["magic", "euler"]),
    Mistake(
        name: "a region that is no region", arguments: ["--region", "0,0,8:a moon"], status: 64,
        mentions: ["x,y,width,height:text", "0,0,8:a moon"]),
    Mistake(
        name: "a region that shows nothing", arguments: ["--region", "0,0,8,8:"], status: 64,
        mentions: ["x,y,width,height:text"]),
    Mistake(
        name: "an empty region", arguments: ["--region", "0,0,0,8:a moon"], status: 64,
        mentions: ["region 1", "0×8"]),
    Mistake(
        name: "a region beyond the picture",
        arguments: ["--region", "0,0,8,8:a moon", "--region", "0,0,99999,8:a sun"], status: 64,
        mentions: ["region 2", "99999×8"]),
    Mistake(
        name: "a region for a method that has none",
        arguments: ["--region", "0,0,8,8:a moon", "--method", "cutdiffusion"], status: 64,
        mentions: ["region", "cutdiffusion"]),
    Mistake(
        name: "a negative worker count", arguments: ["--workers", "-1"], status: 64,
        mentions: ["workers"]),
    Mistake(
        name: "checkpoints without a folder for them", arguments: ["--checkpoint-every", "5"],
        status: 64, mentions: ["--checkpoint-every", "--state-dir"]),
    Mistake(
        name: "a time that runs backwards",
        arguments: ["--state-dir", "/no/such", "--checkpoint-every=-1"], status: 64,
        mentions: ["--checkpoint-every"]),
    Mistake(
        name: "a model folder that is not there", arguments: ["--model", "/no/such/model"],
        status: 65, mentions: ["/no/such/model"]),
    Mistake(
        name: "a model folder without a model", arguments: ["--model", "/tmp"], status: 65,
        mentions: ["model_index.json"]),
    Mistake(
        name: "initial latents that are not there",
        arguments: ["--initial-latents", "/no/such.safetensors"], status: 65,
        mentions: ["/no/such.safetensors"]),
    Mistake(
        name: "an address off this machine without --insecure",
        arguments: ["--listen", "tcp://0.0.0.0:0"], status: 64, mentions: ["--insecure"]),
]

@Suite(
    "What users get wrong ends in one sentence and the right exit code", .watched,
    .timeLimit(.minutes(10)))
struct BadInputTests {
    @Test("generate refuses", arguments: mistakes)
    func refused(mistake: Mistake) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            ["generate", "--prompt", "hills", "--output", folder.file("a.png")]
                + mistake.arguments)
        #expect(outcome.status == mistake.status, "\(outcome)")
        for mention in mistake.mentions {
            #expect(outcome.errors.contains(mention), "\(outcome)")
        }
        #expect(outcome.output.isEmpty)
        #expect(try folder.contents.isEmpty)
    }

    @Test(
        "an output that cannot be written is refused before anything is computed",
        arguments: ["/no/such/folder/a.png", "/tmp"]
    )
    func unwritableOutput(path: String) async throws {
        let outcome = try await CommandLineTool.run(
            ["generate", "--prompt", "hills", "--output", path])
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains(path))
        #expect(!outcome.errors.contains("denoising"))
    }

    @Test("no worker within the time limit is said, with exit code 69")
    func noWorkers() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", "hills", "--output", folder.file("a.png"),
            "--listen", "tcp://127.0.0.1:0", "--worker-timeout", "1",
        ])
        #expect(outcome.status == 69, "\(outcome)")
        #expect(outcome.errors.contains("worker"))
        #expect(try folder.contents.isEmpty)
    }

    @Test("a worker without a coordinator gives up with exit code 69")
    func noCoordinator() async throws {
        let outcome = try await CommandLineTool.run([
            "worker", "--connect", "tcp://127.0.0.1:9", "--coordinator-timeout", "1",
        ])
        #expect(outcome.status == 69, "\(outcome)")
        #expect(outcome.errors.contains("tcp://127.0.0.1:9"))
    }

    @Test(
        "an address is judged before a model is loaded for it",
        arguments: [
            ["worker", "--connect", "tcp://10.0.0.1:5570"],
            ["generate", "--prompt", "x", "--output", "a.png", "--listen", "tcp://10.0.0.1:5570"],
        ]
    )
    func addressFirst(arguments: [String]) async throws {
        let outcome = try await CommandLineTool.run(arguments + ["--model", "/no/such/model"])
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("--insecure"), "\(outcome)")
    }

    @Test("a worker with other weights is rejected with the reason on both sides")
    func otherWeights() async throws {
        let folder = try TemporaryFolder()
        let synthesized = try await CommandLineTool.run([
            "synthesize", "tiny", "--output", folder.file("other"),
        ])
        try #require(synthesized.status == 0, "\(synthesized)")
        let join = folder.file("join.json")
        let coordinator = try await RunningTool([
            "generate", "--prompt", "hills", "--output", folder.file("a.png"),
            "--listen", "tcp://127.0.0.1:0", "--join", join, "--worker-timeout", "20",
        ])
        try #require(try await coordinator.hasShown("waiting for workers"))
        let worker = try await CommandLineTool.run([
            "worker", "--join", join, "--model", folder.file("other"),
        ])
        #expect(worker.status == 65, "\(worker)")
        #expect(worker.errors.contains("weights"), "\(worker)")
        #expect(try await coordinator.hasShown("rejected"))
        coordinator.send(signal: SIGINT)
        let outcome = try await coordinator.outcome()
        #expect(outcome.status == 130, "\(outcome)")
        #expect(outcome.errors.contains("weights"), "\(outcome)")
    }

    @Test("a prompt longer than the encoder takes is cut, and what was cut is said")
    func longPrompt() async throws {
        let folder = try TemporaryFolder()
        let words = Array(repeating: "mountain lake", count: 60).joined(separator: " ")
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", words + " zeppelin", "--output", folder.file("a.png"),
            "--size", "1x", "--steps", "1",
        ])
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.contains("zeppelin"), "\(outcome)")
        #expect(outcome.errors.contains("77"), "\(outcome)")
    }
}
