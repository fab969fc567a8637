// What the tests of interrupted runs share: the run, and how it is killed, resumed and looked at.

import Foundation
import ImageOutput
import TestSupport
import Testing

/// Steps and tiles of ``interruptedRun(to:state:_:steps:)``.
let runSteps = 6
let runTiles = 9

/// A short run with three steps of stage one, three of stage two, and nine tiles.
func interruptedRun(
    to output: String, state: String? = nil, _ more: [String] = [], steps: Int = runSteps
) -> [String] {
    [
        "generate", "--prompt", "hills at dawn", "--size", "256x256", "--steps", "\(steps)",
        "--method", "cutdiffusion", "--structure-steps", "3", "--seed", "11", "--threads", "1",
        "--output", output, "--json",
    ] + (state.map { ["--state-dir", $0] } ?? []) + more
}

/// The picture of an undisturbed run; made once.
let undisturbedPicture = Task {
    let folder = try TemporaryFolder()
    let outcome = try await CommandLineTool.run(interruptedRun(to: folder.file("quiet.png")))
    try #require(outcome.status == 0, "\(outcome)")
    return try Data(contentsOf: URL(fileURLWithPath: folder.file("quiet.png")))
}

/// One line of `--json`.
struct RunEvent: Decodable {
    let event: String
    let done: Int?
    let step: Int?
    let tasks: Int?
    let tiles: Int?
    let epoch: Int?
    let realm: String?
    let text: String?
}

extension CommandLineTool.Outcome {
    var events: [RunEvent] {
        output.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(RunEvent.self, from: Data($0.utf8))
        }
    }

    func events(_ name: String) -> [RunEvent] { events.filter { $0.event == name } }
}

/// Resumes to the end and compares; gives what the last process said.
@discardableResult
func resume(
    _ folder: TemporaryFolder, _ more: [String] = [], output: String = "a.png",
    steps: Int = runSteps
) async throws -> CommandLineTool.Outcome {
    let outcome = try await CommandLineTool.run(
        interruptedRun(
            to: folder.file(output), state: folder.file("state"), ["--resume"] + more,
            steps: steps))
    try #require(outcome.status == 0, "\(outcome)")
    if steps == runSteps {
        let picture = try Data(contentsOf: URL(fileURLWithPath: folder.file(output)))
        #expect(picture == (try await undisturbedPicture.ownValue), "\(outcome)")
    }
    #expect(names(in: folder.file("state")) == ["life.json", "lock"])
    return outcome
}

func names(in folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

/// A run that dies by SIGKILL at a step or a tile of its own, such as `tile:kill@2`.
func killedRun(
    in folder: TemporaryFolder, at fault: String, _ more: [String] = []
) async throws {
    let outcome = try await CommandLineTool.run(
        interruptedRun(
            to: folder.file("a.png"), state: folder.file("state"), ["--fault", fault] + more))
    try #require(outcome.status == 128 + SIGKILL, "\(outcome)")
}

/// A run that is killed from outside once it has said that a checkpoint is on disk. One that was
/// done before the signal came, as happens on a busy machine, is started over.
func runKilledAfterCheckpoint(in folder: TemporaryFolder) async throws {
    let (output, state) = (folder.file("a.png"), folder.file("state"))
    for _ in 0..<5 {
        let tool = try await RunningTool(interruptedRun(to: output, state: state))
        try #require(try await tool.hasShown("\"event\":\"checkpoint\""))
        tool.send(signal: SIGKILL)
        let outcome = try await tool.outcome()
        if outcome.status == 128 + SIGKILL { return }
        try #require(outcome.status == 0, "\(outcome)")
        try FileManager.default.removeItem(atPath: output)
    }
    Issue.record("the signal was late every time")
}
