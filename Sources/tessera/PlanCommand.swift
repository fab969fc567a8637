import ArgumentParser
import Denoising
import Foundation
import TextToImage

/// Prints a plan and runs nothing.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print what generate would compute, and compute nothing.",
        discussion: """
            The plan is a pure function of the request: the same flags print the same plan on any \
            machine, and generate computes exactly it. With --format json --expand every window, \
            lattice, permutation, weight, timestep and sigma is written out, so that another \
            program can replay the run.

            EXAMPLES
              tessera plan --size 4x
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

    func validate() throws {
        if expand && format == .text {
            throw ValidationError("--expand needs --format json")
        }
    }

    func run() throws {
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
        case .json:
            if expand { try checkExpandable(picture.plan) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = PlanDocument(picture.plan, expanded: expand)
            Output.print(try encoder.encode(document))
            printLine("")
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
