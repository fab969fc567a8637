import Foundation
import TestSupport
import Testing

/// A process under `ulimit -v` either does what it was asked to, or says in one sentence what was
/// wanted and what there is: nothing hangs, nothing dies without a word.
@Suite("Under a memory limit", .watched, .timeLimit(.minutes(10)))
struct MemoryLimitTests {
    /// Whether this is a build with a sanitizer, which maps terabytes ahead.
    private static let isSanitized: Bool = {
        let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
        return maps.contains("libclang_rt") || maps.contains("libasan") || maps.contains("libtsan")
    }()

    /// Runs the tool with so many kilobytes; `timeout` bounds what would hang.
    private func run(_ kilobytes: Int, _ arguments: String) async throws -> CommandLineTool.Outcome
    {
        try await CommandLineTool.shell(
            "ulimit -v \(kilobytes); exec timeout -k 5 120 \"$T\" \(arguments)")
    }

    @Test(
        "a run makes its picture or says what is missing, and makes it with enough",
        .disabled(if: isSanitized, "sanitizers map terabytes"),
        arguments: ["--threads 1", "--threads 2", "--threads 1 --memory-budget 0"])
    func generate(options: String) async throws {
        let folder = try TemporaryFolder()
        var statuses: [Int32] = []
        for kilobytes in [300_000, 360_000, 420_000, 480_000, 600_000, 800_000, 1_500_000] {
            let picture = folder.file("\(kilobytes).png")
            let outcome = try await run(
                kilobytes, "generate --prompt x --size 1x --steps 1 \(options) --output \(picture)")
            statuses.append(outcome.status)
            let isMade = FileManager.default.fileExists(atPath: picture)
            if outcome.status == 0 {
                #expect(isMade)
            } else {
                #expect(outcome.status == 65 && !isMade, "\(outcome)")
                let sentences = outcome.errors.split(separator: "\n").filter {
                    $0.contains("out of memory")
                }
                #expect(sentences.count == 1, "\(outcome)")
                #expect(sentences.first?.contains("ulimit -v allows") == true, "\(outcome)")
            }
        }
        #expect(statuses.first == 65 && statuses.last == 0, "\(statuses)")
        #expect(statuses == statuses.sorted(by: >), "more memory never takes a picture away")
    }

    @Test(
        "workers that have too little say so, and the run ends with theirs",
        .disabled(if: isSanitized, "sanitizers map terabytes"))
    func workers() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await run(
            400_000,
            "generate --prompt x --size 1x --steps 1 --threads 1 --workers 2 "
                + "--output \(folder.file("picture.png"))")
        #expect(outcome.status == 69 || outcome.status == 65, "\(outcome)")
        #expect(outcome.errors.contains("out of memory"), "\(outcome)")
        let worker = try await run(
            300_000, "worker --connect tcp://127.0.0.1:9 --threads 2")
        #expect(worker.status == 65 && worker.errors.contains("out of memory"), "\(worker)")
    }

    @Test(
        "a private-data limit counts like one of addresses",
        .disabled(if: isSanitized, "sanitizers map terabytes"))
    func dataLimit() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.shell(
            "ulimit -d 150000; exec timeout -k 5 120 \"$T\" generate --prompt x --size 1x --steps 1 "
                + "--threads 1 --output \(folder.file("picture.png"))")
        #expect(outcome.status == 65 && outcome.errors.contains("ulimit -d allows"), "\(outcome)")
    }
}
