import ArgumentParser
import TextToImage

/// Going on after a kill.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keep the state after each step here, so that a killed run can go on.",
            valueName: "folder"
        )
    )
    var stateDir: String?

    @Flag(help: "Go on from what --state-dir holds; the picture is the same to the byte.")
    var resume = false

    func validate() throws {
        if resume && stateDir == nil {
            throw ValidationError("--resume needs --state-dir, the folder to go on from")
        }
    }

    /// The folder, held for this process; nil without `--state-dir`.
    func open(for job: Provenance) throws(CheckpointError) -> CheckpointFolder? {
        guard let stateDir else { return nil }
        return try CheckpointFolder(path: stateDir, job: job, resume: resume)
    }

    /// What an interrupted run ends with.
    func failure(after interruption: Interrupted) -> CommandFailure {
        guard let stateDir else { return CommandFailure(.interrupted, "\(interruption)") }
        return CommandFailure(
            .resumable,
            "\(interruption); go on with --state-dir \(stateDir) --resume")
    }
}
