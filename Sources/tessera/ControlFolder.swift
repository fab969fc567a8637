import ClusterCore
import DurableFiles
import Foundation
import TextToImage

/// Where a coordinator that stays up can be asked: `control/` in its state folder. The folder is
/// its user's alone, and so is the socket in it.
struct ControlFolder {
    private let folder: String

    /// What an `ipc://` path may have at most (`sun_path` of unix(7)).
    private static let maximumPathBytes = 107

    init(stateDir: String) { folder = stateDir + "/control" }

    private var addressFile: String { folder + "/address" }

    /// Makes the folder, and forgets where an earlier coordinator was. Gives the address to bind
    /// when none is asked for. Throws ``CommandFailure``.
    func prepare() throws(CommandFailure) -> String {
        do { try makeFolder(folder) } catch { throw CommandFailure(.badData, "\(error)") }
        guard chmod(folder, 0o700) == 0 else {
            throw CommandFailure(
                .badData, "\(FileFailure.ofLastCall(path: folder)); it should be this user's own")
        }
        unlink(addressFile)
        return "ipc://\(folder)/socket"
    }

    static func check(_ address: String) throws(CommandFailure) {
        guard address.hasPrefix("ipc://"), address.utf8.count - 6 > maximumPathBytes else { return }
        throw CommandFailure(
            .usage,
            "the socket's path \(address.dropFirst(6)) is longer than the \(maximumPathBytes) "
                + "bytes that the system takes; name a shorter --state-dir, or say --control "
                + "tcp://127.0.0.1:5571")
    }

    /// Lets clients find the coordinator. Throws ``CommandFailure``.
    func publish(_ address: String) throws(CommandFailure) {
        do {
            try AtomicFile.write(Array((address + "\n").utf8), to: addressFile, access: .anyUser)
        } catch {
            throw CommandFailure(.badData, "\(error)")
        }
    }

    /// Where the coordinator is; nil when it has not said so yet. Throws ``CommandFailure``.
    func address() throws(CommandFailure) -> String? {
        let bytes: [UInt8]?
        do { bytes = try readSmallFile(addressFile, limit: 4096) } catch {
            throw CommandFailure(
                .unavailable,
                "\(error); only the user that runs the coordinator can ask it there")
        }
        return bytes.map {
            String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }
}
