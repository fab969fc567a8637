import ArgumentParser
import ClusterCore
import ClusterRuntime
import ComputeBackends
import DiffusionModels
import FaultInjection
import Foundation
import JobService
import Tensors
import TextToImage
import ZeroMQTransport

/// Stays up and makes one picture after the other.
struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Stay up, take jobs, and keep the workers between them.",
        discussion: """
            Jobs come from tessera submit and are made one after the other, on the worker \
            processes of this machine (--workers N), on workers that connect to --bind, or on \
            both; without either, workers are taken in at tcp://127.0.0.1:5570. A picture has the \
            bytes that tessera generate gives it.

            Everything is kept in --state-dir. A coordinator that was killed goes on when it is \
            started again with the same --state-dir: the job at work from its last checkpoint, the \
            others in their order. SIGTERM ends it in order, with exit code 75 when jobs are left. \
            Workers of other machines wait for it meanwhile (give --bind a port of its own).

            Whoever can reach the control socket can have files written as this user. By default \
            it lies in --state-dir, where only this user can reach it; --control takes it \
            elsewhere on this machine, where every user may.

            EXAMPLES
              tessera coordinator --state-dir /var/lib/tessera --workers 2
              tessera coordinator --state-dir ~/tessera --model sdxl --bind tcp://127.0.0.1:5570
              (elsewhere) tessera worker --join ~/tessera/workers.join --model sdxl
              (elsewhere) tessera submit --state-dir ~/tessera --prompt "a lake" --output lake.png
            """
    )

    @Option(
        help: ArgumentHelp(
            "Where jobs and their progress are kept; one coordinator at a time.",
            valueName: "folder")
    )
    var stateDir: String

    @Option(
        help: ArgumentHelp(
            "Take jobs at this address: ipc://path, or tcp://127.0.0.1:port.", valueName: "url")
    )
    var control: String?

    @Option(help: "Jobs that may wait; more are turned away.")
    var maxQueued = 64

    @OptionGroup var model: ModelOptions
    @OptionGroup(title: "Computing") var compute: ComputeOptions
    @OptionGroup(title: "Workers") var cluster: ClusterOptions
    @OptionGroup(title: "Fault injection") var faults: FaultOptions
    @OptionGroup(title: "Fault injection") var workerFaults: WorkerFaultOptions

    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    func validate() throws {
        if !(1...256).contains(maxQueued) {
            throw ValidationError("--max-queued should be 1 to 256, got \(maxQueued)")
        }
        try faults.check(
            allowed: FaultOptions.ofCoordinators, elsewhere: FaultOptions.notInCoordinators)
        try workerFaults.check(workers: cluster.workers)
    }

    func run() async throws {
        let reporter = RunReporter(json: json)
        let cluster = placedCluster
        try await cluster.checkAddress(stateDir: stateDir)
        // Of those that are placed, the folder is not there yet.
        try await self.cluster.checkFiles()
        let folder = try CoordinatorFolder(path: stateDir)
        let store: JobStore
        do { store = try JobStore(folder: folder.path + "/jobs") } catch {
            throw CommandFailure(.badData, "the state folder cannot be used: \(error)")
        }
        do {
            try await withInterruption(
                overdue: { interruption in
                    let failure: (any Error)? = unfinished(store, after: interruption)
                    Main.abandon(with: failure ?? interruption)
                },
                { try await serve(folder, store, cluster, reporter) })
        } catch let interruption as Interrupted {
            if let failure = unfinished(store, after: interruption) { throw failure }
        }
    }

    /// What was left out, for a coordinator that stays up.
    private var placedCluster: ClusterOptions {
        var placed = cluster
        if placed.listen == nil && placed.workers == 0 { placed.listen = "tcp://127.0.0.1:5570" }
        if placed.listen != nil && placed.join == nil { placed.join = stateDir + "/workers.join" }
        // Jobs wait for workers as long as somebody waits for jobs.
        if placed.workerTimeout == nil { placed.workerTimeout = 1e9 }
        return placed
    }

    /// What a coordinator ends with that was asked to stop; nil when nothing is left to be done.
    private func unfinished(
        _ store: JobStore, after interruption: Interrupted
    ) -> CommandFailure? {
        let count = (try? store.load())?.jobs.count { $0.outcome == nil } ?? 0
        guard count > 0 else { return nil }
        return CommandFailure(
            .resumable,
            "\(interruption) with \(count) job\(count == 1 ? "" : "s") to be done; start it again "
                + "with --state-dir \(stateDir) to go on")
    }

    private func serve(
        _ folder: CoordinatorFolder, _ store: JobStore, _ cluster: ClusterOptions,
        _ reporter: RunReporter
    ) async throws {
        let drill = try faults.drill(name: "coordinator")
        if let drill { reporter.faults(drill) }
        if !workerFaults.choices.isEmpty {
            reporter.workerFaults(workerFaults, of: cluster.workers)
        }
        defer { if let drill { reporter.faultsDone(drill) } }
        let control = ControlFolder(stateDir: folder.path)
        let address = try self.control ?? control.prepare()
        if self.control != nil { _ = try control.prepare() }
        try ControlFolder.check(address)
        let model = try model.open()
        let weights = try model.fingerprint()
        try checkModel(of: store, weights)
        let backend = try compute.backend(sharing: max(1, cluster.workers))
        let life = try folder.beginLife()
        reporter.life(life, in: folder.path)
        let server = try ControlServer(
            binding: try await ListenAddress.find(address), logger: .quiet)
        try await cluster.withWorkers(
            of: model,
            identity: ModelIdentity(weights: weights, computeClass: backend.computeClass),
            life: CoordinatorLife(realm: Realm(life.realm), epoch: Epoch(life.epoch)),
            threads: backend.threads,
            memoryBudget: compute.memoryBudget,
            stateDir: folder.path,
            reporter: reporter,
            drill: drill,
            workerFaults: { [workerFaults, faults] in
                workerFaults.arguments(ofWorker: $0, faults)
            }
        ) { coordinator in
            let maker = PictureMaker(
                model: model, weights: weights, backend: backend, coordinator: coordinator,
                reporter: reporter, drill: drill, stateDir: stateDir)
            let service = try JobService(
                store: store, maker: maker, maximumQueued: maxQueued,
                onChange: { reporter.job($0) }, onProblem: { reporter.warning($0) })
            try control.publish(server.endpoint)
            reporter.takesJobs(
                at: server.endpoint, workersAt: coordinator.endpoint,
                waiting: service.unfinished.count)
            try await work(service, coordinator, server)
        }
    }

    /// Until the task is cancelled, or one of the two cannot go on.
    private func work(
        _ service: JobService<PictureMaker>, _ coordinator: Coordinator, _ server: ControlServer
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            group.addTask {
                try await server.run { question in
                    answer(question, service, coordinator)
                }
                try Task.checkCancellation()
            }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    /// A killed coordinator's jobs need the model that they were begun with.
    private func checkModel(of store: JobStore, _ weights: Fingerprint) throws {
        let jobs: [JobRecord]
        do { jobs = try store.load().jobs } catch {
            throw CommandFailure(.badData, "the state folder cannot be used: \(error)")
        }
        for job in jobs where job.outcome == nil && job.weights != weights.description {
            throw CommandFailure(
                .badData,
                "job '\(job.id)' is to be made with a model of weights \(job.weights), this one "
                    + "has \(weights); start the coordinator with the --model it had before")
        }
    }
}

/// Answers an operator.
private func answer(
    _ question: ControlQuestion, _ service: JobService<PictureMaker>, _ coordinator: Coordinator
) -> ControlAnswer {
    switch question {
    case .submit(let id, let order): return service.submit(id: id, order: order)
    case .status(let id): return service.status(id: id)
    case .cancel(let id): return service.cancel(id: id)
    case .workers: return .workers(coordinator.workers)
    case .drain(let name):
        guard coordinator.drain(workersNamed: name) > 0 else {
            return .refused(
                ControlRefusal(
                    .unknown, "there is no worker '\(name)'; tessera workers lists them all"))
        }
        return .workers(coordinator.workers.filter { $0.name == name })
    }
}
