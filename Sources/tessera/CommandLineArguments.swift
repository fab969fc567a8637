import ArgumentParser
import DurableFiles
import Foundation

/// The command line, put so that the argument parser takes every value for what it is.
///
/// The parser takes what begins with a dash for a flag, splits at an equals sign only where no
/// combining mark follows, and takes `--name=` for a missing value. None of that is what a person
/// means who writes a prompt.
enum CommandLineArguments {
    /// Commands and those of their options that name files which Linux may call anything. All
    /// other values are texts.
    private static let resultOptions: [String: Set<String>] = [
        "generate": ["--output", "-o", "--save-latents"],
        "submit": ["--output", "-o", "--save-latents"],
    ]

    /// What this process was given, without its own name. Throws ``CommandFailure``.
    static func read() throws(CommandFailure) -> [String] {
        var arguments: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let bytes = CommandLine.unsafeArgv[index] else { break }
            arguments.append(SystemPath.text(ofCString: bytes))
        }
        let settled = try settled(arguments, of: Tessera.self)
        try checkTexts(settled)
        return settled
    }

    /// Refuses what is not UTF-8 anywhere but in the names of results.
    static func checkTexts(_ settled: [String]) throws(CommandFailure) {
        let options = settled.first.flatMap { resultOptions[$0] } ?? []
        for (previous, argument) in zip([""] + settled, settled)
        where !SystemPath.isUTF8(argument) {
            guard !options.contains(previous), !options.contains(split(argument).name) else {
                continue
            }
            throw CommandFailure(
                .usage,
                "'\(argument)' is not UTF-8: only the files of --output and --save-latents may "
                    + "have such names")
        }
    }

    /// The same command line with the options of the subcommand that it names settled.
    static func settled(
        _ arguments: [String], of root: any ParsableCommand.Type
    ) throws(CommandFailure) -> [String] {
        var command = root
        var depth = 0
        while depth < arguments.count,
            let next = command.configuration.subcommands.first(where: {
                $0._commandName == arguments[depth]
            })
        {
            command = next
            depth += 1
        }
        let rest = arguments[depth...]
        // Looking up a command's options takes as long as parsing them.
        guard rest.contains(where: { $0.unicodeScalars.first == "-" }) else { return arguments }
        return try arguments[..<depth] + settled(rest, names: OptionNames(of: command))
    }

    /// Puts each option's value into the form that the parser cannot mistake: behind an equals
    /// sign if it begins with a dash, else as an argument of its own. Throws ``CommandFailure``
    /// for a value that is the name of another option: that one's value was forgotten.
    static func settled(
        _ arguments: ArraySlice<String>, names: OptionNames
    ) throws(CommandFailure) -> [String] {
        var settled: [String] = []
        var rest = arguments
        while let argument = rest.popFirst() {
            if argument == "--" { return settled + [argument] + rest }
            let (name, attached) = split(argument)
            guard names.takingValues.contains(name) else {
                settled.append(argument)
                continue
            }
            guard let value = attached ?? rest.popFirst() else {
                // The parser says which value is missing.
                return settled + [argument]
            }
            if attached == nil, names.all.contains(split(value).name) {
                throw CommandFailure(
                    .usage,
                    "\(name) needs a value, and '\(value)' after it is an option itself; if that "
                        + "is the value, write \(name)=\(value)")
            }
            settled += value.unicodeScalars.first == "-" ? ["\(name)=\(value)"] : [name, value]
        }
        return settled
    }

    /// `--name=value` at its first equals sign, whatever mark combines with that.
    private static func split(_ argument: String) -> (name: String, value: String?) {
        let scalars = argument.unicodeScalars
        guard scalars.first == "-", let sign = scalars.firstIndex(of: "=") else {
            return (argument, nil)
        }
        return (String(scalars[..<sign]), String(scalars[scalars.index(after: sign)...]))
    }
}

/// What the options and flags of a command are called, dashes included.
struct OptionNames {
    let takingValues: Set<String>
    let all: Set<String>

    init(takingValues: Set<String>, flags: Set<String>) {
        self.takingValues = takingValues
        all = takingValues.union(flags)
    }

    /// As the parser itself describes the command.
    init(of command: any ParsableCommand.Type) {
        let text = Data(command._dumpHelp().utf8)
        let arguments = (try? JSONDecoder().decode(Tool.self, from: text))?.command.arguments ?? []
        func names(_ kind: String) -> Set<String> {
            Set(arguments.filter { $0.kind == kind }.flatMap { $0.names ?? [] }.map(\.text))
        }
        self.init(takingValues: names("option"), flags: names("flag"))
    }

    private struct Tool: Decodable { let command: Command }

    private struct Command: Decodable { let arguments: [Argument]? }

    private struct Argument: Decodable {
        let kind: String
        let names: [Name]?
    }

    private struct Name: Decodable {
        let kind: String
        let name: String

        var text: String { (kind == "long" ? "--" : "-") + name }
    }
}
