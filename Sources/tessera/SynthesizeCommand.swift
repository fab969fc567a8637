import ArgumentParser
import ComputeBackends
import DiffusionModels

/// Writes a model folder with random weights.
struct SynthesizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synthesize",
        abstract: "Write a model folder of any shape with seeded random weights.",
        discussion: """
            Its pictures are noise; its sizes, speed and files are those of the real thing. For \
            trying a cluster, benchmarks and tests without a download. The same shape, seed and \
            element type give the same bytes.

            The shape is a preset's, or with --like that of a folder with a diffusers pipeline's \
            configuration files: model_index.json, unet/config.json, vae/config.json, \
            text_encoder/config.json (SDXL: text_encoder_2/config.json too) and \
            scheduler/scheduler_config.json. Weights need not be there and are not read. Edit the \
            files for a shape of your own. A tokenizer is copied where the folder has its \
            vocab.json and merges.txt, and made up otherwise.

            PRESETS
            \(ModelPreset.allCases.map { "  \($0.rawValue): \($0.summary)" }.joined(separator: "\n"))

            EXAMPLES
              tessera synthesize tiny --output tiny-model
              tessera synthesize --like my-model --output like-mine --seed 7
              tessera synthesize sd15 --element-type F32 --output sd15-in-float32
            """
    )

    @Argument(help: "The shape by name; or give --like.")
    var preset: ModelPreset?

    @Option(
        help: ArgumentHelp(
            "A folder whose configuration files say the shape, instead of a preset.",
            valueName: "folder")
    )
    var like: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The folder to write; it must not exist yet.", valueName: "folder")
    )
    var output: String

    @Option(help: "Seed of the weights.")
    var seed: UInt64 = 0

    @Option(
        help: ArgumentHelp(
            "What the weights are stored as. If left out, as the preset has it; F16 with --like.",
            valueName: "type")
    )
    var elementType: FloatType?

    func validate() throws {
        _ = try source()
    }

    func run() throws {
        let synthesizer =
            switch try source() {
            case .preset(let preset):
                ModelSynthesizer(preset: preset, seed: seed, elementType: elementType)
            case .folder(let folder):
                try ModelSynthesizer(like: folder, seed: seed, elementType: elementType ?? .float16)
            }
        var display = ProgressDisplay()
        let parts = 100
        try synthesizer.write(to: output) { share in
            display.update("writing", done: Int(share * Double(parts)), total: parts)
        }
        display.closeBar()
        printLine(output)
    }

    private enum Source {
        case preset(ModelPreset)
        case folder(String)
    }

    /// Exactly one of the two ways to say a shape.
    private func source() throws -> Source {
        switch (preset, like) {
        case (let preset?, nil): return .preset(preset)
        case (nil, let folder?): return .folder(folder)
        case (nil, nil):
            throw ValidationError(
                "say which shape to write: one of the presets "
                    + "\(ModelPreset.allCases.map(\.rawValue).formatted()), or --like with a folder "
                    + "of configuration files")
        case (let preset?, let folder?):
            throw ValidationError(
                "the shape was given twice, by the preset \(preset.rawValue) and by --like "
                    + "\(folder); leave one of them out")
        }
    }
}

extension ModelPreset: ExpressibleByArgument {}

extension FloatType: ExpressibleByArgument {}
