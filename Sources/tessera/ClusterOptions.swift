import ArgumentParser
import ClusterCore
import ClusterLaunch
import ClusterRuntime
import ComputeBackends
import DiffusionModels
import Foundation
import Logging
import Tensors
import TextToImage
import ZeroMQTransport

/// Who computes a picture.
struct ClusterOptions: ParsableArguments {
    @Option(
        help: """
            Worker processes to start on this machine; 0 computes in this process, unless \
            --listen waits for workers of other machines.
            """
    )
    var workers = 0

    @Option(
        help: ArgumentHelp(
            "Take workers in at this address, such as tcp://127.0.0.1:5570; port * is a free one.",
            valueName: "url"
        )
    )
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "Write the address to this file, for tessera worker --join.", valueName: "file")
    )
    var join: String?

    @Flag(
        help: "Allow plaintext to leave this machine. Anyone on the network can read and forge it."
    )
    var insecure = false

    @Option(
        help: ArgumentHelp(
            "Give up after so many seconds without any worker.", valueName: "seconds")
    )
    var workerTimeout: Double = 120

    func validate() throws {
        if workers < 0 || workers > Limits.standard.maximumWorkers {
            throw ValidationError(
                "--workers should be 0 to \(Limits.standard.maximumWorkers), got \(workers)")
        }
        if !(workerTimeout > 0 && workerTimeout <= 1e6) {
            throw ValidationError("--worker-timeout should be a positive number of seconds")
        }
        if join != nil && listen == nil {
            throw ValidationError("--join needs --listen, the address to write into the file")
        }
    }

    /// Whether anything but this process computes.
    var isRemote: Bool { workers > 0 || listen != nil }

    /// Refuses an address that cannot be listened at, before anything is computed.
    func checkAddress() throws(TransportError) {
        if let listen { try Endpoint.check(listen, insecure: insecure, isBinding: true) }
    }

    private var limits: Limits {
        var limits = Limits.standard
        limits.noWorkerTimeout = .seconds(workerTimeout)
        return limits
    }

    /// Runs `body` with an executor whose workers are this machine's new processes and whoever
    /// comes to `--listen`. All of them are gone when it returns.
    func withWorkers(
        of model: ModelFolder,
        identity: ModelIdentity,
        threads: Int,
        memoryBudget: ByteCount,
        reporter: RunReporter,
        _ body: @escaping @Sendable (RemoteExecutor) async throws -> Void
    ) async throws {
        let coordinator = try Coordinator(
            endpoint: listen ?? "tcp://127.0.0.1:*",
            insecure: insecure,
            expected: identity,
            version: tesseraVersion,
            limits: limits,
            logger: .quiet
        )
        if let join {
            try JoinFile(endpoint: coordinator.endpoint, insecure: insecure).write(to: join)
        }
        if listen != nil {
            reporter.note("waiting for workers at \(coordinator.endpoint)")
        }
        let launcher = LocalProcessLauncher(
            count: workers,
            arguments: { index in
                [
                    "worker", "--connect", coordinator.endpoint, "--name", "worker \(index)",
                    "--model", model.path, "--threads", "\(threads)",
                    "--memory-budget", "\(memoryBudget)",
                ]
            },
            logger: .quiet
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await coordinator.run() }
            group.addTask {
                for await event in coordinator.workerEvents { reporter.worker(event) }
            }
            defer { coordinator.shutdown() }
            try await launcher.withWorkers { ends in
                try await run(body, with: coordinator.executor, watching: ends, reporter)
            }
            coordinator.shutdown()
            try await group.waitForAll()
        }
    }

    /// Runs `body` while telling of workers that end before it does; gives up when the last one
    /// has and nobody else can come.
    private func run(
        _ body: @escaping @Sendable (RemoteExecutor) async throws -> Void,
        with executor: RemoteExecutor,
        watching ends: AsyncStream<WorkerProcessEnd>,
        _ reporter: RunReporter
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await watch(ends, reporter)
                return false
            }
            group.addTask {
                try await body(executor)
                return true
            }
            defer { group.cancelAll() }
            while try await group.next() == false {}
        }
    }

    /// Tells of every worker process that ended; throws when the last one has and nobody else
    /// can come.
    private func watch(
        _ ends: AsyncStream<WorkerProcessEnd>, _ reporter: RunReporter
    ) async throws {
        var left = workers
        for await end in ends {
            left -= 1
            if left == 0, listen == nil {
                throw CommandFailure(.unavailable, "no worker is left: \(end)")
            }
            reporter.note("\(end)")
        }
    }
}

extension Logger {
    /// Warnings and worse, on standard error.
    static var quiet: Logger {
        var logger = Logger(label: "tessera") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        return logger
    }
}

extension ModelIdentity {
    /// A model on this machine.
    init(weights: Fingerprint, computeClass: ComputeBackends.ComputeClass) {
        self.init(
            weights: ContentDigest(weights.value),
            computeClass: MachineClass(
                backend: computeClass.backend,
                instructionSet: computeClass.instructionSet,
                blasCore: computeClass.blasCore,
                precision: "f32"
            )
        )
    }
}
