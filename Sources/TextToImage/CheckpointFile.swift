internal import Denoising
internal import DiffusionModels
internal import Tensors

/// `step-<number>.safetensors` of a state folder: the canvas after so many steps, in full
/// precision, with its checksum, its number and the run it belongs to.
///
/// Today's schedulers are one-step: what they need of the past is in the canvas. The history of
/// one that remembers earlier predictions belongs here, as tensors beside `latents`, and raises
/// ``StateManifest/currentFormat``.
struct CheckpointFile: Equatable, Sendable {
    /// Finished steps.
    let step: Int

    private static let prefix = "step-"
    private static let suffix = ".safetensors"
    private static let runKey = "tessera.run"
    private static let stepKey = "tessera.step"
    private static let checksumKey = "tessera.crc32c"

    init(step: Int) { self.step = step }

    /// Parses `step-12.safetensors`; nil for other files.
    init?(name: String) {
        guard name.hasPrefix(Self.prefix), name.hasSuffix(Self.suffix) else { return nil }
        let digits = name.dropFirst(Self.prefix.count).dropLast(Self.suffix.count)
        guard let step = Int(digits), step > 0, String(step) == digits else { return nil }
        self.step = step
    }

    var name: String { "\(Self.prefix)\(step)\(Self.suffix)" }

    /// Writes the state so that it appears whole and on disk, or not at all. Throws
    /// `WeightsError.unwritable`.
    static func write(_ state: DenoisingState, of run: String, in folder: String) throws {
        let file = CheckpointFile(step: state.nextStep)
        try LatentFile.write(
            state.canvas, to: folder + "/" + file.name,
            metadata: [
                (runKey, run), (stepKey, "\(file.step)"),
                (checksumKey, String(CRC32C.of(state.canvas.values), radix: 16)),
            ])
    }

    /// Why a file is not believed.
    struct Damage: Error {
        let reason: String
    }

    /// Reads the state and believes nothing: not the header, not the elements, not the name.
    func read(of run: String, in folder: String) throws(Damage) -> DenoisingState {
        let (canvas, metadata): (Latent, [String: String])
        do {
            (canvas, metadata) = try LatentFile.readWithMetadata(folder + "/" + name)
        } catch {
            throw Damage(reason: "is damaged (\(error))")
        }
        guard metadata[Self.runKey] == run else {
            throw Damage(reason: "belongs to another run")
        }
        guard metadata[Self.stepKey] == "\(step)" else {
            throw Damage(reason: "is damaged (it says to be of another step)")
        }
        guard metadata[Self.checksumKey] == String(CRC32C.of(canvas.values), radix: 16) else {
            throw Damage(reason: "is damaged (its checksum does not fit)")
        }
        return DenoisingState(canvas: canvas, nextStep: step)
    }
}
