import ArgumentParser
import ClusterCore
import ClusterLaunch
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import DurableFiles
import FaultInjection
import Foundation
import Tensors
import TextToImage

/// Makes one picture.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Make a picture.",
        discussion: """
            Computes in this process (--workers 0), in worker processes on this machine \
            (--workers N), on workers of other machines that connect to --listen, or on both. \
            The picture is the same to the byte, however many compute and whichever of them die.

            \(RequestOptions.methodsHelp)

            EXAMPLES
              tessera generate --prompt "a lake at dawn" --size 4x --output lake.png
              tessera generate --prompt "a lake at dawn" --size 4x --workers 2 --output lake.png
              tessera generate --prompt "a lake at dawn" --size 4096x4096 --model sdxl \\
                --listen tcp://10.0.0.1:5570 --join lake.join --output lake.png
              (elsewhere) tessera worker --join lake.join --model sdxl
              tessera generate --prompt "a lake at dawn" --workers 3 --output lake.png \\
                --fault 'task:drop@0.02;ack:delay=2s@1/50' --worker-fault '0:compute:slow=10x'
              tessera generate --prompt "a lake at dawn" --size 16x --output lake.png \\
                --state-dir lake.state     (killed; then the same again with --resume)
              tessera generate --prompt "a lake at dawn" --image photo.png --size 4x \\
                --output large.png
            """
    )

    @OptionGroup(title: "Request") var options: RequestOptions
    @OptionGroup(title: "Computing") var compute: ComputeOptions
    @OptionGroup(title: "Workers") var cluster: ClusterOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            """
            Where the PNG goes. A file appears there when it is whole, with the mode and owner of \
            the one that it replaces; links are followed. - is standard output; that, a pipe or a \
            device gets the picture as it is decoded.
            """,
            valueName: "file")
    )
    var output: String

    @Option(
        help: ArgumentHelp(
            """
            Also write the final latents, as diffusers' output_type="latent" gives them, before \
            they are decoded.
            """,
            valueName: "file"
        )
    )
    var saveLatents: String?

    @OptionGroup(title: "Resuming") var state: StateOptions
    @OptionGroup(title: "Fault injection") var faults: FaultOptions
    @OptionGroup(title: "Fault injection") var workerFaults: WorkerFaultOptions

    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    func validate() throws {
        if options.prompt == nil {
            throw ValidationError("--prompt is missing: say what the picture shows")
        }
        try faults.check(
            allowed: FaultOptions.ofCoordinators, elsewhere: FaultOptions.notInCoordinators)
        try workerFaults.check(workers: cluster.workers)
    }

    mutating func run() async throws {
        // Nobody waits for a picture of a comparison that was killed.
        Lifeline.endWithLauncher()
        let (command, kept) = (self, OpenState())
        do {
            try await withInterruption(
                overdue: { Main.abandon(with: command.state.failure(after: $0, kept.loss)) },
                { try await command.generate(keeping: kept) })
        } catch let interruption as Interrupted {
            throw command.state.failure(after: interruption, kept.loss)
        }
    }

    /// Everything that can be wrong is found before anything is computed. Leaves its state folder in
    /// `openState`.
    private func generate(keeping openState: OpenState) async throws {
        let reporter = RunReporter(json: json)
        try checkResults()
        let drill = try faults.drill(name: "coordinator")
        if let drill { reporter.faults(drill) }
        if !workerFaults.choices.isEmpty {
            reporter.workerFaults(workerFaults, of: cluster.workers)
        }
        defer { if let drill { reporter.faultsDone(drill) } }
        try await cluster.checkAddress(stateDir: state.stateDir)
        try await cluster.checkFiles()
        let (output, saveLatents) = try await places()
        let model = try options.model.open()
        let kept = try state.keptRequest
        let inputs = try options.readInputs(kept: state.resume ? kept : nil)
        let seed = options.seed.settled(kept: kept?.seed)
        if options.seed == .random { reporter.seed(seed) }
        let setup = try PictureSetup(
            request: options.request(for: model, seed: seed, inputs: inputs), inputs: inputs,
            model: model)
        let weights = try model.fingerprint()
        reporter.planned(setup.picture)

        let backend = try compute.backend(sharing: cluster.workers)
        let session = PictureSession(setup, weights: weights, backend: backend)
        if !cluster.isRemote { try compute.budget.checkRoom(for: model) }
        let (checkpoints, life) = try state.open(
            for: session, reporter: reporter, beforeWrite: drill?.beforeWrite)
        openState.opened(checkpoints)
        let demands = HeadRoom.demands(
            of: setup.picture, output: output, savedLatents: saveLatents, state: state.stateDir)
        for shortage in HeadRoom.shortages(demands) { reporter.warning("\(shortage)") }

        let clock = ContinuousClock()
        let start = clock.now
        let computing: any PictureComputing =
            cluster.isRemote
            ? workers(of: model, weights, backend, life, reporter, drill)
            : LocalComputing(budget: compute.budget)
        try await session.make(
            on: computing,
            to: PictureResults(
                output: output, saveLatents: saveLatents,
                refuges: [".", NSTemporaryDirectory()]),
            keeping: checkpoints, onEvent: { reporter.run($0, drill?.injector) })
        reporter.finished(
            output: output.isStandardOutput ? nil : self.output, took: clock.now - start,
            weights: weights.description)
    }

    /// Workers that come and go with the picture.
    private func workers(
        of model: ModelFolder, _ weights: Fingerprint, _ backend: CPUBackend,
        _ life: CoordinatorLife, _ reporter: RunReporter, _ drill: FaultDrill?
    ) -> any PictureComputing {
        ClusterComputing { [cluster, compute, state, workerFaults, faults] body in
            try await cluster.withWorkers(
                of: model,
                identity: ModelIdentity(weights: weights, computeClass: backend.computeClass),
                life: life,
                threads: backend.threads,
                memoryBudget: compute.memoryBudget,
                stateDir: state.stateDir,
                reporter: reporter,
                drill: drill,
                workerFaults: { workerFaults.arguments(ofWorker: $0, faults) },
                body)
        }
    }

    /// Refuses results that would replace each other, or what is kept for a run that goes on.
    private func checkResults() throws {
        let results = [NamedFile("--output", output), NamedFile("--save-latents", saveLatents)]
        let others = [
            NamedFile("--image", options.image),
            NamedFile("--initial-latents", options.initialLatents),
            NamedFile("--key", cluster.security.key),
            NamedFile("--join", cluster.listen == nil ? nil : cluster.join),
            NamedFile("--event-log", cluster.eventLog), NamedFile("--fault-log", faults.faultLog),
        ]
        try NamedFile.checkApart(results + others)
        try NamedFile.check(results, outside: state.stateDir)
    }

    /// Where the results go. Only one thing can go to standard output.
    private func places() async throws -> (output: OutputPlace, saveLatents: OutputPlace?) {
        let output = try await OutputPlace.ofPicture(output, json: json)
        guard let path = saveLatents else { return (output, nil) }
        let saveLatents = try await OutputPlace.named(path, by: "--save-latents")
        guard !saveLatents.isStandardOutput, !saveLatents.isStandardError else {
            throw CommandFailure(
                .usage,
                "--save-latents \(path) is standard output or standard error, where the picture, "
                    + "its name or progress goes; name a file or a pipe")
        }
        return (output, saveLatents)
    }
}
