package import Testing
import Foundation

/// Runs a test, and every task it begins, on threads of its own, and tells the watchdog of the test
/// command (`Tests/watch`) when it begins and ends. Every suite has this trait.
///
/// Swift's cooperative pool has a thread per core. What blocks one of them (a long product, a read
/// from a socket, a wait for a process) would hold up every other test.
package struct WatchedTest: TestTrait, SuiteTrait, TestScoping {
    package let isRecursive = true

    @concurrent package func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        let name = "\(test.id)"
        Journal.shared?.write("began \(name)")
        defer { Journal.shared?.write("ended \(name)") }
        try await withTaskExecutorPreference(ThreadPool.shared) { try await function() }
    }
}

extension Trait where Self == WatchedTest {
    /// The test runs on threads of its own, and is watched: see ``WatchedTest``.
    package static var watched: Self { Self() }
}

/// The file in which the watchdog reads, a line for each beginning and each end.
private struct Journal: Sendable {
    static let shared = ProcessInfo.processInfo.environment["TESSERA_TEST_JOURNAL"]
        .flatMap(Journal.init)

    private let descriptor: Int32

    private init?(path: String) {
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        if descriptor < 0 { return nil }
    }

    func write(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        // A line that is lost costs a name in a report, and no test.
        _ = Foundation.write(descriptor, bytes, bytes.count)
    }
}
