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

extension CommandFailure {
    fileprivate init(unwritable path: String, by option: String, _ reason: String) {
        self.init(.usage, "\(option) \(path) cannot be written (\(reason)); name another place")
    }
}
