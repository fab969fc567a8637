import ArgumentParser
import ClusterCore
import ClusterLaunch
import ClusterRuntime
import ComputeBackends
import DiffusionModels
import Foundation
import Logging
import ServiceLifecycle
import TextToImage
import UnixSignals
import ZeroMQTransport

/// Computes what a coordinator asks.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Compute for a coordinator, on this machine or another.",
        discussion: """
            Dials the coordinator, so it may sit behind a NAT, and waits for it if it is not there \
            yet. The model must be the coordinator's, byte for byte, and the machine of its \
            compute class (tessera doctor names both); otherwise the coordinator says why not. \
            SIGTERM finishes the task in hand and leaves; a second one leaves at once.

            EXAMPLES
              tessera worker --connect tcp://127.0.0.1:5570
              tessera worker --join lake.join --model sdxl
            """
    )

    @Option(
        help: ArgumentHelp("The coordinator's address.", valueName: "url")
    )
    var connect: String?

    @Option(
        help: ArgumentHelp(
            "The file that generate --join wrote, instead of --connect.", valueName: "file")
    )
    var join: String?

    @OptionGroup var model: ModelOptions
    @OptionGroup var compute: ComputeOptions

    @Option(help: "What the coordinator calls this worker; host name and process id if left out.")
    var name: String?

    @Flag(help: "Allow plaintext to leave this machine.")
    var insecure = false

    @Option(
        help: ArgumentHelp(
            "Give up after so many seconds without a word from a coordinator.",
            valueName: "seconds")
    )
    var coordinatorTimeout: Double = 600

    func validate() throws {
        if (connect == nil) == (join == nil) {
            throw ValidationError(
                "name the coordinator by either --connect URL or --join FILE")
        }
        if !(coordinatorTimeout > 0 && coordinatorTimeout <= 1e9) {
            throw ValidationError("--coordinator-timeout should be a positive number of seconds")
        }
    }

    func run() async throws {
        Lifeline.endWithLauncher()
        let place = try place()
        let insecure = insecure || place.insecure
        try Endpoint.check(place.endpoint, insecure: insecure, isBinding: false)
        let folder = try model.open()
        let backend = try compute.backend()
        let identity = ModelIdentity(
            weights: try folder.fingerprint(), computeClass: backend.computeClass)
        let host = ModelHost(
            model: try LoadedModel(
                folder: folder, backend: backend, memoryBudget: compute.budget))
        var limits = Limits.standard
        limits.orphanTimeout = .seconds(coordinatorTimeout)
        let worker = try Worker(
            connect: place.endpoint,
            insecure: insecure,
            name: name ?? "\(ProcessInfo.processInfo.hostName)/\(getpid())",
            identity: identity,
            model: host,
            progress: { host.operationCount },
            version: tesseraVersion,
            limits: limits,
            logger: .quiet
        )
        try await withDraining(worker)
    }

    private func place() throws(CommandFailure) -> JoinFile {
        if let join { return try JoinFile.read(join) }
        return JoinFile(endpoint: connect ?? "", insecure: insecure)
    }

    /// Runs the worker; the first SIGTERM or SIGINT drains it, the second does not wait.
    private func withDraining(_ worker: Worker) async throws {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in signals { worker.drain() }
            }
            defer { group.cancelAll() }
            try await worker.run()
        }
    }
}
