internal import Denoising
internal import DiffusionModels
internal import DurableFiles
internal import Tensors

/// `step-<number>.safetensors` of a state folder: the canvas after so many steps, in full
/// precision, with its checksum, its number and the run it belongs to. In the middle of a step it
/// is `step-<number>-<tasks>.safetensors`, and the sum of so many merged tasks follows the canvas
/// as further channels.
///
/// Today's schedulers are one-step: what they need of the past is in the canvas. The history of
/// one that remembers earlier predictions belongs here, as tensors beside `latents`, and raises
/// ``StateManifest/currentFormat``.
struct CheckpointFile: Hashable, Sendable {
    /// Finished steps.
    let step: Int
    /// Tasks of the next one that are merged; 0 between steps.
    let tasks: Int

    private static let prefix = "step-"
    private static let suffix = ".safetensors"
    private static let runKey = "tessera.run"
    private static let stepKey = "tessera.step"
    private static let tasksKey = "tessera.tasks"
    private static let checksumKey = "tessera.crc32c"

    init(step: Int, tasks: Int = 0) {
        self.step = step
        self.tasks = tasks
    }

    /// Where a state belongs.
    init(of state: DenoisingState) {
        self.init(step: state.nextStep, tasks: state.mergedTasks)
    }

    /// Parses `step-12.safetensors` and `step-12-34.safetensors`; nil for other files.
    init?(name: String) {
        guard name.hasPrefix(Self.prefix), name.hasSuffix(Self.suffix) else { return nil }
        let numbers = name.dropFirst(Self.prefix.count).dropLast(Self.suffix.count)
            .split(separator: "-", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
        guard let step = numbers.first, numbers.count <= 2 else { return nil }
        self.init(step: step, tasks: numbers.count > 1 ? numbers[1] : 0)
        guard step >= 0, tasks >= 0, step > 0 || tasks > 0, self.name == name else { return nil }
    }

    var name: String {
        "\(Self.prefix)\(step)\(tasks > 0 ? "-\(tasks)" : "")\(Self.suffix)"
    }

    /// Writes the state so that it appears whole and on disk, or not at all. Throws
    /// `WeightsError.unwritable`.
    static func write(_ state: DenoisingState, of run: String, in folder: String) throws {
        let file = CheckpointFile(of: state)
        let sum = state.underWay?.sum
        let checksum = CRC32C.of(state.canvas.values, followedBy: sum?.values ?? [])
        var metadata = [
            (runKey, run), (stepKey, "\(file.step)"), (checksumKey, String(checksum, radix: 16)),
        ]
        if let tasks = file.tasksText { metadata.append((tasksKey, tasks)) }
        try LatentFile.write(
            state.canvas, followedBy: sum, to: .file(folder + "/" + file.name), metadata: metadata)
    }

    /// What the header says of them: nothing between steps.
    private var tasksText: String? { tasks > 0 ? "\(tasks)" : nil }

    /// Why a file is not believed.
    struct Damage: Error {
        let reason: String
    }

    /// Reads the state and believes nothing: not the header, not the elements, not the name.
    func read(of run: String, in folder: String) throws(Damage) -> DenoisingState {
        let (content, metadata): (Latent, [String: String])
        do {
            (content, metadata) = try LatentFile.readWithMetadata(folder + "/" + name)
        } catch {
            throw Damage(reason: "is damaged (\(error))")
        }
        guard metadata[Self.runKey] == run else {
            throw Damage(reason: "belongs to another run")
        }
        guard metadata[Self.stepKey] == "\(step)", metadata[Self.tasksKey] == tasksText else {
            throw Damage(reason: "is damaged (it says to be of another step)")
        }
        guard metadata[Self.checksumKey] == String(CRC32C.of(content.values), radix: 16) else {
            throw Damage(reason: "is damaged (its checksum does not fit)")
        }
        guard tasks > 0 else { return DenoisingState(canvas: content, nextStep: step) }
        guard let (canvas, sum) = content.halves else {
            throw Damage(reason: "is damaged (it has no sum beside its canvas)")
        }
        return DenoisingState(
            canvas: canvas, nextStep: step,
            underWay: PartialStep(mergedTasks: tasks, sum: sum))
    }
}

extension CheckpointFile: Comparable {
    /// By how far the run had come.
    static func < (one: CheckpointFile, other: CheckpointFile) -> Bool {
        (one.step, one.tasks) < (other.step, other.tasks)
    }
}

extension Latent {
    /// The first half of the channels and the second; nil when their number is odd.
    fileprivate var halves: (Latent, Latent)? {
        guard channels.isMultiple(of: 2) else { return nil }
        let half = values.count / 2
        func part(_ values: ArraySlice<Float>) -> Latent {
            Latent(channels: channels / 2, height: height, width: width, values: Array(values))
        }
        return (part(values[..<half]), part(values[half...]))
    }
}
