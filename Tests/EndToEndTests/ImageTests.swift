import DurableFiles
import Foundation
import ImageOutput
import TestSupport
import Testing

/// A PNG of slow changes and fine lines at `path`.
private func writePhoto(_ path: String, width: Int, height: Int) async throws {
    let stream = try PNGStream(to: .file(path), width: width, height: height, texts: [])
    var bytes: [UInt8] = []
    for y in 0..<height {
        for x in 0..<width {
            let line = (x / 3 + y / 5).isMultiple(of: 7) ? 40 : 0
            bytes += [
                UInt8(60 + 120 * x / width + line), UInt8(200 - 150 * y / height),
                UInt8(80 + line + 90 * y / height),
            ]
        }
    }
    try await stream.append(rows: bytes)
    try await stream.finish()
}

/// An enlargement of `photo`, twice its sides, in few steps.
private func enlargement(
    of photo: String, to output: String, _ more: [String] = []
) -> [String] {
    [
        "generate", "--prompt", "hills at dawn", "--image", photo, "--size", "2x", "--steps", "9",
        "--seed", "11", "--threads", "1", "--output", output, "--json",
    ] + more
}

/// A photograph, and what an undisturbed run makes of it.
private let quiet = Task {
    let folder = try TemporaryFolder()
    try await writePhoto(folder.file("photo.png"), width: 150, height: 128)
    let outcome = try await CommandLineTool.run(
        enlargement(of: folder.file("photo.png"), to: folder.file("quiet.png")))
    try #require(outcome.status == 0, "\(outcome)")
    return (
        photo: try Data(contentsOf: URL(fileURLWithPath: folder.file("photo.png"))),
        picture: try Data(contentsOf: URL(fileURLWithPath: folder.file("quiet.png")))
    )
}

/// A folder that holds the photograph.
private struct Studio {
    let folder: TemporaryFolder
    let photo: String

    init() async throws {
        folder = try TemporaryFolder()
        photo = folder.file("photo.png")
        try await quiet.ownValue.photo.write(to: URL(fileURLWithPath: photo))
    }

    func arguments(_ more: [String] = []) -> [String] {
        enlargement(
            of: photo, to: folder.file("a.png"), ["--state-dir", folder.file("state")] + more)
    }

    var picture: Data {
        get throws { try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png"))) }
    }
}

@Suite(
    "A picture that starts from the user's own", .watched, .serialized, .timeLimit(.minutes(10)))
struct ImageTests {
    @Test("is the same by one worker and by three, one of which is killed, as by none")
    func workers() async throws {
        let expected = try await quiet.ownValue.picture
        for more in [
            ["--workers", "1"], ["--workers", "3", "--worker-fault", "1:compute:kill@4"],
        ] {
            let studio = try await Studio()
            let outcome = try await CommandLineTool.run(studio.arguments(more))
            #expect(outcome.status == 0, "\(outcome)")
            #expect(try studio.picture == expected, "\(more)")
        }
    }

    @Test("goes on after kill -9 in the middle of its encoding")
    func killedWhileEncoding() async throws {
        let studio = try await Studio()
        let tool = try await RunningTool(
            studio.arguments(["--workers", "1", "--worker-fault", "0:compute:hang@6"]))
        try #require(try await tool.hasShown("\"event\":\"encoding\""))
        tool.send(signal: SIGKILL)
        _ = try await tool.outcome()
        let outcome = try await CommandLineTool.run(studio.arguments(["--resume"]))
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try studio.picture == (try await quiet.ownValue.picture))
    }

    @Test("goes on after kill -9 without the picture, once that is encoded")
    func killedAfterwards() async throws {
        let studio = try await Studio()
        let first = try await CommandLineTool.run(studio.arguments(["--fault", "step:kill@2"]))
        try #require(first.status == 128 + SIGKILL, "\(first)")
        try FileManager.default.removeItem(atPath: studio.photo)
        let outcome = try await CommandLineTool.run(studio.arguments(["--resume"]))
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try studio.picture == (try await quiet.ownValue.picture))
        #expect(try studio.folder.contents == ["a.png", "state"])
    }

    @Test("does not go on with another picture than it began with")
    func otherPicture() async throws {
        let studio = try await Studio()
        let first = try await CommandLineTool.run(studio.arguments(["--fault", "step:kill@1"]))
        try #require(first.status == 128 + SIGKILL, "\(first)")
        let stronger = try await CommandLineTool.run(
            studio.arguments(["--resume", "--strength", "0.9"]))
        #expect(stronger.status == 65 && stronger.errors.contains("strength"), "\(stronger)")
        try await writePhoto(studio.photo, width: 150, height: 130)
        let other = try await CommandLineTool.run(studio.arguments(["--resume"]))
        #expect(other.status == 65 && other.errors.contains("request: image"), "\(other)")
    }

    /// A coordinator that takes jobs in the folder's `service`.
    private func coordinator(in studio: Studio, _ more: [String] = []) async throws -> RunningTool {
        let tool = try await RunningTool(
            [
                "coordinator", "--state-dir", studio.folder.file("service"), "--threads", "1",
                "--workers", "2", "--json",
            ] + more)
        try #require(try await tool.hasShown("\"event\":\"coordinator\""))
        return tool
    }

    private func submit(
        _ studio: Studio, _ image: String, _ more: [String] = []
    ) async throws -> CommandLineTool.Outcome {
        try await CommandLineTool.run(
            [
                "submit", "--state-dir", studio.folder.file("service"), "--prompt",
                "hills at dawn", "--image", image, "--size", "2x", "--steps", "9", "--seed", "11",
                "--timeout", "60", "--output", studio.folder.file("a.png"),
            ] + more)
    }

    @Test("is made by a coordinator that stays up, too")
    func submitted() async throws {
        let studio = try await Studio()
        let coordinator = try await coordinator(in: studio)
        let done = try await submit(studio, studio.photo, ["--watch"])
        #expect(done.status == 0, "\(done)")
        #expect(try studio.picture == (try await quiet.ownValue.picture))
        let missing = try await submit(studio, studio.folder.file("none.png"))
        #expect(missing.status == 65 && missing.errors.contains("none.png"), "\(missing)")
        coordinator.send(signal: SIGTERM)
        #expect(try await coordinator.outcome().status == 0)
    }

    @Test("goes on by itself after kill -9 of its coordinator, without the picture")
    func coordinatorKilled() async throws {
        let studio = try await Studio()
        let first = try await coordinator(in: studio, ["--fault", "step:kill@2"])
        let taken = try await submit(studio, studio.photo, ["--id", "a"])
        #expect(taken.status == 0, "\(taken)")
        #expect(try await first.outcome().status == 128 + SIGKILL)
        try FileManager.default.removeItem(atPath: studio.photo)
        let second = try await coordinator(in: studio)
        let done = try await submit(studio, studio.photo, ["--id", "a", "--watch"])
        #expect(done.status == 0, "\(done)")
        #expect(try studio.picture == (try await quiet.ownValue.picture))
        second.send(signal: SIGTERM)
        #expect(try await second.outcome().status == 0)
    }

    @Test("is shown by its plan, in words and in JSON")
    func plan() async throws {
        let studio = try await Studio()
        let request = ["plan", "--image", studio.photo, "--strength", "0.5", "--steps", "10"]
        let text = try await CommandLineTool.run(request)
        #expect(text.status == 0, "\(text)")
        for part in ["300×256 pixels", "150×128", "enlarged to 300×256 pixels, encoded"] {
            #expect(text.output.contains(part), "\(text)")
        }
        let json = try await CommandLineTool.run(request + ["--format", "json", "--expand"])
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        let fields = try #require(object["request"] as? [String: Any])
        let image = try #require(fields["image"] as? [String: Any])
        #expect(image["width"] as? Int == 150 && image["height"] as? Int == 128)
        #expect(image["strength"] as? Double == 0.5)
        #expect((image["digest"] as? String)?.count == 16)
        let phase = try #require((object["phases"] as? [[String: Any]])?.first)
        let kinds = (phase["entry"] as? [[String: Any]])?.compactMap { $0["kind"] as? String }
        #expect(
            kinds == [
                "picture", "resize_picture", "pad_picture", "encode", "boost", "keep", "renoise",
            ])
        #expect((phase["steps"] as? [Any])?.count == 5)
    }
}

/// A file that is no picture to start from.
private struct WrongFile: CustomTestStringConvertible, Sendable {
    let name: String
    /// Makes the file; `$P` is a PNG of 150×128 pixels.
    let script: String
    var more: [String] = []
    var status: Int32 = 65
    let mentions: [String]

    var testDescription: String { name }

    static let all = [
        WrongFile(name: "nothing", script: "true", mentions: ["is missing"]),
        WrongFile(
            name: "a truncated PNG", script: "head -c 300 $P > $F",
            mentions: ["cannot be read as a PNG"]),
        WrongFile(
            name: "a text", script: "printf 'hello, good world' > $F", mentions: ["hello", "PNG"]),
        WrongFile(
            name: "a JPEG", script: "printf '\\377\\330\\377\\340 JFIF' > $F",
            mentions: ["JPEG", "expected a PNG", "convert it"]),
        WrongFile(name: "an empty file", script: ": > $F", mentions: ["empty", "PNG"]),
        WrongFile(name: "a folder", script: "mkdir $F", mentions: ["is a directory"]),
        WrongFile(name: "a pipe", script: "mkfifo $F", mentions: ["is a pipe"]),
        WrongFile(
            name: "another method", script: "cp $P $F", more: ["--method", "direct"], status: 64,
            mentions: ["picture to start from", "direct"]),
        WrongFile(
            name: "another shape", script: "cp $P $F", more: ["--size", "512x512"], status: 64,
            mentions: ["512x512", "150×128", "600x512"]),
        WrongFile(
            name: "too large a size", script: "cp $P $F", more: ["--size", "1000x"], status: 64,
            mentions: ["150000×128000", "65536"]),
        WrongFile(
            name: "too small a size", script: "cp $P $F", more: ["--size", "0.5x"], status: 64,
            mentions: ["75×64", "at least 128"]),
        WrongFile(
            name: "no strength at all", script: "cp $P $F", more: ["--strength", "0"], status: 64,
            mentions: ["strength", "above 0"]),
        WrongFile(
            name: "the picture itself as the result", script: "cp $P $F",
            more: ["--output", "$F"], status: 64, mentions: ["--image", "--output", "one file"]),
    ]
}

@Suite(
    "What is no picture to start from ends in one sentence and its exit code", .watched,
    .timeLimit(.minutes(10)))
struct WrongImageTests {
    @Test("before anything is computed", arguments: WrongFile.all)
    private func refused(wrong: WrongFile) async throws {
        let studio = try await Studio()
        let more = wrong.more.joined(separator: " ")
        let output = wrong.more.contains("--output") ? "" : "--output $D/a.png"
        let outcome = try await CommandLineTool.shell(
            "\(wrong.script); exec $T generate --prompt hills --image $F \(output) \(more)",
            environment: [
                "P": studio.photo, "D": studio.folder.path,
                "F": studio.folder.file("wrong.png"),
            ])
        #expect(outcome.status == wrong.status, "\(outcome)")
        for mention in wrong.mentions { #expect(outcome.errors.contains(mention), "\(outcome)") }
        #expect(!outcome.errors.contains("denoising"))
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.count { $0.hasPrefix("tessera: ") || $0.hasPrefix("Error: ") } == 1)
        #expect(!(try studio.folder.contents.contains("a.png")))
    }

    @Test("one pixel, and more than a picture may have")
    func extents() async throws {
        let folder = try TemporaryFolder()
        try await writePhoto(folder.file("dot.png"), width: 1, height: 1)
        try await writePhoto(folder.file("long.png"), width: 40_000, height: 20)
        for (name, status, mentions) in [
            ("dot.png", Int32(65), ["1×1", "at least 16"]),
            ("long.png", Int32(64), ["80000×40", "65536"]),
        ] {
            let outcome = try await CommandLineTool.run([
                "generate", "--prompt", "hills", "--image", folder.file(name), "--output",
                folder.file("a.png"),
            ])
            #expect(outcome.status == status, "\(outcome)")
            for mention in mentions { #expect(outcome.errors.contains(mention), "\(outcome)") }
        }
    }

    @Test("a strength without a picture")
    func strengthAlone() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run([
            "generate", "--prompt", "hills", "--strength", "0.5", "--output", folder.file("a.png"),
        ])
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("--image"), "\(outcome)")
    }
}
