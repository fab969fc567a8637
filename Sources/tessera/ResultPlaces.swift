import DurableFiles
import Foundation

extension OutputPlace {
    /// A pipe's reader is often started beside this program, and may take so long to come.
    private static let patience: Duration = .seconds(2)

    /// The place that `option` names. Throws ``CommandFailure`` when nothing can be put there.
    static func named(_ path: String, by option: String) async throws -> OutputPlace {
        let end = ContinuousClock.now + patience
        while true {
            do throws(FileFailure) {
                return try OutputPlace(path)
            } catch {
                guard error.code == ENXIO, ContinuousClock.now < end else {
                    throw CommandFailure(unwritable: path, by: option, error.reason)
                }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// The place of a picture, which `--output` names. Only one thing can go to standard output, and
    /// to `json` lines it belongs.
    static func ofPicture(_ path: String, json: Bool) async throws -> OutputPlace {
        let output = try await OutputPlace.named(path, by: "--output")
        if json, output.isStandardOutput {
            throw CommandFailure(
                .usage,
                "--output \(path) and --json both want standard output: leave --json out, or "
                    + "name a file for the picture")
        }
        if output.isStandardError {
            throw CommandFailure(
                .usage,
                "--output \(path) is standard error, where progress goes; name a file, or "
                    + "- for standard output")
        }
        return output
    }
}

extension AtomicFile {
    /// Refuses what `option` names unless a file can be put there, and nothing else is.
    static func check(
        _ path: String, named option: String, access: FileAccess = .everyone
    ) throws(CommandFailure) {
        guard path != "-" else {
            throw CommandFailure(
                unwritable: path, by: option,
                "this goes into a file, not to standard output; a file of that name is ./-")
        }
        do { try checkWritable(path, access: access) } catch {
            throw CommandFailure(unwritable: path, by: option, error.reason)
        }
    }
}

/// A file that a command writes, by the option that names it.
struct NamedFile {
    let option: String
    let path: String

    init?(_ option: String, _ path: String?) {
        guard let path else { return nil }
        (self.option, self.path) = (option, path)
    }

    /// Refuses two of `files` that would replace each other.
    static func checkApart(_ files: [NamedFile?]) throws(CommandFailure) {
        var seen: [FilePlace: NamedFile] = [:]
        for case let file? in files {
            guard let place = FilePlace(file: file.path) else { continue }
            if let other = seen[place] {
                throw CommandFailure(
                    .usage,
                    "\(other.option) and \(file.option) name one file, \(file.path); give each "
                        + "a file of its own")
            }
            seen[place] = file
        }
    }

    /// Refuses one of `files` in the folder that keeps the state, which is replaced and cleared.
    static func check(_ files: [NamedFile?], outside state: String?) throws(CommandFailure) {
        guard let state, let folder = FilePlace(folder: state) else { return }
        for case let file? in files where FilePlace(file: file.path)?.lies(in: folder) == true {
            throw CommandFailure(
                .usage,
                "\(file.option) \(file.path) lies in the state folder \(state), which is the "
                    + "program's own; name a file elsewhere")
        }
    }
}

extension CommandFailure {
    fileprivate init(unwritable path: String, by option: String, _ reason: String) {
        self.init(.usage, "\(option) \(path) cannot be written (\(reason)); name another place")
    }
}
