import ClusterLaunch
import Foundation
import Logging
import TestSupport
import Testing

@Suite("LocalProcessLauncher", .watched, .timeLimit(.minutes(10)))
struct LocalProcessLauncherTests {
    private func launcher(
        _ count: Int = 1,
        program: String = "sh",
        grace: Duration = .seconds(10),
        budget: CrashBudget = .none,
        _ script: @escaping @Sendable (Int) -> String
    ) -> LocalProcessLauncher {
        LocalProcessLauncher(
            program: program, count: count, arguments: { ["-c", script($0)] }, gracePeriod: grace,
            budget: budget, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func ends(of launcher: LocalProcessLauncher) async throws -> [WorkerProcessEnd] {
        try await launcher.withWorkers { ends in
            var all: [WorkerProcessEnd] = []
            for await end in ends { all.append(end) }
            return all.sorted { $0.index < $1.index }
        }
    }

    /// A script that tells its process number in a file and then waits for ever.
    private func waiting(_ file: String) -> String {
        "echo $$ > \(file).part; mv \(file).part \(file); while :; do sleep 0.05; done"
    }

    private func temporaryFile() -> String {
        NSTemporaryDirectory() + "tessera-launch-\(UInt64.random(in: 0...UInt64.max))"
    }

    /// The number in the file, as soon as there is one.
    private func process(in file: String) async throws -> Int32 {
        while true {
            if let text = try? String(contentsOfFile: file, encoding: .utf8),
                let number = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
            {
                return number
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test("every worker's end is reported with its code and last words")
    func ends() async throws {
        let all = try await ends(
            of: launcher(3) { index in
                "for i in $(seq 30); do echo line $i >&2; done; echo I am \(index) >&2; "
                    + "exit \(index * 65)"
            })
        #expect(all.map(\.index) == [0, 1, 2])
        #expect(all.map(\.cause) == [.exited(0), .exited(65), .exited(130)])
        #expect(all.map(\.isSuccess) == [true, false, false])
        #expect(all.allSatisfy { $0.lastLines.count == 20 })
        #expect(all[1].lastLines.last == "I am 1")
        #expect(all[1].description.hasPrefix("worker 1 exited with code 65: "))
    }

    @Test("a worker killed by a signal is told apart")
    func signal() async throws {
        let all = try await ends(of: launcher { _ in "kill -9 $$" })
        #expect(all.map(\.cause) == [.signalled(9)])
    }

    @Test("a worker that dies is started again until its budget is spent")
    func budget() async throws {
        let budget = CrashBudget(count: 3, window: .seconds(60), pause: .milliseconds(1))
        let all = try await ends(of: launcher(budget: budget) { _ in "kill -9 $$" })
        #expect(all.map(\.cause) == Array(repeating: .signalled(9), count: 4))
        #expect(all.map(\.isStartedAgain) == [true, true, true, false])
        #expect(all.first?.description.contains("is started again") == true)
    }

    @Test(
        "a worker that ended in order or is not wanted is not started again",
        arguments: [0, 64, 65, 69])
    func unwanted(code: Int) async throws {
        let budget = CrashBudget(count: 3, window: .seconds(60), pause: .milliseconds(1))
        let all = try await ends(of: launcher(budget: budget) { _ in "exit \(code)" })
        #expect(all.map(\.isStartedAgain) == [false])
    }

    @Test("a worker that is started again ends with the scope like the first one")
    func secondLife() async throws {
        let file = temporaryFile()
        let budget = CrashBudget(count: 3, window: .seconds(60), pause: .milliseconds(1))
        let stream = try await launcher(budget: budget) { _ in
            "[ -e \(file).once ] || { touch \(file).once; kill -9 $$; }; " + waiting(file)
        }.withWorkers { ends in
            _ = try await process(in: file)
            return ends
        }
        var all: [WorkerProcessEnd] = []
        for await end in stream { all.append(end) }
        #expect(all.map(\.cause) == [.signalled(9), .signalled(15)])
        #expect(all.map(\.isStartedAgain) == [true, false])
    }

    @Test("a program that is not there is one report")
    func notStarted() async throws {
        let all = try await ends(of: launcher(program: "tessera-no-such-program") { _ in "" })
        guard case .notStarted? = all.first?.cause else {
            Issue.record("\(all)")
            return
        }
    }

    @Test("workers get SIGTERM when the scope ends and may finish in order")
    func graceful() async throws {
        let file = temporaryFile()
        let stream = try await launcher { _ in
            "trap 'echo bye >&2; exit 7' TERM; " + waiting(file)
        }.withWorkers { ends in
            _ = try await process(in: file)
            return ends
        }
        var all: [WorkerProcessEnd] = []
        for await end in stream { all.append(end) }
        #expect(all.map(\.cause) == [.exited(7)])
        #expect(all.first?.lastLines == ["bye"])
    }

    @Test("a worker that ignores SIGTERM is killed")
    func stubborn() async throws {
        let file = temporaryFile()
        let stream = try await launcher(grace: .milliseconds(100)) { _ in
            "trap '' TERM; " + waiting(file)
        }.withWorkers { ends in
            _ = try await process(in: file)
            return ends
        }
        var all: [WorkerProcessEnd] = []
        for await end in stream { all.append(end) }
        #expect(all.map(\.cause) == [.signalled(9)])
    }

    @Test("no worker is left when the scope throws or is cancelled", arguments: [true, false])
    func scope(isCancelled: Bool) async throws {
        struct Stop: Error {}
        let file = temporaryFile()
        let launcher = launcher(grace: .milliseconds(200)) { _ in waiting(file) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await #expect(throws: (any Error).self) {
                    try await launcher.withWorkers { _ in
                        _ = try await process(in: file)
                        if !isCancelled { throw Stop() }
                        try await Task.sleep(for: .seconds(3600))
                    }
                }
            }
            _ = try? await process(in: file)
            if isCancelled { group.cancelAll() }
        }
        let number = try await process(in: file)
        #expect(kill(number, 0) == -1)
    }

    @Test("launched workers are told that their launcher holds their standard input")
    func lifeline() async throws {
        let file = temporaryFile()
        let all = try await launcher { _ in
            // Reads until the launcher closes the pipe, which it does not while it waits.
            "echo $TESSERA_LIFELINE > \(file); [ -p /dev/stdin ] || [ -S /dev/stdin ]"
        }.withWorkers { ends in
            var all: [WorkerProcessEnd] = []
            for await end in ends { all.append(end) }
            return all
        }
        #expect(all.map(\.cause) == [.exited(0)])
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "stdin\n")
    }
}
