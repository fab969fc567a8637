import ArgumentParser
import ClusterCore
import ClusterRuntime
import Foundation
import TextToImage
import ZeroMQTransport

/// Which coordinator a command is for.
struct ControlOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The coordinator's --state-dir, on this machine.", valueName: "folder")
    )
    var stateDir: String?

    @Option(
        help: ArgumentHelp("Its --control address, instead of --state-dir.", valueName: "url")
    )
    var control: String?

    @Option(
        help: ArgumentHelp(
            "Give up after so many seconds without an answer.", valueName: "seconds")
    )
    var timeout: Double = 10

    func validate() throws {
        if (stateDir == nil) == (control == nil) {
            throw ValidationError(
                "name the coordinator by either --state-dir FOLDER or --control URL")
        }
        if !(timeout > 0 && timeout <= 1e6) {
            throw ValidationError("--timeout should be a positive number of seconds")
        }
    }

    var patience: Duration { .seconds(timeout) }

    /// Runs `body` with a connection to the coordinator. Throws ``CommandFailure`` when there is
    /// none.
    func withClient<Result: Sendable>(
        _ body: (ControlClient) async throws -> Result
    ) async throws -> Result {
        let address = try await address()
        try await DealerTransport.check(address, security: .plaintext(mayLeaveMachine: false))
        let client = try ControlClient(connect: address)
        do {
            return try await client.withConnection { try await body(client) }
        } catch let error as ControlError {
            guard case .silent = error else { throw error }
            throw CommandFailure(.unavailable, "\(error); \(advice)")
        }
    }

    /// The answer to one question; a refusal is thrown as ``CommandFailure``.
    func ask(_ question: ControlQuestion) async throws -> ControlAnswer {
        try await withClient { try await $0.granted(question, patience: patience) }
    }

    private var advice: String {
        stateDir.map { "start one with: tessera coordinator --state-dir \($0)" }
            ?? "is it running, and is the address right?"
    }

    /// Where it is. One that is starting has not said so yet, and is waited for.
    private func address() async throws -> String {
        if let control { return control }
        let stateDir = stateDir ?? ""
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while true {
            guard CoordinatorFolder.isHeld(stateDir) else {
                throw CommandFailure(
                    .unavailable, "no coordinator works in \(stateDir); \(advice)")
            }
            if let address = try ControlFolder(stateDir: stateDir).address() { return address }
            guard clock.now < deadline else {
                throw CommandFailure(
                    .unavailable,
                    "the process that works in \(stateDir) takes no jobs; is it a coordinator?")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}

extension ControlClient {
    /// An answer that is no refusal; one is thrown as ``CommandFailure``.
    func granted(_ question: ControlQuestion, patience: Duration) async throws -> ControlAnswer {
        let answer = try await ask(question, patience: patience)
        if case .refused(let refusal) = answer { throw CommandFailure(refusal) }
        return answer
    }
}

extension CommandFailure {
    init(_ refusal: ControlRefusal) {
        let status: ExitStatus =
            switch refusal.code {
            case .usage: .usage
            case .badData, .conflict, .unknown: .badData
            case .full, .unavailable: .unavailable
            }
        self.init(status, refusal.reason)
    }
}

extension JobPhase {
    /// As scripts read it.
    var text: String {
        switch self {
        case .queued: "queued"
        case .running: "running"
        case .decoding: "decoding"
        case .done: "done"
        case .failed: "failed"
        case .cancelled: "cancelled"
        }
    }
}

extension JobStatus {
    /// Where it is, for people.
    var story: String {
        switch phase {
        case .queued: done == 0 ? "queued" : "queued behind \(done)"
        case .running: total == 0 ? "running" : "running, step \(done) of \(total)"
        case .decoding: "decoding, tile \(done) of \(total)"
        case .done: "done"
        case .failed: "failed: \(reason)"
        case .cancelled: "cancelled"
        }
    }

    /// The same for scripts.
    var record: JobStatusRecord { record(seed: nil) }

    /// The same for whoever has just said which seed to take.
    func record(seed: UInt64?) -> JobStatusRecord {
        JobStatusRecord(
            id: id, state: phase.text, done: done, of: total, reason: reason, exitCode: exitCode,
            output: output, seed: seed)
    }
}

/// A job's status as `--json` prints it.
struct JobStatusRecord: Encodable {
    let id: String
    let state: String
    let done: Int
    let of: Int
    let reason: String
    let exitCode: Int
    let output: String
    let seed: UInt64?
}
