import ArgumentParser
import ClusterCore
import ClusterLaunch
import ClusterRuntime
import ComputeBackends
import DiffusionModels
import DurableFiles
import Foundation
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
        name: [.long, .customLong("bind")],
        help: ArgumentHelp(
            """
            Take workers in at this address: tcp://127.0.0.1:5570, tcp://[::1]:5570, \
            tcp://name:5570, an interface as in tcp://eth0:5570, or tcp://*:5570 for all of both \
            families; port * is a free one.
            """,
            valueName: "url"
        )
    )
    var listen: String?

    @Option(
        help: ArgumentHelp(
            """
            Write what a worker needs to this file, for tessera worker --join: the address and, \
            unless plaintext will do, keys. Whoever can read it can join. For * and [::] it names \
            this machine's first address that leads off it, for an interface that one's; a name \
            stays a name.
            """,
            valueName: "file")
    )
    var join: String?

    @OptionGroup var security: SecurityOptions

    @Option(
        help: ArgumentHelp(
            """
            Give up after so many seconds without any worker; 120 if left out. A coordinator \
            that stays up then waits for ever.
            """,
            valueName: "seconds")
    )
    var workerTimeout: Double?

    @Option(
        help: ArgumentHelp(
            """
            Part of all tasks, in percent, that two workers compute and whose answers have to \
            agree; 1 with --listen if left out, otherwise 0. The picture does not depend on it, \
            unless a worker computes wrongly: then its answer is outvoted, or the run fails.
            """,
            valueName: "percent")
    )
    var confirm: Double?

    @Option(
        help: ArgumentHelp(
            """
            Write everything that the coordinator decides to this file, a JSON object a line, for \
            tessera simulate --replay. A full disk ends the log and not the run.
            """,
            valueName: "file")
    )
    var eventLog: String?

    func validate() throws {
        if eventLog != nil && !isRemote {
            throw ValidationError(
                "--event-log needs --workers or --listen: without them nobody has to decide")
        }
        if let confirm, !(0...100).contains(confirm) {
            throw ValidationError("--confirm should be 0 to 100 percent, got \(confirm)")
        }
        if workers < 0 || workers > Limits.standard.maximumWorkers {
            throw ValidationError(
                "--workers should be 0 to \(Limits.standard.maximumWorkers), got \(workers)")
        }
        if let workerTimeout, !(workerTimeout > 0 && workerTimeout <= 1e6) {
            throw ValidationError("--worker-timeout should be a positive number of seconds")
        }
        if join != nil && listen == nil {
            throw ValidationError("--join needs --listen, the address to write into the file")
        }
        if (security.key != nil || security.authorizedKeys != nil) && listen == nil {
            throw ValidationError("--key and --authorized-keys need --listen, where workers come")
        }
    }

    /// Whether anything but this process computes.
    var isRemote: Bool { workers > 0 || listen != nil }

    /// Refuses an address that cannot be listened at, and keys that cannot be used, before
    /// anything is computed.
    func checkAddress(stateDir: String?) async throws {
        guard let listen else { return }
        try security.check(
            try await ListenAddress.find(listen), join: join, stateDir: stateDir)
    }

    /// Refuses a log and a join file that cannot be written, before anything is computed.
    func checkFiles() async throws {
        if let eventLog { try EventLogWriter.checkWritable(eventLog) }
        if let join, let listen {
            let address = try await ListenAddress.find(listen)
            try AtomicFile.check(join, named: "--join", access: security.accessOfKeys(at: address))
        }
    }

    private var limits: Limits {
        var limits = Limits.standard
        if let workerTimeout { limits.noWorkerTimeout = .seconds(workerTimeout) }
        // Who fails is not alone for long where anybody may come, or others of this machine's may be
        // on their way.
        if listen != nil || workers > 1 {
            limits.secondOpinionWait = min(
                limits.noWorkerTimeout, .seconds(listen == nil ? 10 : 30))
        }
        return limits
    }

    /// What one worker's word is not enough for, in percent of all tasks.
    private var confirmedPercent: Double { confirm ?? (listen == nil ? 0 : 1) }

    /// Runs `body` with a coordinator whose workers are this machine's new processes and whoever
    /// comes to `--listen`. All of them are gone when it returns; those of other machines wait for
    /// a run that was interrupted and has a state folder. `workerFaults` are further arguments of a
    /// worker process.
    func withWorkers(
        of model: ModelFolder,
        identity: ModelIdentity,
        life: CoordinatorLife,
        threads: Int,
        memoryBudget: ByteCount,
        stateDir: String?,
        reporter: RunReporter,
        drill: FaultDrill?,
        workerFaults: @escaping @Sendable (_ index: Int) -> [String],
        _ body: @escaping @Sendable (Coordinator) async throws -> Void
    ) async throws {
        let limits = limits
        let log = try eventLog.map { try EventLogWriter(path: $0) { reporter.warning($0) } }
        if listen != nil { Descriptors.raiseLimit() }
        // Judged again: a name may have moved meanwhile.
        let address = try await ListenAddress.find(listen ?? "tcp://127.0.0.1:*")
        let door = try security.door(at: address, join: join, stateDir: stateDir)
        let coordinator = try Coordinator(
            binding: address,
            security: door.security,
            onNotice: { reporter.note($0) },
            expected: identity,
            version: tesseraVersion,
            life: life,
            limits: limits,
            confirmedPercent: confirmedPercent,
            recorder: log,
            decorate: { drill?.decorated($0, limits: limits) ?? $0 },
            logger: .quiet
        )
        defer { reporter.transport(coordinator.transportCounters) }
        if security.insecure { reporter.insecure(coordinator.endpoint) }
        let port = try Endpoint(coordinator.endpoint).port ?? 0
        if let surprise = address.surprise { reporter.warning(surprise) }
        if let join {
            let place = address.advertised(
                port: port, hostName: ProcessInfo.processInfo.hostName)
            let file = door.joinFile(for: place, staysOnMachine: address.staysOnMachine)
            try file.write(to: join)
            reporter.note("\(join) lets workers join at \(file.endpoint)")
        }
        if listen != nil {
            reporter.note("waiting for workers at \(coordinator.endpoint)")
        }
        let place = address.local(port: port)
        let invitation = try LocalInvitation(
            to: door.joinFile(for: place, staysOnMachine: place.isLoopback))
        let launcher = LocalProcessLauncher(
            count: workers,
            arguments: { index in
                ["worker"] + invitation.arguments + [
                    "--name", "worker \(index)", "--model", model.path, "--threads", "\(threads)",
                    "--memory-budget", "\(memoryBudget)",
                ] + workerFaults(index)
            },
            logger: .quiet
        )
        let serving: @Sendable () async throws -> Void = {
            try await serve(coordinator, isResumable: stateDir != nil, reporter: reporter) {
                try await launcher.withWorkers { ends in
                    try await run(body, with: coordinator, watching: ends, reporter)
                }
            }
        }
        if let log { try await log.recording(serving) } else { try await serving() }
    }

    /// Runs the coordinator while `body` runs, and says goodbye to its workers after.
    private func serve(
        _ coordinator: Coordinator,
        isResumable: Bool,
        reporter: RunReporter,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        // No child of this task: a signal that cancels it must not cut the goodbyes off.
        let service = Task { try await coordinator.run() }
        defer { reporter.cluster(coordinator.counters) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await event in coordinator.workerEvents { reporter.worker(event) }
            }
            do {
                try await body()
            } catch {
                coordinator.shutdown(isReturning: isResumable && error is CancellationError)
                _ = await service.result
                throw error
            }
            coordinator.shutdown()
            try await service.value
            try await group.waitForAll()
        }
    }

    /// Runs `body` while telling of workers that end before it does; gives up when the last one
    /// has and nobody else can come. Throws what either throws.
    private func run(
        _ body: @escaping @Sendable (Coordinator) async throws -> Void,
        with coordinator: Coordinator,
        watching ends: AsyncStream<WorkerProcessEnd>,
        _ reporter: RunReporter
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await watch(ends, reporter)
                return false
            }
            group.addTask {
                try await body(coordinator)
                return true
            }
            defer { group.cancelAll() }
            do {
                while try await group.next() == false {}
            } catch let failure as CommandFailure {
                // Not cancelled but left without answers, the picture's run keeps what it finished.
                coordinator.shutdown()
                guard case .failure(let last as PictureRunFailure) = await group.nextResult() else {
                    throw failure
                }
                throw PictureRunFailure(
                    cause: failure, unsaved: last.unsaved, latents: last.latents,
                    stateLoss: last.stateLoss)
            }
        }
    }

    /// Tells of every worker process that ended; throws when the last one has and nobody else
    /// can come.
    private func watch(
        _ ends: AsyncStream<WorkerProcessEnd>, _ reporter: RunReporter
    ) async throws {
        var left = workers
        for await end in ends {
            if !end.isStartedAgain { left -= 1 }
            if left == 0, listen == nil {
                throw CommandFailure(.unavailable, "no worker is left: \(end)")
            }
            reporter.note("\(end)")
        }
    }
}

/// How the workers that this process starts find it. Keys travel in a file of their own that
/// goes away with this value: a command line can be read by everyone.
final class LocalInvitation: Sendable {
    let arguments: [String]
    private let folder: String?

    init(to file: JoinFile) throws {
        guard file.keys != nil || file.insecure else {
            arguments = ["--connect", file.endpoint]
            folder = nil
            return
        }
        let folder = NSTemporaryDirectory() + "/tessera-\(UUID().uuidString)"
        try KeyFiles.makeFolder(folder)
        self.folder = folder
        arguments = ["--join", folder + "/workers.join"]
        try file.write(to: arguments[1])
    }

    deinit {
        if let folder { try? FileManager.default.removeItem(atPath: folder) }
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
