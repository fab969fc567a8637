import Foundation
import TestSupport
import Testing

/// A picture that takes a second or two, as words of bash.
private let picture = #"generate --prompt "a lake" --size 1x --steps 3 --seed 5"#

/// Something that is wrong with where a run writes to.
private struct Trouble: CustomTestStringConvertible, Sendable {
    let name: String
    /// Bash, in which `run` makes the picture; its exit code counts.
    let script: String

    var testDescription: String { name }

    init(_ name: String, _ script: String) { (self.name, self.script) = (name, script) }

    /// A pipe without room, whose reader is there and does not read.
    private static let fullPipe =
        "mkfifo full; exec 3<>full; dd if=/dev/zero of=full bs=4096 oflag=nonblock 2>&-; "

    static let all = [
        Trouble("messages go to a full disk", "run 2>/dev/full"),
        Trouble("events go to a full disk", "run --json >/dev/full"),
        Trouble("standard error is closed", "run 2>&-"),
        Trouble("all three are closed", "run <&- >&- 2>&-"),
        Trouble("nobody reads the messages", "run 2>&1 >&- | true; exit ${PIPESTATUS[0]}"),
        Trouble("the reader leaves", "run --json 2>&1 | head -1; exit ${PIPESTATUS[0]}"),
        Trouble("the reader stands still", fullPipe + "run --json >full 2>full"),
        Trouble(
            "the reader of an event log stands still",
            fullPipe + "run --workers 1 --event-log full 2>messages && grep -q reads messages"),
        Trouble(
            "the reader of a fault log stands still",
            fullPipe + "run --workers 1 --fault task:delay=1ms --fault-log full"),
    ]
}

/// The picture of a run whose output is read; made once.
private let quietPicture = Task {
    let folder = try TemporaryFolder()
    let outcome = try await CommandLineTool.shell(
        "cd '\(folder.path)'; \"$T\" \(picture) --output a.png")
    try #require(outcome.status == 0, "\(outcome)")
    return try Data(contentsOf: URL(fileURLWithPath: folder.file("a.png")))
}

/// A terminal that nobody reads.
private final class Terminal {
    let path: String
    private var master: Int32

    init() throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // TIOCSPTLCK and TIOCGPTN: what unlockpt(3) and ptsname(3) do.
        var (lock, number): (Int32, UInt32) = (0, 0)
        try #require(ioctl(master, 0x4004_5431, &lock) == 0)
        try #require(ioctl(master, 0x8004_5430, &number) == 0)
        path = "/dev/pts/\(number)"
    }

    deinit { goAway() }

    func type(_ key: UInt8) { _ = write(master, [key], 1) }

    func goAway() {
        if master >= 0 { close(master) }
        master = -1
    }
}

@Suite("No output channel costs a picture", .watched, .serialized, .timeLimit(.minutes(10)))
struct OutputChannelTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func shell(_ script: String) async throws -> CommandLineTool.Outcome {
        try await CommandLineTool.shell("cd '\(folder.path)'; \(script)")
    }

    private func start(_ script: String) async throws -> RunningTool {
        try await RunningTool(shell: "cd '\(folder.path)'; \(script)")
    }

    private func expectThePicture(_ outcome: CommandLineTool.Outcome) async throws {
        #expect(outcome.status == 0, "\(outcome)")
        let made = FileManager.default.contents(atPath: folder.file("a.png"))
        #expect(made == (try await quietPicture.value), "\(outcome)")
    }

    @Test("the picture and the exit code are the run's own when", arguments: Trouble.all)
    private func troubled(trouble: Trouble) async throws {
        let run = "run() { \"$T\" \(picture) --output a.png \"$@\"; }; "
        try await expectThePicture(try await shell(run + trouble.script))
    }

    @Test("a terminal that goes away ends nothing when hangups are ignored, as by nohup")
    func terminalGone() async throws {
        let terminal = try Terminal()
        let tool = try await start(
            "trap '' HUP; exec \"$T\" \(picture) --output a.png --json 2>'\(terminal.path)'")
        try #require(try await tool.hasShown("\"event\":\"plan\""))
        terminal.goAway()
        tool.send(signal: SIGHUP)
        try await expectThePicture(try await tool.outcome())
    }

    @Test("a terminal that was stopped with Ctrl-S stops nothing")
    func terminalStopped() async throws {
        let terminal = try Terminal()
        let tool = try await start(
            "exec \"$T\" \(picture) --output a.png >'\(terminal.path)' 2>&1 <'\(terminal.path)'")
        terminal.type(0x13)
        try await expectThePicture(try await tool.outcome())
    }

    @Test(
        "a run that is asked to stop is resumable, also when the reader went first",
        arguments: [SIGINT, SIGTERM, SIGHUP])
    func stopped(signal: Int32) async throws {
        let tool = try await start(
            """
            exec "$T" generate --prompt x --size 2x --steps 500 --state-dir s --output a.png \
            --json > >(head -1 >&2) 2> >(head -1 >/dev/null)
            """)
        try #require(try await tool.hasShown("\"event\":\"plan\""))
        tool.send(signal: signal)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 75, "\(outcome)")
    }

    @Test("a worker and its coordinator go on when nobody reads what they say")
    func worker() async throws {
        let outcome = try await shell(
            """
            "$T" \(picture) --output a.png --listen 'tcp://127.0.0.1:*' --join j > >(head -1) 2>&1 &
            until [ -e j ]; do kill -0 $! || exit 99; sleep 0.02; done
            "$T" worker --join j 2>&1 | head -1
            worker=${PIPESTATUS[0]}
            wait $! && exit $worker
            """)
        try await expectThePicture(outcome)
    }

    @Test("a coordinator that stays up ends at a hangup as at SIGTERM, unless hangups are ignored")
    func hangup() async throws {
        let arguments = ["coordinator", "--state-dir", folder.file("s"), "--json"]
        let tool = try await RunningTool(arguments)
        try #require(try await tool.hasShown("\"event\":\"coordinator\""))
        tool.send(signal: SIGHUP)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 0, "\(outcome)")

        let deaf = try await start("trap '' HUP; exec \"$T\" coordinator --state-dir s --json")
        try #require(try await deaf.hasShown("\"event\":\"coordinator\""))
        deaf.send(signal: SIGHUP)
        let question = try await shell("\"$T\" status --state-dir s --timeout 60")
        #expect(question.status == 0, "\(question)")
        deaf.send(signal: SIGTERM)
        _ = try await deaf.outcome()
    }

    @Test(
        "a proxy ends in order at every signal that ends, and when nobody reads its messages",
        arguments: [SIGINT, SIGTERM, SIGHUP])
    func proxy(signal: Int32) async throws {
        let tool = try await start(
            "exec \"$T\" fault-proxy --listen 127.0.0.1:0 --to 127.0.0.1:9 2>/dev/full")
        try #require(try await tool.hasShown("\"did\":\"listen\""))
        tool.send(signal: signal)
        let outcome = try await tool.outcome()
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test("a result arrives to the last byte, at whatever pace it is read")
    func slowReader() async throws {
        let outcome = try await shell(
            """
            set -o pipefail
            plan() { "$T" plan --size 8x --steps 50 --format json --expand; }
            plan > whole && [ $(wc -c < whole) -gt 200000 ] || exit 98
            plan | { for i in {1..9}; do head -c 4000; sleep 0.02; done; cat; } | cmp - whole
            """)
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test(
        "a result that cannot be written is dropped, and the exit code is the command's own",
        arguments: [
            ("plan --size 4x --format json --expand", 0), ("doctor", 0), ("--help", 0),
            ("--version", 0), ("generate", 64), ("simulate --count 2 --json", 0),
            ("keygen --output $RANDOM$RANDOM.key", 0), ("doctor --json --model /none", 65),
        ])
    func results(command: String, status: Int32) async throws {
        let outcome = try await shell(
            """
            run() { "$T" \(command); echo $? >> codes; }
            run >/dev/full 2>/dev/full; run >&- 2>&-; run 2>&1 | true; run 2>&1 | head -c 1
            cat codes
            """)
        let codes = try String(contentsOfFile: folder.file("codes"), encoding: .utf8)
        #expect(codes == String(repeating: "\(status)\n", count: 4), "\(outcome)")
    }

    @Test("Ctrl-\\ ends a run at once, whoever reads what Swift's runtime would say of it")
    func quit() async throws {
        let folder = try TemporaryFolder()
        let tool = try await RunningTool(
            [
                "generate", "--prompt", "x", "--size", "2x", "--steps", "200", "--json",
                "--output", folder.file("a.png"),
            ], environment: ["SWIFT_BACKTRACE": "enable=yes"])
        try #require(try await tool.hasShown("\"event\":\"step\""))
        tool.send(signal: SIGQUIT)
        #expect(try await tool.outcome().status == 128 + SIGQUIT)
    }

}
