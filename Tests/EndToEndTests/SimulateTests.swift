import Foundation
import TestSupport
import Testing

@Suite("tessera simulate, in real processes", .watched, .timeLimit(.minutes(10)))
struct SimulateTests {
    @Test("seeds that pass are one line, and one object with --json")
    func quiet() async throws {
        let text = try await CommandLineTool.run(["simulate", "--seeds", "3..12"])
        #expect(text.status == 0, "\(text)")
        #expect(text.output.hasPrefix("10 seeds: "), "\(text)")
        #expect(text.output.contains("0 broke an invariant"), "\(text)")
        let json = try await CommandLineTool.run(["simulate", "--seeds", "3..12", "--json"])
        let lines = json.output.split(separator: "\n")
        #expect(lines.count == 1, "\(json)")
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        let summary = try #require(object as? [String: Any])
        #expect(summary["seeds"] as? Int == 10)
        #expect(summary["violated"] as? Int == 0)
    }

    @Test("a broken invariant is exit code 70, and the printed command shows it again")
    func broken() async throws {
        let found = try await CommandLineTool.run(
            ["simulate", "--count", "8", "--sabotage", "acceptsTwice"])
        #expect(found.status == 70, "\(found)")
        let line = try #require(
            found.output.split(separator: "\n").first { $0.contains("again: tessera ") })
        let command = line.split(separator: " ").map(String.init).drop { $0 != "simulate" }
        let again = try await CommandLineTool.run(Array(command))
        #expect(again.status == 70, "\(again)")
        #expect(again.output.contains("VIOLATED I1"), "\(again.output.suffix(2000))")
        #expect(again.output.contains("FAULT"))
    }

    @Test(
        "what cannot be run is refused with the reason",
        arguments: [
            (["--seeds", "9..3"], "A..B"), (["--seeds", "1..2", "--seed", "4"], "--seeds"),
            (["--workers", "0"], "1 to 64"), (["--count", "0"], "--count"),
            (["--count", "4", "--trace"], "--seed"), (["--seed", "x"], "seed"),
        ])
    func refused(arguments: [String], words: String) async throws {
        let outcome = try await CommandLineTool.run(["simulate"] + arguments)
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains(words), "\(outcome)")
        #expect(outcome.output.isEmpty)
    }
}
