import Foundation
import TestSupport
import Testing

/// The flags of a picture: six steps, three of them of stage one, and nine tiles.
private func request(seed: Int, steps: Int = 6) -> [String] {
    [
        "--prompt", "hills at dawn", "--size", "256x256", "--steps", "\(steps)",
        "--method", "cutdiffusion", "--structure-steps", "3", "--seed", "\(seed)",
    ]
}

/// What `generate` makes of the requests with seeds 11 and 12; made once.
private let quietPictures = Task {
    let folder = try TemporaryFolder()
    var pictures: [Int: Data] = [:]
    for seed in [11, 12] {
        let outcome = try await CommandLineTool.run(
            ["generate", "--output", folder.file("quiet.png")] + request(seed: seed))
        try #require(outcome.status == 0, "\(outcome)")
        pictures[seed] = try Data(contentsOf: URL(fileURLWithPath: folder.file("quiet.png")))
    }
    return pictures
}

/// A coordinator's folder, and the commands for it.
private struct Service {
    let folder: TemporaryFolder
    let state: String

    init() throws {
        folder = try TemporaryFolder()
        state = folder.file("state")
    }

    /// Starts a coordinator and waits until it takes jobs.
    func coordinator(_ more: [String] = ["--workers", "2"]) async throws -> RunningTool {
        let tool = try await RunningTool(
            ["coordinator", "--state-dir", state, "--threads", "1", "--json"] + more)
        let isUp = try await tool.hasShown("\"event\":\"coordinator\"")
        if !isUp { Issue.record("\(try await tool.outcome())") }
        try #require(isUp)
        return tool
    }

    func submission(_ seed: Int, id: String, _ more: [String] = []) -> [String] {
        [
            "submit", "--state-dir", state, "--output", folder.file("\(id).png"), "--id", id,
            "--timeout", "60",
        ] + request(seed: seed) + more
    }

    @discardableResult
    func submit(
        _ seed: Int, id: String, _ more: [String] = [], status: Int32 = 0
    ) async throws -> CommandLineTool.Outcome {
        let outcome = try await CommandLineTool.run(submission(seed, id: id, more))
        #expect(outcome.status == status, "\(outcome)")
        return outcome
    }

    @discardableResult
    func run(
        _ command: String, _ more: [String] = [], status: Int32 = 0
    ) async throws -> CommandLineTool.Outcome {
        let outcome = try await CommandLineTool.run(
            [command, "--state-dir", state, "--timeout", "60"] + more)
        #expect(outcome.status == status, "\(outcome)")
        return outcome
    }

    func jobs() async throws -> [JobLine] {
        let outcome = try await run("status", ["--json"])
        return try JSONDecoder().decode([String: [JobLine]].self, from: Data(outcome.output.utf8))[
            "jobs"] ?? []
    }

    func workers() async throws -> [WorkerLine] {
        let outcome = try await run("workers", ["--json"])
        return try JSONDecoder().decode(
            [String: [WorkerLine]].self, from: Data(outcome.output.utf8))["workers"] ?? []
    }

    /// Asks until it is so; the test's time limit ends it otherwise.
    func wait(until isSo: () async throws -> Bool) async throws {
        while try await !isSo() { try await Task.sleep(for: .milliseconds(100)) }
    }

    func picture(_ id: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: folder.file(id + ".png")))
    }

    func kept(of id: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: state + "/jobs/" + id).sorted()
    }

    /// Ends a coordinator in order.
    func stop(_ tool: RunningTool, status: Int32) async throws {
        tool.send(signal: SIGTERM)
        let outcome = try await tool.outcome()
        #expect(outcome.status == status, "\(outcome)")
    }
}

private struct JobLine: Decodable {
    let id: String
    let state: String
    let done: Int
}

private struct WorkerLine: Decodable {
    let name: String
    let state: String
    let inHand: Int

    enum CodingKeys: String, CodingKey {
        case name, state
        case inHand = "in_hand"
    }
}

/// What a `--json` coordinator says when so much is done.
private func step(_ step: Int) -> String { "{\"done\":\(step),\"event\":\"step\"" }
private func tile(_ tile: Int) -> String { "{\"done\":\(tile),\"event\":\"tile\"" }

@Suite("A coordinator that stays up", .watched, .serialized, .timeLimit(.minutes(10)))
struct ServiceTests {
    @Test("a submitted picture with regions is the one that generate makes")
    func regions() async throws {
        let service = try Service()
        let picture = [
            "--prompt", "hills at dawn", "--size", "256x256", "--steps", "2", "--method",
            "multidiffusion", "--region", "0,0,128,256:a full moon", "--seed", "11",
        ]
        let quiet = try await CommandLineTool.run(
            ["generate", "--output", service.folder.file("quiet.png")] + picture)
        try #require(quiet.status == 0, "\(quiet)")
        let coordinator = try await service.coordinator()
        func submit(_ id: String, _ more: [String]) async throws -> CommandLineTool.Outcome {
            try await CommandLineTool.run(
                [
                    "submit", "--state-dir", service.state, "--output",
                    service.folder.file("\(id).png"), "--id", id, "--timeout", "60", "--watch",
                ] + picture + more)
        }
        let good = try await submit("good", [])
        #expect(good.status == 0, "\(good)")
        #expect(try service.picture("good") == service.picture("quiet"))
        let outside = try await submit("outside", ["--region", "200,0,128,256:a sunset"])
        #expect(outside.status == 64, "\(outside)")
        #expect(outside.errors.contains("region 2"), "\(outside)")
        try await service.stop(coordinator, status: 0)
    }

    @Test(
        "matrix row 29: a coordinator killed with a job at work and one waiting goes on by itself",
        arguments: [step(2), step(5), tile(3)])
    func killed(moment: String) async throws {
        let service = try Service()
        let first = try await service.coordinator()
        try await service.submit(11, id: "first")
        try await service.submit(12, id: "second")
        #expect(try await first.hasShown(moment))
        first.send(signal: SIGKILL)
        _ = try await first.outcome()
        let second = try await service.coordinator()
        try await service.submit(11, id: "first", ["--watch"])
        try await service.submit(12, id: "second", ["--watch"])
        #expect(try service.picture("first") == (try await quietPictures.ownValue)[11])
        #expect(try service.picture("second") == (try await quietPictures.ownValue)[12])
        #expect(try await service.jobs().map(\.id) == ["second", "first"])
        #expect(try service.kept(of: "first") == ["job.json"])
        try await service.stop(second, status: 0)
        #expect(try await second.outcome().output.contains("\"epoch\":2"))
    }

    @Test("matrix row 29: a worker that outlives the coordinator comes back to the next one")
    func survivingWorker() async throws {
        let service = try Service()
        let bind = ["--bind", "ipc://" + service.folder.file("workers")]
        let first = try await service.coordinator(bind)
        let worker = try await RunningTool([
            "worker", "--join", service.state + "/workers.join", "--name", "survivor",
        ])
        try await service.submit(11, id: "lake")
        try #require(try await first.hasShown(step(2)))
        first.send(signal: SIGKILL)
        _ = try await first.outcome()
        let second = try await service.coordinator(bind)
        try await service.submit(11, id: "lake", ["--watch"])
        #expect(try service.picture("lake") == (try await quietPictures.ownValue)[11])
        try await service.run("drain", ["survivor"])
        let outcome = try await worker.outcome()
        #expect(outcome.status == 0, "\(outcome)")
        try await service.run("drain", ["survivor"], status: 65)
        try await service.stop(second, status: 0)
    }

    @Test("matrix row 56: a client that goes away, or submits twice, changes nothing")
    func clients() async throws {
        let service = try Service()
        let coordinator = try await service.coordinator()
        let watcher = try await RunningTool(service.submission(11, id: "lake", ["--watch"]))
        try #require(try await coordinator.hasShown(step(1)))
        watcher.send(signal: SIGKILL)
        _ = try await watcher.outcome()
        let again = try await service.submit(11, id: "lake", ["--watch"])
        #expect(again.output == "lake\n")
        try await service.submit(12, id: "lake", status: 65)
        #expect(try await service.jobs().map(\.id) == ["lake"])
        #expect(try service.picture("lake") == (try await quietPictures.ownValue)[11])
        let begun = try await coordinator.outcomeAfter { try await service.stop($0, status: 0) }
        #expect(begun.components(separatedBy: "\"state\":\"running\"").count == 2)
    }

    @Test("matrix row 57: cancelled in each state, a job is gone and its workers are idle")
    func cancelled() async throws {
        let service = try Service()
        // Slow enough that a job is still where it was seen when it is cancelled.
        let slow = ["--workers", "2", "--worker-fault", "0:compute:slow=8x"]
        let coordinator = try await service.coordinator(
            slow + ["--worker-fault", "1:compute:slow=8x"])
        for (id, state, done) in [
            ("one", "running", 1), ("two", "running", 4), ("tiles", "decoding", 2),
        ] {
            try await service.submit(11, id: id)
            try await service.submit(12, id: id + "-waits")
            try await service.wait {
                try await service.jobs().contains {
                    $0.id == id && $0.state == state && $0.done >= done
                }
            }
            try await service.run("cancel", [id + "-waits"])
            let watcher = try await RunningTool(service.submission(11, id: id, ["--watch"]))
            try await service.run("cancel", [id])
            try await service.wait {
                try await service.workers().allSatisfy { $0.state == "idle" && $0.inHand == 0 }
            }
            #expect(try await watcher.outcome().status == 130)
            try await service.run("cancel", [id])
            for name in [id, id + "-waits"] {
                try await service.wait { try service.kept(of: name) == ["job.json"] }
                #expect(!FileManager.default.fileExists(atPath: service.folder.file(name + ".png")))
            }
        }
        #expect(try await service.jobs().allSatisfy { $0.state == "cancelled" })
        // Those workers make the next picture.
        try await service.submit(11, id: "lake", ["--watch"])
        #expect(try service.picture("lake") == (try await quietPictures.ownValue)[11])
        try await service.run("cancel", ["lake"], status: 65)
        try await service.run("cancel", ["nobody"], status: 65)
        try await service.stop(coordinator, status: 0)
    }

    @Test("matrix row 31: jobs wait for workers, a full queue is full, and SIGTERM ends with 75")
    func full() async throws {
        let service = try Service()
        let bind = ["--bind", "ipc://" + service.folder.file("workers"), "--max-queued", "1"]
        let coordinator = try await service.coordinator(bind)
        try await service.submit(11, id: "a")
        try await service.submit(12, id: "b")
        let refused = try await service.submit(12, id: "c", status: 69)
        #expect(refused.errors.contains("1 jobs are waiting"), "\(refused)")
        try await service.submit(12, id: "b")
        #expect(try await service.jobs().map(\.id) == ["a", "b"])
        let table = try await service.run("status")
        #expect(table.output.contains("queued behind 1"), "\(table)")
        try await service.stop(coordinator, status: 75)
        try await service.run("status", status: 69)
    }

    @Test("matrix row 31: SIGTERM in the middle of a job keeps it, and the next life ends it")
    func stopped() async throws {
        let service = try Service()
        let first = try await service.coordinator()
        try await service.submit(11, id: "lake")
        try #require(try await first.hasShown(step(2)))
        try await service.stop(first, status: 75)
        let second = try await service.coordinator()
        try await service.submit(11, id: "lake", ["--watch"])
        #expect(try service.picture("lake") == (try await quietPictures.ownValue)[11])
        try await service.stop(second, status: 0)
        let output = try await second.outcome().output
        #expect(output.contains("\"event\":\"resumed\""), "\(output)")
        #expect(!output.contains(step(1)), "\(output)")
    }

    @Test("matrix row 33: a second coordinator on a state folder is refused and harms nothing")
    func second() async throws {
        let service = try Service()
        let coordinator = try await service.coordinator()
        let outcome = try await CommandLineTool.run(["coordinator", "--state-dir", service.state])
        #expect(outcome.status == 65)
        #expect(outcome.errors.contains("process \(coordinator.processID)"), "\(outcome)")
        try await service.submit(11, id: "lake", ["--watch"])
        try await service.stop(coordinator, status: 0)
    }

    @Test("requests that cannot work are refused when they are submitted, and make no job")
    func refusals() async throws {
        let service = try Service()
        try await service.run("status", status: 69)
        let coordinator = try await service.coordinator(["--workers", "1"])
        try await service.submit(11, id: "small", ["--size", "8x8"], status: 64)
        try await service.submit(11, id: "method", ["--method", "magic"], status: 64)
        try await service.submit(11, id: "a/b", status: 64)
        try await service.submit(11, id: "no", ["--output", "/nowhere/a.png"], status: 64)
        let own = try await service.submit(
            11, id: "own", ["--output", service.state + "/lock"], status: 64)
        #expect(own.errors.contains("lies in the state folder"), "\(own)")
        try await service.submit(
            11, id: "noise", ["--initial-latents", "/nowhere/a.safetensors"], status: 65)
        #expect(try await service.jobs().isEmpty)
        try await service.run("status", ["nobody"], status: 65)
        for arguments in [["status"], ["submit", "--output", "a.png", "--prompt", "a"]] {
            #expect(try await CommandLineTool.run(arguments).status == 64)
        }
        try await service.stop(coordinator, status: 0)
    }

    @Test("a job that fails does not end the coordinator, and can be submitted again")
    func failed() async throws {
        let service = try Service()
        let coordinator = try await service.coordinator()
        let place = service.folder.file("place")
        try FileManager.default.createDirectory(
            atPath: place, withIntermediateDirectories: true)
        try await service.submit(11, id: "lost", ["--output", place + "/a.png"])
        try #require(try await coordinator.hasShown(step(1)))
        try FileManager.default.removeItem(atPath: place)
        let lost = try await service.submit(
            11, id: "lost", ["--output", place + "/a.png", "--watch"], status: 75)
        #expect(lost.errors.contains(place), "\(lost)")
        try await service.submit(12, id: "next", ["--watch"])
        #expect(try service.picture("next") == (try await quietPictures.ownValue)[12])
        try FileManager.default.createDirectory(
            atPath: place, withIntermediateDirectories: true)
        try await service.submit(11, id: "lost", ["--output", place + "/a.png", "--watch"])
        let picture = try Data(contentsOf: URL(fileURLWithPath: place + "/a.png"))
        #expect(picture == (try await quietPictures.ownValue)[11])
        try await service.stop(coordinator, status: 0)
    }

    @Test(
        "a job whose tiles the only worker finds not finite fails, and that worker goes on",
        arguments: [("upscale", "10..11"), ("cutdiffusion", "13..15")])
    func notFinite(method: String, computations: String) async throws {
        let service = try Service()
        let coordinator = try await service.coordinator([
            "--workers", "1", "--worker-fault", "0:compute:nan@\(computations)",
        ])
        let job = [
            "submit", "--state-dir", service.state, "--id", "lost", "--timeout", "60",
            "--prompt", "hills at dawn", "--size", "256x256", "--steps", "6", "--seed", "11",
            "--method", method, "--output", service.folder.file("lost.png"), "--watch",
        ]
        let lost = try await CommandLineTool.run(job)
        #expect(lost.status == 65, "\(lost)")
        #expect(lost.errors.contains("row 1, column 1"), "\(lost)")
        try await service.wait { try await service.workers().map(\.state) == ["idle"] }
        try await service.submit(12, id: "next", ["--watch"])
        #expect(try service.picture("next") == (try await quietPictures.ownValue)[12])
        let again = try await CommandLineTool.run(job)
        #expect(again.status == 0, "\(again)")
        try await service.stop(coordinator, status: 0)
    }

    @Test("matrix row 62: many jobs in one life leave no descriptor, process or memory behind")
    func soak() async throws {
        let service = try Service()
        let coordinator = try await service.coordinator()
        func resources() throws -> (descriptors: Int, kilobytes: Int) {
            let process = "/proc/\(coordinator.processID)"
            let status = try String(contentsOfFile: process + "/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
            let number = line?.split(separator: " ").compactMap { Int($0) }.first
            let descriptors = try FileManager.default.contentsOfDirectory(atPath: process + "/fd")
            return (descriptors.count, try #require(number))
        }
        var early: (descriptors: Int, kilobytes: Int)?
        for number in 0..<8 {
            let size = ["--size", number % 2 == 0 ? "128x128" : "256x128", "--steps", "4"]
            try await service.submit(number, id: "job-\(number)", size + ["--watch"])
            if number == 2 { early = try resources() }
        }
        let late = try resources()
        let first = try #require(early)
        #expect(late.descriptors <= first.descriptors + 4)
        #expect(late.kilobytes <= first.kilobytes + (64 << 10))
        #expect(try await service.workers().count == 2)
        #expect(try await service.jobs().filter { $0.state == "done" }.count == 8)
        try await service.stop(coordinator, status: 0)
    }
}

extension RunningTool {
    /// What it has said on standard output when `end` has ended it.
    fileprivate func outcomeAfter(_ end: (RunningTool) async throws -> Void) async throws -> String
    {
        try await end(self)
        return try await outcome().output
    }
}
