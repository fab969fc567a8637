internal import DurableFiles
internal import Foundation
internal import Tensors

/// `manifest.json` of a state folder: whose state it is.
struct StateManifest: Codable, Equatable, Sendable {
    /// The newest layout of the folder that this program reads and the one it writes. Raised
    /// when a program that knows only the older ones would misread the folder; independent of
    /// the program's version.
    static let currentFormat = 1
    static let name = "manifest.json"

    let format: Int
    /// Random: binds checkpoints and journal to this manifest.
    let run: String
    let job: Provenance
    /// Fingerprint of the weights that decide the latents; nil when it was not told.
    let latentWeights: String?

    enum CodingKeys: String, CodingKey {
        case format, run, job
        case latentWeights = "latent_weights"
    }

    /// Of a run that begins, or of run `run` that goes on as another.
    init(job: Provenance, latentWeights: Fingerprint?, run: String? = nil) {
        format = Self.currentFormat
        self.run = run ?? Fingerprint(value: .random(in: 0 ... .max)).description
        self.job = job
        self.latentWeights = latentWeights?.description
    }

    /// Whether the run differs from `job` in the autoencoder's weights only: its latents are those
    /// of `job`, and what is decoded of them is not.
    func differsInAutoencoder(from job: Provenance, latentWeights: Fingerprint?) -> Bool {
        guard let held = self.latentWeights, held == latentWeights?.description else {
            return false
        }
        return differences(to: job).map(\.what) == [Self.weightsField]
    }

    private static let weightsField = "model weights"

    /// Reads the folder's manifest; nil when there is none.
    static func read(in folder: String) throws(CheckpointError) -> StateManifest? {
        let file = folder + "/" + name
        let bytes: [UInt8]?
        do { bytes = try readSmallFile(file) } catch {
            throw .unusable(path: folder, reason: "\(error)")
        }
        guard let bytes else { return nil }
        let format = try format(of: bytes, file: file)
        guard format <= currentFormat else {
            throw .newerFormat(file: file, found: format, known: currentFormat)
        }
        do {
            return try JSONDecoder().decode(StateManifest.self, from: Data(bytes))
        } catch {
            throw .damaged(file: file, reason: Self.reason(error))
        }
    }

    /// The text of the file; the same for equal values.
    private var text: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        }
    }

    /// Puts the file into a folder, whole or not at all.
    func write(in folder: String) throws {
        try AtomicFile.write(try text, to: folder + "/" + Self.name, access: .anyUser)
    }

    /// In what `job` is another picture than the held one; the program's version apart.
    func differences(to asked: Provenance) -> [ManifestDifference] {
        let (held, request) = (Self.fields(job.request), Self.fields(asked.request))
        var result = Set(held.keys).union(request.keys).sorted()
            .filter { held[$0] != request[$0] }
            .map { key in
                ManifestDifference(
                    "request: \(key)", held: held[key]?.text ?? "none",
                    asked: request[key]?.text ?? "none")
            }
        let others = [
            ("plan", job.plan, asked.plan), (Self.weightsField, job.weights, asked.weights),
            ("compute class", job.computeClass, asked.computeClass),
        ]
        for (what, held, asked) in others where held != asked {
            result.append(ManifestDifference(what, held: held, asked: asked))
        }
        return result
    }

    private struct Format: Decodable { let format: Int }

    private static func format(of bytes: [UInt8], file: String) throws(CheckpointError) -> Int {
        let format: Int
        do {
            format = try JSONDecoder().decode(Format.self, from: Data(bytes)).format
        } catch {
            throw .damaged(
                file: file,
                reason: bytes.isEmpty ? "it is empty" : "it has no format number that can be read")
        }
        guard format >= 1 else { throw .damaged(file: file, reason: "its format is \(format)") }
        return format
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "its field \(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context):
            "its field \(context.codingPath.map(\.stringValue).joined(separator: ".")) is of "
                + "another kind"
        default: "it does not parse"
        }
    }

    private enum Scalar: Decodable, Equatable {
        case text(String)
        case flag(Bool)
        case number(Double)
        case whole(UInt64)
        case texts([String])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Bool.self) {
                self = .flag(value)
            } else if let value = try? container.decode(UInt64.self) {
                self = .whole(value)
            } else if let value = try? container.decode(Double.self) {
                self = .number(value)
            } else if let values = try? container.decode([String].self) {
                self = .texts(values)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        var text: String {
            switch self {
            case .text(let value): "\"\(value)\""
            case .flag(let value): "\(value)"
            case .number(let value): "\(value)"
            case .whole(let value): "\(value)"
            case .texts(let values): "\(values)"
            }
        }
    }

    private static func fields(_ request: GenerationRequest) -> [String: Scalar] {
        guard let bytes = try? JSONEncoder().encode(request) else { return [:] }
        return (try? JSONDecoder().decode([String: Scalar].self, from: bytes)) ?? [:]
    }
}
