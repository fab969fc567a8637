import Foundation
import TestSupport
import Testing

@Suite("The watchdog of the test command", .watched, .timeLimit(.minutes(10)))
struct WatchdogTests {
    private static let watch = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("watch").path

    @Test(
        "a run in which nothing ends any more is ended, with what is under way and where it stands")
    func standingStill() async throws {
        let outcome = try await CommandLineTool.shell(
            """
            exec '\(Self.watch)' 1 sh -c 'for line in "began a/done" "ended a/done" "began a/stuck"
            do echo "$line" >> "$TESSERA_TEST_JOURNAL"; done; sleep 3600'
            """)
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.errors.contains("under way:\nwatch:   a/stuck\n"), "\(outcome)")
        #expect(!outcome.errors.contains("watch:   a/done"), "\(outcome)")
        #expect(outcome.errors.contains("sleep 3600"), "\(outcome)")
    }

    @Test("a run that ends is left alone, and its exit code is the watchdog's", arguments: [0, 7])
    func ending(code: Int32) async throws {
        let outcome = try await CommandLineTool.shell(
            "exec '\(Self.watch)' 60 sh -c 'echo done; exit \(code)'")
        #expect(outcome.status == code && outcome.output == "done\n", "\(outcome)")
    }
}
