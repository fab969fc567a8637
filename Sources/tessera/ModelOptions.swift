import ArgumentParser
import ComputeBackends
import DefaultModel
import DiffusionModels
import Foundation

/// Where the model is.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            A model folder in the diffusers layout (SDXL, SD 1.5 or one of tessera synthesize). \
            TESSERA_MODEL if left out, then the small model that comes with the program.
            """,
            valueName: "folder"
        )
    )
    var model: String?

    static let environmentVariable = "TESSERA_MODEL"

    /// The folder to use; throws when none was named and the shipped one is not to be found.
    func folder() throws(CommandFailure) -> String {
        let named = model ?? ProcessInfo.processInfo.environment[Self.environmentVariable]
        if let named, !named.isEmpty { return named }
        guard let shipped = DefaultModel.folder else {
            throw CommandFailure(
                .badData,
                "the model that comes with the program is not beside the executable; name a model "
                    + "folder with --model or \(Self.environmentVariable)")
        }
        return shipped
    }

    func open() throws -> ModelFolder { try ModelFolder(path: folder()) }
}

/// What computes in this process.
struct ComputeOptions: ParsableArguments {
    @Option(
        help: """
            Threads for the arithmetic of each process. All of the machine's if left out, shared \
            between this machine's workers. The picture does not depend on it.
            """
    )
    var threads: Int?

    @Option(
        help: ArgumentHelp(
            """
            Memory of each process for weights prepared ahead, such as 300M or 4G, beside the \
            model's files, which all processes of a machine share. A network that fits is about a \
            tenth faster; the picture does not depend on it.
            """,
            valueName: "size"
        )
    )
    var memoryBudget = ByteCount(bytes: MemoryBudget.defaultBytes)

    /// What ``LoadedModel`` may spend.
    var budget: MemoryBudget { MemoryBudget(bytes: memoryBudget.bytes) }

    func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads should be at least 1, got \(threads)")
        }
    }

    /// A backend for one of `processes` processes that share this machine.
    func backend(sharing processes: Int = 1) throws -> CPUBackend {
        try CPUBackend(
            instructionSet: InstructionSet.chosen(),
            threads: threads ?? max(1, CPUBackend.defaultThreads / max(1, processes)))
    }
}
