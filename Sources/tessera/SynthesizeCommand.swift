import ArgumentParser
import DiffusionModels

/// Writes a model folder with random weights.
struct SynthesizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synthesize",
        abstract: "Write a model folder of a known shape with seeded random weights.",
        discussion: """
            Its pictures are noise; its sizes, speed and files are those of the real thing. For \
            trying a cluster, benchmarks and tests without a download. The same preset and seed \
            give the same bytes.

            PRESETS
            \(ModelPreset.allCases.map { "  \($0.rawValue): \($0.summary)" }.joined(separator: "\n"))

            EXAMPLE
              tessera synthesize tiny --output tiny-model
            """
    )

    @Argument(
        help: "One of \(ModelPreset.allCases.map(\.rawValue).formatted())."
    )
    var preset: ModelPreset

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The folder to write; it must not exist yet.", valueName: "folder")
    )
    var output: String

    @Option(help: "Seed of the weights.")
    var seed: UInt64 = 0

    func run() throws {
        let synthesizer = ModelSynthesizer(preset: preset, seed: seed)
        var display = ProgressDisplay()
        let parts = 100
        try synthesizer.write(to: output) { share in
            display.update("writing", done: Int(share * Double(parts)), total: parts)
        }
        display.closeBar()
        print(output)
    }
}

extension ModelPreset: ExpressibleByArgument {}
