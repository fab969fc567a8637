import ArgumentParser
import ComputeBackends
import DiffusionModels
import DurableFiles
import Tensors

/// How often something is run and how it is reported: the same for every benchmark of a network.
struct BenchOptions: ParsableArguments {
    /// What `--runs` is if left out.
    static let defaultRuns = 5

    @Option(help: "How often it is timed, after one run that is not. (default: \(defaultRuns))")
    var runs: Int?

    @Flag(
        help: """
            Also say what each layer takes, by runs that are not among the timed ones; with --json \
            as the array layers.
            """
    )
    var perLayer = false

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    @Flag(
        help: """
            For taking turns with other programs: print {"event":"ready"} when the first run is \
            done, then run once for every line of standard input, printing {"event":"run"} with \
            its seconds, and print the JSON object at its end.
            """
    )
    var paced = false

    func validate() throws {
        try Self.check(runs: runs)
        if paced && runs != nil {
            throw ValidationError(
                "--paced runs once for every line of standard input; leave --runs out")
        }
    }

    static func check(runs: Int?) throws {
        if let runs, !(1...10_000).contains(runs) {
            throw ValidationError("--runs should be from 1 to 10000, got \(runs)")
        }
    }
}

/// Extents of a latent, as a person writes them: `128x96`, width first.
struct LatentSize: ExpressibleByArgument {
    let width: Int
    let height: Int

    /// Sides up to this many latent pixels are taken.
    static let longest = 8192

    init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    init?(argument: String) {
        let sides = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false)
        guard sides.count == 2, let width = Int(sides[0]), let height = Int(sides[1]),
            (1...Self.longest).contains(width), (1...Self.longest).contains(height)
        else { return nil }
        self.init(width: width, height: height)
    }
}

/// Input and answer in a file, for comparison with other programs.
struct SaveOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Write the input and the answer of the first run to a safetensors file, in float32.",
            valueName: "file")
    )
    var save: String?

    /// Refuses a place that cannot be written before anything is computed.
    func check() throws {
        if let save { try AtomicFile.check(save, named: "--save") }
    }

    /// Writes tensors, if that was asked for; the file appears complete or not at all.
    func write(_ tensors: [NamedTensor]) throws(WeightsError) {
        guard let save else { return }
        var writer = try SafeTensorsWriter(
            path: save,
            tensors: tensors.map { .init(name: $0.name, type: .float32, shape: $0.tensor.shape) })
        for (_, tensor) in tensors { try writer.append(tensor.elements) }
        try writer.finish()
    }
}

/// The latent that a network of pictures is given.
struct LatentOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Latent pixels as WxH, up to \(LatentSize.longest) a side; the model's native size if "
                + "left out.",
            valueName: "size")
    )
    var latentSize: LatentSize?

    /// The size to use for a model.
    func size(for model: ModelFolder) -> LatentSize {
        let side = model.nativeLatentSide
        return latentSize ?? LatentSize(width: side, height: side)
    }
}
