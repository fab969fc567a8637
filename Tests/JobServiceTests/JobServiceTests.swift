import ClusterCore
import Foundation
import JobService
import Synchronization
import TestSupport
import Testing
import TextToImage

/// Judges by the prompt and makes nothing: each job waits for its permit, or for its end.
final class FakeMaker: JobMaker {
    struct Refused: Error {
        let exitCode: Int?
    }

    /// To end; given before the job waits for it or after.
    private struct Permit {
        let stream: AsyncThrowingStream<Void, any Error>
        let sink: AsyncThrowingStream<Void, any Error>.Continuation

        init() { (stream, sink) = AsyncThrowingStream.makeStream() }
    }

    private struct State {
        var begun: [String] = []
        var permits: [String: Permit] = [:]
    }

    private let waits: Bool
    private let state = Mutex(State())

    /// Jobs are done at once, unless they are to wait for ``finish(_:throwing:)``.
    init(waits: Bool = false) { self.waits = waits }

    /// Jobs that were begun, in order.
    var begun: [String] { state.withLock { $0.begun } }

    func finish(_ id: String, throwing error: (any Error)? = nil) {
        permit(of: id).sink.finish(throwing: error)
    }

    private func permit(of id: String) -> Permit {
        state.withLock { state in
            let permit = state.permits[id] ?? Permit()
            state.permits[id] = permit
            return permit
        }
    }

    func admit(_ order: JobOrder) throws -> (request: GenerationRequest, weights: String) {
        if order.request.prompt == "unusable" { throw Refused(exitCode: 64) }
        if order.request.prompt == "damaged" { throw Refused(exitCode: 65) }
        var request = order.request
        (request.width, request.height) = (64, 64)
        return (request, "0123456789abcdef")
    }

    func perform(
        _ job: JobRecord, folder: String,
        onProgress: @escaping @Sendable (GenerationProgress) -> Void
    ) async throws {
        try Data("kept".utf8).write(to: URL(fileURLWithPath: folder + "/work"))
        onProgress(.step(done: 2, of: 5))
        if job.request.prompt == "decodes" { onProgress(.tile(done: 1, of: 9)) }
        if !waits { finish(job.id) }
        state.withLock { $0.begun.append(job.id) }
        defer { state.withLock { $0.permits[job.id] = nil } }
        for try await _ in permit(of: job.id).stream {}
        try Task.checkCancellation()
    }

    func exitCode(of error: any Error) -> Int? { (error as? Refused)?.exitCode }
}

func order(
    _ prompt: String = "a lake", output: String = "/tmp/a.png"
) -> [UInt8] {
    let request = GenerationRequest(
        prompt: prompt, width: 0, height: 0, steps: 5, guidanceScale: 1, seed: 1, method: "direct")
    return (try? JobOrder(size: "1x", request: request, output: output).json) ?? []
}

extension ControlAnswer {
    var jobs: [JobStatus] { if case .jobs(let jobs) = self { jobs } else { [] } }
    var phases: [JobPhase] { jobs.map(\.phase) }
    var ids: [String] { jobs.map(\.id) }
    var refusal: RefusalCode? {
        if case .refused(let refusal) = self { refusal.code } else { nil }
    }
}

/// A service over a folder of its own; several may follow each other on it.
final class Bench: Sendable {
    let folder = NSTemporaryDirectory() + "tessera-jobs-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func file(_ name: String) -> String { folder + "/" + name }

    /// Runs `body` beside the service, and ends the service as a signal does. `changes` tells of
    /// jobs that begin or are over.
    func withService(
        _ maker: FakeMaker, maximumQueued: Int = 64, isRunning: Bool = true,
        _ body: @Sendable (JobService<FakeMaker>, AsyncStream<JobStatus>) async throws -> Void
    ) async throws {
        let (changes, sink) = AsyncStream.makeStream(of: JobStatus.self)
        let service = try JobService(
            store: JobStore(folder: folder), maker: maker, maximumQueued: maximumQueued,
            onChange: { sink.yield($0) }, onProblem: { problem in Issue.record("\(problem)") })
        try await withThrowingTaskGroup(of: Void.self) { group in
            if isRunning {
                group.addTask {
                    await #expect(throws: CancellationError.self) { try await service.run() }
                }
            }
            try await body(service, changes)
            group.cancelAll()
        }
    }
}

extension AsyncStream<JobStatus> {
    /// Waits for a job to be in this phase. Throws when that will not be.
    func wait(for id: String, _ phase: JobPhase) async throws {
        for await job in self where job.id == id && job.phase == phase { return }
        try Task.checkCancellation()
        Issue.record("the service ended before job \(id) was \(phase)")
    }
}

@Suite("Jobs of a coordinator that stays up", .watched, .timeLimit(.minutes(10)))
struct JobServiceTests {
    @Test("jobs are done one after the other, in the order they came, and stay known")
    func firstInFirstOut() async throws {
        let bench = Bench()
        let maker = FakeMaker()
        try await bench.withService(maker) { service, changes in
            for number in 0..<5 {
                let answer = service.submit(
                    id: "job\(number)", order: order(output: "/tmp/\(number).png"))
                #expect(answer.ids == ["job\(number)"])
            }
            try await changes.wait(for: "job4", .done)
            #expect(service.status(id: nil).phases == Array(repeating: .done, count: 5))
            #expect(service.status(id: nil).ids == ["job4", "job3", "job2", "job1", "job0"])
        }
        #expect(maker.begun == (0..<5).map { "job\($0)" })
        try await bench.withService(FakeMaker()) { service, _ in
            #expect(service.status(id: "job2").phases == [.done])
            #expect(service.unfinished.isEmpty)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: bench.file("job2"))
        #expect(left == ["job.json"])
    }

    @Test("matrix row 56: the same id twice is one job, under another request it is refused")
    func idempotent() async throws {
        let maker = FakeMaker(waits: true)
        let bench = Bench()
        try await bench.withService(maker) { service, changes in
            #expect(service.submit(id: "lake", order: order()).ids == ["lake"])
            try await changes.wait(for: "lake", .running)
            #expect(service.submit(id: "lake", order: order()).phases == [.running])
            #expect(service.submit(id: "lake", order: order("a hill")).refusal == .conflict)
            #expect(service.status(id: nil).ids == ["lake"])
            maker.finish("lake")
            try await changes.wait(for: "lake", .done)
            #expect(service.submit(id: "lake", order: order()).phases == [.done])
        }
        #expect(maker.begun == ["lake"])
        // Nor is it another job for the next life.
        try await bench.withService(maker) { service, _ in
            #expect(service.submit(id: "lake", order: order()).phases == [.done])
        }
        #expect(maker.begun == ["lake"])
    }

    @Test("a full queue turns jobs away, and takes them again when there is room")
    func admission() async throws {
        let maker = FakeMaker(waits: true)
        try await Bench().withService(maker, maximumQueued: 2) { service, changes in
            for number in 0..<3 {
                #expect(
                    service.submit(id: "\(number)", order: order(output: "/tmp/\(number).png"))
                        .refusal == nil)
            }
            try await changes.wait(for: "0", .running)
            let late = order(output: "/tmp/late.png")
            #expect(service.submit(id: "late", order: late).refusal == .full)
            // A known job is no new one.
            #expect(service.submit(id: "2", order: order(output: "/tmp/2.png")).ids == ["2"])
            maker.finish("0")
            try await changes.wait(for: "1", .running)
            #expect(service.submit(id: "late", order: late).ids == ["late"])
        }
    }

    @Test("two jobs that are to be done do not write one file")
    func sameOutput() async throws {
        let maker = FakeMaker(waits: true)
        try await Bench().withService(maker) { service, changes in
            _ = service.submit(id: "a", order: order())
            #expect(service.submit(id: "b", order: order("a hill")).refusal == .conflict)
            try await changes.wait(for: "a", .running)
            maker.finish("a")
            try await changes.wait(for: "a", .done)
            #expect(service.submit(id: "b", order: order("a hill")).ids == ["b"])
        }
    }

    @Test("matrix row 57: a job is cancelled in each state", arguments: ["a lake", "decodes"])
    func cancel(prompt: String) async throws {
        let maker = FakeMaker(waits: true)
        let bench = Bench()
        try await bench.withService(maker) { service, changes in
            _ = service.submit(id: "work", order: order(prompt))
            _ = service.submit(id: "waits", order: order(output: "/tmp/b.png"))
            _ = service.submit(id: "last", order: order(output: "/tmp/c.png"))
            try await changes.wait(for: "work", .running)
            #expect(service.cancel(id: "waits").phases == [.cancelled])
            #expect(service.cancel(id: "work").phases == [.cancelled])
            #expect(service.cancel(id: "work").phases == [.cancelled])
            #expect(service.cancel(id: "nobody").refusal == .unknown)
            try await changes.wait(for: "last", .running)
            maker.finish("last")
            try await changes.wait(for: "last", .done)
            #expect(service.cancel(id: "last").refusal == .conflict)
            #expect(service.status(id: nil).phases == [.done, .cancelled, .cancelled])
        }
        #expect(maker.begun == ["work", "last"])
        for id in ["work", "waits"] {
            let left = try FileManager.default.contentsOfDirectory(atPath: bench.file(id))
            #expect(left == ["job.json"])
        }
        try await bench.withService(maker) { service, _ in
            #expect(service.status(id: "work").phases == [.cancelled])
            #expect(service.unfinished.isEmpty)
        }
    }

    @Test("a service that ends leaves the job at work and the queue to the next, in order")
    func nextLife() async throws {
        let bench = Bench()
        try await bench.withService(FakeMaker(waits: true)) { service, changes in
            for number in 0..<3 {
                _ = service.submit(id: "\(number)", order: order(output: "/tmp/\(number).png"))
            }
            try await changes.wait(for: "0", .running)
        }
        #expect(FileManager.default.fileExists(atPath: bench.file("0/work")))
        let maker = FakeMaker()
        try await bench.withService(maker) { service, changes in
            try await changes.wait(for: "2", .done)
        }
        #expect(maker.begun == ["0", "1", "2"])
    }

    @Test("a job that fails says why, the next goes on, and it can be submitted again")
    func failure() async throws {
        let maker = FakeMaker(waits: true)
        let bench = Bench()
        try await bench.withService(maker) { service, changes in
            _ = service.submit(id: "bad", order: order())
            _ = service.submit(id: "good", order: order(output: "/tmp/b.png"))
            try await changes.wait(for: "bad", .running)
            maker.finish("bad", throwing: FakeMaker.Refused(exitCode: 65))
            try await changes.wait(for: "good", .running)
            let job = try #require(service.status(id: "bad").jobs.first)
            #expect(job.phase == .failed && job.exitCode == 65)
            #expect(!job.reason.isEmpty)
            // What it has kept is of use again.
            #expect(FileManager.default.fileExists(atPath: bench.file("bad/work")))
            #expect(service.submit(id: "bad", order: order()).phases == [.queued])
            maker.finish("good")
            try await changes.wait(for: "bad", .running)
            maker.finish("bad")
            try await changes.wait(for: "bad", .done)
        }
        #expect(maker.begun == ["bad", "good", "bad"])
    }

    @Test("an error that is no job's ends the service and leaves the job to be done")
    func coordinatorFailure() async throws {
        let maker = FakeMaker(waits: true)
        let bench = Bench()
        try await bench.withService(maker, isRunning: false) { service, changes in
            _ = service.submit(id: "lake", order: order())
            let run = Task { try await service.run() }
            try await changes.wait(for: "lake", .running)
            maker.finish("lake", throwing: FakeMaker.Refused(exitCode: nil))
            await #expect(throws: FakeMaker.Refused.self) { try await run.value }
            #expect(service.unfinished.map(\.id) == ["lake"])
        }
    }

    @Test(
        "ids that are no file names, and requests that are none, are refused",
        arguments: [
            ("", order()), (".", order()), ("..", order()), (".hidden", order()),
            ("a/b", order()), ("a b", order()), ("é", order()),
            (String(repeating: "a", count: 65), order()), ("a", []), ("a", Array("{}".utf8)),
            ("a", order(output: "relative.png")), ("a", order(output: "")),
            ("a", order(output: "/" + String(repeating: "x", count: 2000))),
            ("a", order("unusable")),
            ("a", Array(repeating: UInt8(ascii: "["), count: 30_000)),
        ] as [(String, [UInt8])])
    func hostile(id: String, bytes: [UInt8]) async throws {
        let bench = Bench()
        try await bench.withService(FakeMaker(), isRunning: false) { service, _ in
            #expect(service.submit(id: id, order: bytes).refusal == .usage)
            #expect(service.submit(id: "a", order: order("damaged")).refusal == .badData)
            #expect(service.status(id: id).refusal == .unknown)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.folder).isEmpty)
    }

    @Test("a record that is damaged is passed over and said; the other jobs are done")
    func damaged() async throws {
        let bench = Bench()
        try await bench.withService(FakeMaker(), isRunning: false) { service, _ in
            _ = service.submit(id: "a", order: order())
            _ = service.submit(id: "b", order: order(output: "/tmp/b.png"))
        }
        try Data("{".utf8).write(to: URL(fileURLWithPath: bench.file("a/job.json")))
        let (jobs, problems) = try JobStore(folder: bench.folder).load()
        #expect(jobs.map(\.id) == ["b"])
        #expect(problems.count == 1 && problems[0].contains("a/job.json"))
    }
}
