import ArgumentParser
import ClusterCore
import ClusterLaunch
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import FaultInjection
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
              tessera worker --join lake.join --fault 'result:drop@0.05;compute:slow=10x'
              tessera worker --join - < token
              tessera worker --connect tcp://10.0.0.1:5570 --key lake-1.key --server-key server.key.pub
            """
    )

    @Option(
        help: ArgumentHelp(
            """
            The coordinator's address: tcp://10.0.0.1:5570, tcp://[fd00::1]:5570 or \
            tcp://name:5570, whose addresses are tried in turn.
            """,
            valueName: "url")
    )
    var connect: String?

    @Option(
        help: ArgumentHelp(
            """
            Instead of --connect: the file that generate --join wrote, a token of tessera token \
            create, a file that holds one, or - for standard input. A token is a secret, and a \
            command line can be read by everyone on this machine: prefer a file or -.
            """,
            valueName: "file|token|-")
    )
    var join: String?

    @Option(
        help: ArgumentHelp(
            "With --connect: this worker's secret key, as tessera keygen writes it.",
            valueName: "file")
    )
    var key: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --key: the coordinator's public key, or a file that holds it.",
            valueName: "file|key")
    )
    var serverKey: String?

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

    @OptionGroup(title: "Fault injection") var faults: FaultOptions

    func validate() throws {
        try faults.check(allowed: FaultOptions.ofWorkers, elsewhere: FaultOptions.notInWorkers)
        if (connect == nil) == (join == nil) {
            throw ValidationError(
                "name the coordinator by either --connect URL or --join FILE")
        }
        if (key == nil) != (serverKey == nil) {
            throw ValidationError(
                "--key FILE and --server-key FILE belong together: the worker's secret key, and "
                    + "the public key of the coordinator it trusts")
        }
        if key != nil && (join != nil || insecure) {
            throw ValidationError(
                "--key goes with --connect; --join brings its own keys, --insecure has none")
        }
        if !(coordinatorTimeout > 0 && coordinatorTimeout <= 1e9) {
            throw ValidationError("--coordinator-timeout should be a positive number of seconds")
        }
    }

    func run() async throws {
        Lifeline.endWithLauncher()
        let place = try place()
        try await DealerTransport.check(place.endpoint, security: place.security)
        if place.insecure { say(InsecureBanner.text(place.endpoint)) }
        let folder = try model.open()
        let backend = try compute.backend()
        try compute.budget.checkRoom(for: folder)
        let identity = ModelIdentity(
            weights: try folder.fingerprint(), computeClass: backend.computeClass)
        let loaded = try LoadedModel(
            folder: folder, backend: backend, memoryBudget: compute.budget)
        // One that fails its tasks for want of memory would be left alone, and asked again.
        try MemoryLimit.check(0, for: "any task", leaving: MemoryLimit.leftAtStart)
        let host = ModelHost(model: loaded)
        var limits = Limits.standard
        limits.orphanTimeout = .seconds(coordinatorTimeout)
        let name = name ?? "\(ProcessInfo.processInfo.hostName)/\(getpid())"
        let drill = try faults.drill(name: name)
        let faulty = drill.map { FaultyModel(host, injector: $0.injector) }
        let worker = try Worker(
            connect: place.endpoint,
            security: place.security,
            onNotice: { say("tessera: \($0)") },
            name: name,
            identity: identity,
            model: faulty ?? host,
            progress: { host.operationCount &+ (faulty?.progress ?? 0) },
            version: tesseraVersion,
            limits: limits,
            onHang: { reason in
                // The thread that hangs cannot be stopped; whoever started this process can
                // start another.
                say("tessera: \(reason)")
                Output.finish()
                _exit(ExitStatus.bug.rawValue)
            },
            decorate: { drill?.decorated($0, limits: limits) ?? $0 },
            logger: .quiet
        )
        if let drill { drill.say(drill.banner) }
        defer { if let drill { drill.say(drill.summary) } }
        // One that a coordinator started tells of its end alone, should that be an error: the
        // coordinator shows the rest.
        guard !Lifeline.isHeld else { return try await withDraining(worker) }
        say("tessera: worker \(name) looks for a coordinator at \(place.endpoint)")
        async let told: Void = Self.tell(worker.news)
        try await withDraining(worker)
        await told
        say("tessera: left; tasks computed: \(worker.answeredCount)")
    }

    private static func tell(_ news: AsyncStream<WorkerNews>) async {
        for await news in news { say("tessera: \(news)") }
    }

    /// Throws ``CommandFailure`` or ``KeyFileError``.
    private func place() throws -> JoinFile {
        if let join {
            let file = try JoinFile.resolve(join)
            guard insecure, file.keys == nil else { return file }
            return JoinFile(endpoint: file.endpoint, insecure: true)
        }
        var keys: JoinFile.Keys?
        if let key, let serverKey {
            keys = JoinFile.Keys(
                server: try PublicKeyArgument.read(serverKey),
                worker: try KeyFiles.keyPair(at: key))
        }
        return JoinFile(endpoint: connect ?? "", insecure: insecure, keys: keys)
    }

    /// Runs the worker; the first signal to end drains it, the second does not wait.
    private func withDraining(_ worker: Worker) async throws {
        let signals = await UnixSignalsSequence(trapping: Signals.ending)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var isDraining = false
                // A terminal that goes away says so several times.
                for await signal in signals where signal != .sighup || !isDraining {
                    isDraining = true
                    worker.drain()
                }
            }
            defer { group.cancelAll() }
            try await worker.run()
        }
    }
}
