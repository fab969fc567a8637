package import Denoising
internal import DiffusionModels
internal import Foundation
internal import Tensors

/// A folder that lets a killed run go on: what is being made (`job.json`) and the canvas after
/// each of the last two steps (`step-<number>-<checksum>.safetensors`). Files appear whole or not
/// at all; one process at a time holds the folder.
package final class CheckpointFolder: Sendable {
    package let path: String
    private let lock: Int32

    private static let generations = 2

    /// Opens the folder for a picture, creating it when it is not there.
    ///
    /// Throws ``CheckpointError``: another process works in it, it holds another picture's state,
    /// or it holds this one's and `resume` is false.
    package init(path: String, job: Provenance, resume: Bool) throws(CheckpointError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw .unusable(path: path, reason: error.localizedDescription)
        }
        let lock = unsafe open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else {
            throw .unusable(path: path, reason: unsafe String(cString: strerror(errno)))
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw .locked(path: path)
        }
        self.path = path
        self.lock = lock
        try adopt(job, resume: resume)
    }

    deinit { close(lock) }

    /// The newest state that is whole; nil when no step was finished yet. A damaged newest one is
    /// passed over for the one before.
    package func latest() throws(CheckpointError) -> DenoisingState? {
        for file in files().reversed() {
            guard let canvas = try? LatentFile.read(path + "/" + file.name),
                CRC32C.of(canvas.values) == file.checksum
            else { continue }
            return DenoisingState(canvas: canvas, nextStep: file.step)
        }
        return nil
    }

    /// Keeps the state after a step, and drops those that are too old.
    package func save(_ state: DenoisingState) throws(CheckpointError) {
        let checksum = CRC32C.of(state.canvas.values)
        let file = StateFile(step: state.nextStep, checksum: checksum)
        do {
            try LatentFile.write(state.canvas, to: path + "/" + file.name)
        } catch {
            throw .unusable(path: path, reason: "\(error)")
        }
        for old in files().dropLast(Self.generations) { remove(old.name) }
    }

    /// The picture is there: nothing has to be kept.
    package func finish() {
        for file in files() { remove(file.name) }
        remove(Self.jobName)
    }

    // MARK: - Files

    private static let jobName = "job.json"

    private struct StateFile {
        let step: Int
        let checksum: UInt32

        init(step: Int, checksum: UInt32) {
            self.step = step
            self.checksum = checksum
        }

        /// Parses `step-12-0badcafe.safetensors`; nil for other files.
        init?(name: String) {
            let parts = name.split(separator: "-")
            guard parts.count == 3, parts[0] == "step", let step = Int(parts[1]),
                parts[2].hasSuffix(".safetensors"),
                let checksum = UInt32(parts[2].dropLast(".safetensors".count), radix: 16)
            else { return nil }
            self.init(step: step, checksum: checksum)
        }

        var name: String { "step-\(step)-\(String(checksum, radix: 16)).safetensors" }
    }

    private func files() -> [StateFile] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.compactMap(StateFile.init(name:)).sorted { $0.step < $1.step }
    }

    private func remove(_ name: String) {
        try? FileManager.default.removeItem(atPath: path + "/" + name)
    }

    private func adopt(_ job: Provenance, resume: Bool) throws(CheckpointError) {
        let file = path + "/" + Self.jobName
        guard let bytes = FileManager.default.contents(atPath: file) else {
            return try write(job, to: file)
        }
        guard let held = try? JSONDecoder().decode(Provenance.self, from: bytes) else {
            throw .unusable(path: path, reason: "its \(Self.jobName) is damaged or newer")
        }
        guard held == job else { throw .otherPicture(path: path, held: held.request.prompt) }
        guard resume || files().isEmpty else { throw .started(path: path) }
    }

    private func write(_ job: Provenance, to file: String) throws(CheckpointError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(job).write(to: URL(fileURLWithPath: file), options: .atomic)
        } catch {
            throw .unusable(path: path, reason: error.localizedDescription)
        }
    }
}

/// Why a state folder cannot be used.
package enum CheckpointError: Error, Equatable, CustomStringConvertible {
    case unusable(path: String, reason: String)
    /// Another process holds the folder.
    case locked(path: String)
    /// The folder belongs to another request, plan, model or compute class.
    case otherPicture(path: String, held: String)
    /// The folder holds a begun run of this very picture.
    case started(path: String)

    package var description: String {
        switch self {
        case .unusable(let path, let reason):
            "the state folder \(path) cannot be used: \(reason)"
        case .locked(let path):
            "another tessera works in the state folder \(path); wait for it or name another"
        case .otherPicture(let path, let held):
            "the state folder \(path) holds another picture (\"\(held)\", or the same with other "
                + "flags, weights or machine class); finish that one or name another folder"
        case .started(let path):
            "the state folder \(path) holds a begun run of this picture; add --resume to go on "
                + "with it, or name another folder"
        }
    }
}
