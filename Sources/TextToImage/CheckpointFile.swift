internal import Denoising
internal import DiffusionModels
internal import DurableFiles
internal import Tensors

/// `step-<number>.safetensors` of a state folder: the canvas after so many steps, in full
/// precision, with its checksum, its number and the run it belongs to. In the middle of a step it
/// is `step-<number>-<tasks>.safetensors`, and the sum of so many merged tasks is beside it, and the
/// groups of views that were mixed before. Where a later phase's canvas is made,
/// `step-<number>-phase-<phase>.safetensors` is the first state on it; `step-0.safetensors` is that of
/// the first phase, where it is made of a picture. What a phase keeps is in the file, too.
///
/// Today's schedulers are one-step: what they need of the past is in the canvas. The history of
/// one that remembers earlier predictions belongs here, as tensors beside `latents`, and raises
/// ``StateManifest/currentFormat``.
struct CheckpointFile: Hashable, Sendable {
    /// Finished steps.
    let step: Int
    /// Tasks of the next one that are merged; 0 between steps.
    let tasks: Int
    /// The phase whose canvas it holds.
    let phase: Int

    private static let prefix = "step-"
    private static let phaseMark = "-phase-"
    private static let suffix = ".safetensors"
    private static let runKey = "tessera.run"
    private static let stepKey = "tessera.step"
    private static let tasksKey = "tessera.tasks"
    private static let phaseKey = "tessera.phase"
    private static let checksumKey = "tessera.crc32c"
    private static let sumName = "sum"
    private static let mixedName = "mixed"
    private static let keptPrefix = "kept."

    init(step: Int, tasks: Int = 0, phase: Int = 0) {
        self.step = step
        self.tasks = tasks
        self.phase = phase
    }

    /// Where a state belongs.
    init(of state: DenoisingState) {
        self.init(step: state.nextStep, tasks: state.mergedTasks, phase: state.phase)
    }

    /// Parses `step-12.safetensors`, `step-12-34.safetensors` and either with `-phase-1` behind its
    /// numbers; nil for other files.
    init?(name: String) {
        guard name.hasPrefix(Self.prefix), name.hasSuffix(Self.suffix) else { return nil }
        var words = name.dropFirst(Self.prefix.count).dropLast(Self.suffix.count)
            .split(separator: "-", omittingEmptySubsequences: false)
        var phase = 0
        if words.count > 2, words[words.count - 2] == "phase" {
            phase = Int(words[words.count - 1]) ?? -1
            words.removeLast(2)
        }
        let numbers = words.map { Int($0) ?? -1 }
        guard let step = numbers.first, numbers.count <= 2 else { return nil }
        self.init(step: step, tasks: numbers.count > 1 ? numbers[1] : 0, phase: phase)
        guard step >= 0, tasks >= 0, phase >= 0, self.name == name else { return nil }
    }

    var name: String {
        Self.prefix + "\(step)" + (tasks > 0 ? "-\(tasks)" : "")
            + (phase > 0 ? "\(Self.phaseMark)\(phase)" : "") + Self.suffix
    }

    /// Writes the state so that it appears whole and on disk, or not at all. Throws
    /// `WeightsError.unwritable`.
    static func write(_ state: DenoisingState, of run: String, in folder: String) throws {
        let file = CheckpointFile(of: state)
        var parts = [LatentFile.Part(LatentFile.tensorName, state.canvas)]
        if let sum = state.underWay?.sum { parts.append(LatentFile.Part(sumName, sum)) }
        if let mixed = state.underWay?.mixed { parts.append(LatentFile.Part(mixedName, mixed)) }
        parts += state.kept.map { LatentFile.Part(keptPrefix + $0.name, $0.latent) }
        var metadata = [
            (runKey, run), (stepKey, "\(file.step)"), (checksumKey, checksum(of: parts)),
        ]
        if let tasks = file.tasksText { metadata.append((tasksKey, tasks)) }
        if let phase = file.phaseText { metadata.append((phaseKey, phase)) }
        try LatentFile.write(parts, to: .file(folder + "/" + file.name), metadata: metadata)
    }

    private static func checksum(of parts: [LatentFile.Part]) -> String {
        var checksum = CRC32C()
        for part in parts { checksum.update(part.latent.values) }
        return String(checksum.value, radix: 16)
    }

    /// What the header says of them: nothing between steps.
    private var tasksText: String? { tasks > 0 ? "\(tasks)" : nil }

    /// What the header says of it: nothing in the first one.
    private var phaseText: String? { phase > 0 ? "\(phase)" : nil }

    /// Why a file is not believed.
    struct Damage: Error {
        let reason: String
    }

    /// Reads the state and believes nothing: not the header, not the elements, not the name.
    func read(of run: String, in folder: String) throws(Damage) -> DenoisingState {
        let (parts, metadata): ([LatentFile.Part], [String: String])
        do {
            (parts, metadata) = try LatentFile.readParts(folder + "/" + name)
        } catch {
            throw Damage(reason: "is damaged (\(error))")
        }
        guard metadata[Self.runKey] == run else {
            throw Damage(reason: "belongs to another run")
        }
        guard metadata[Self.stepKey] == "\(step)", metadata[Self.tasksKey] == tasksText,
            metadata[Self.phaseKey] == phaseText
        else {
            throw Damage(reason: "is damaged (it says to be of another step)")
        }
        guard metadata[Self.checksumKey] == Self.checksum(of: parts) else {
            throw Damage(reason: "is damaged (its checksum does not fit)")
        }
        return try state(of: parts)
    }

    private func state(of parts: [LatentFile.Part]) throws(Damage) -> DenoisingState {
        var rest = parts[...]
        guard let canvas = rest.popFirst(), canvas.name == LatentFile.tensorName else {
            throw Damage(reason: "is damaged (it has no canvas)")
        }
        var state = DenoisingState(phase: phase, canvas: canvas.latent, nextStep: step)
        if tasks > 0 {
            guard let sum = rest.popFirst(), sum.name == Self.sumName else {
                throw Damage(reason: "is damaged (it has no sum beside its canvas)")
            }
            let mixed = rest.first?.name == Self.mixedName ? rest.popFirst() : nil
            state.underWay = PartialStep(
                mergedTasks: tasks, sum: sum.latent, mixed: mixed?.latent)
        }
        for part in rest {
            guard part.name.hasPrefix(Self.keptPrefix) else {
                throw Damage(reason: "is damaged (its tensor \(part.name) is unknown)")
            }
            let name = String(part.name.dropFirst(Self.keptPrefix.count))
            state.kept.append(KeptCanvas(name: name, latent: part.latent))
        }
        return state
    }
}

extension CheckpointFile: Comparable {
    /// By how far the run had come.
    static func < (one: CheckpointFile, other: CheckpointFile) -> Bool {
        (one.step, one.phase, one.tasks) < (other.step, other.phase, other.tasks)
    }
}
