import ArgumentParser

/// Looks at the machine and the model and says what is missing.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what this machine computes with, and what to do about what is missing.",
        discussion: """
            Names every library with its version, the instruction set and BLAS core in use, and \
            the model with its fingerprint: two machines whose instruction set, BLAS core and \
            fingerprint agree make the same bytes. Exit code 65 when something has to be mended.
            """
    )

    @OptionGroup var model: ModelOptions

    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func run() throws {
        let report = DoctorReport.examine(modelFolder: { try model.folder() })
        if json {
            try printJSON(report)
        } else {
            printLine(report.text)
        }
        if !report.problems.isEmpty { throw ExitStatus.badData.code }
    }
}
