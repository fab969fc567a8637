import ArgumentParser
import ComputeBackends
import Denoising
import DiffusionModels
import Foundation
import TextToImage

/// Prints a plan and runs nothing of it.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print what generate would compute, and compute nothing.",
        discussion: """
            The plan is a pure function of the request: the same flags print the same plan on any \
            machine, and generate computes exactly it. With --format json --expand every window, \
            lattice, permutation, weight, timestep and sigma is written out, so that another \
            program can replay the run. With --estimate one view and one tile of each kind are \
            computed and timed, and the time of the whole is said.

            \(RequestOptions.methodsHelp)

            EXAMPLES
              tessera plan --size 4x
              tessera plan --size 4x --estimate
              tessera plan --image photo.png --size 4x
              tessera plan --size 4096x2048 --model sdxl --format json --expand > plan.json
            """
    )

    /// How a plan is printed.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text
        case json
    }

    @OptionGroup var options: RequestOptions

    @Option(help: "text for people, json for programs.")
    var format: Format = .text

    @Flag(help: "With --format json: write out every view of every step.")
    var expand = false

    @Flag(
        help: """
            Also say how long generate would take with --workers 0 on this machine, as it is now.
            """
    )
    var estimate = false

    @OptionGroup(title: "Computing") var compute: ComputeOptions

    func validate() throws {
        if expand && format == .text {
            throw ValidationError("--expand needs --format json")
        }
    }

    func run() async throws {
        let command = self
        try await withInterruption { try await command.plan() }
    }

    private func plan() async throws {
        let model = try options.model.open()
        let inputs = try options.readInputs()
        let seed = options.seed.settled()
        let reporter = RunReporter(json: false)
        if options.seed == .random { reporter.seed(seed) }
        let request = try options.request(for: model, seed: seed, inputs: inputs)
        let picture = try PictureSetup(request: request, inputs: inputs, model: model).picture
        for note in picture.ignoredPrompt { reporter.note(note) }
        switch format {
        case .text:
            printLine("\(picture.plan)")
            printLine("decoded in \(picture.tiles.count) tiles")
            if estimate { printLine(try await costs(of: picture, with: model).text) }
        case .json:
            if expand { try checkExpandable(picture.plan) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = EstimatedPlan(
                document: PlanDocument(picture.plan, expanded: expand),
                estimate: estimate ? try await costs(of: picture, with: model) : nil)
            Output.print(try encoder.encode(document))
            printLine("")
        }
    }

    private func costs(
        of picture: PicturePlan, with model: ModelFolder
    ) async throws -> CostEstimate {
        try compute.budget.checkRoom(for: model)
        let backend = try compute.backend()
        let host = ModelHost(
            model: try LoadedModel(
                folder: model, backend: backend, memoryBudget: compute.budget))
        let conditioning = try PromptEncoder(model: model, backend: backend)
            .encode(prompt: picture.request.prompt).conditioning
        let start = ContinuousClock.now
        return try await CostEstimate.measure(picture, on: host, with: conditioning) {
            (ContinuousClock.now - start) / .seconds(1)
        }
    }

    /// A document is built in memory: what would not fit is refused before it is begun.
    private func checkExpandable(_ plan: DenoisingPlan) throws(CommandFailure) {
        let limit = 50_000_000
        let exchanged = plan.stages.reduce(0) { sum, stage in
            stage.groups.reduce(sum) { sum, group in
                guard case .lattices(let grid, let mode) = group.geometry, mode != .off else {
                    return sum
                }
                let channels = mode == .perChannel ? plan.request.model.channels : 1
                return sum + stage.steps.count * grid.canvas.area * channels
            }
        }
        let numbers = exchanged + plan.forwardCount * 12
        guard numbers <= limit else {
            throw CommandFailure(
                .usage,
                "this plan expands to \(numbers) numbers, more than the limit of \(limit); leave "
                    + "--expand out, use fewer steps or a smaller size")
        }
    }
}

/// A plan's document, with what it is expected to cost.
private struct EstimatedPlan: Encodable {
    let document: PlanDocument
    let estimate: CostEstimate?

    private enum CodingKeys: CodingKey { case estimate }

    private struct Record: Encodable {
        struct Part: Encodable {
            let name: String
            let count: Int
            let seconds: Double
        }
        let seconds: Double
        let parts: [Part]

        init(_ estimate: CostEstimate) {
            seconds = estimate.seconds
            parts = estimate.parts.map {
                Part(name: $0.name, count: $0.count, seconds: $0.seconds)
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        try document.encode(to: encoder)
        guard let estimate else { return }
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(Record(estimate), forKey: .estimate)
    }
}

extension CostEstimate {
    /// `about 0:04 in this process: 229 views of 16×16, guided, at 14 ms; …`
    fileprivate var text: String {
        let parts = parts.map { part in
            let milliseconds = part.seconds * 1000
            let each =
                milliseconds < 10_000
                ? String(format: "%.1f ms", milliseconds) : clockText(.seconds(part.seconds))
            return "\(part.count) \(part.name) at \(each)"
        }
        return "about \(clockText(.seconds(seconds))) in this process: "
            + parts.joined(separator: "; ")
    }
}
