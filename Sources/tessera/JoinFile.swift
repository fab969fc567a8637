import Foundation

/// What a worker needs to find a coordinator, as a file that both can read.
struct JoinFile: Codable {
    /// Such as `tcp://10.0.0.1:5570`.
    let endpoint: String
    /// Whether the coordinator was started with `--insecure`.
    let insecure: Bool

    /// Throws ``CommandFailure`` when the file is missing or of another kind.
    static func read(_ path: String) throws(CommandFailure) -> JoinFile {
        guard let bytes = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(
                .badData, "\(path) cannot be read; generate --listen … --join writes such a file")
        }
        guard let file = try? JSONDecoder().decode(JoinFile.self, from: bytes) else {
            throw CommandFailure(
                .badData, "\(path) is no join file; generate --listen … --join writes one")
        }
        return file
    }

    /// The file appears complete or not at all. Throws ``CommandFailure``.
    func write(to path: String) throws(CommandFailure) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw CommandFailure(
                .usage, "\(path) cannot be written (\(error.localizedDescription))")
        }
    }
}
