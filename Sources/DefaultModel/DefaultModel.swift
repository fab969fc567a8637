internal import Foundation

/// The small model with learned weights that ships with the program: see this folder's README.
package enum DefaultModel {
    /// Where the model may lie, best first: beside the executable, as the build puts it, and in
    /// `share/tessera/model` of the prefix that the executable was installed under.
    package static func candidates(executable: String) -> [String] {
        let folder = URL(fileURLWithPath: executable).deletingLastPathComponent()
        let prefix = folder.deletingLastPathComponent()
        return [
            folder.appendingPathComponent("tessera_DefaultModel.resources/Model").path,
            prefix.appendingPathComponent("share/tessera/model").path,
        ]
    }

    /// The shipped model's folder, or nil when the executable was separated from it.
    package static var folder: String? {
        let executable =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
        return candidates(executable: executable).first { folder in
            FileManager.default.fileExists(atPath: folder + "/model_index.json")
        }
    }
}
