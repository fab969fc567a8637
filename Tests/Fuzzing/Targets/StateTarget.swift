import Denoising
import Foundation
import Tensors

@testable import TextToImage

/// Any state folder: what lies in it is used or refused, with a sentence.
///
/// A record's tag says which file its bytes are. Of the journal a record is one tile, whose header
/// gets its checksums.
enum StateTarget: FuzzTarget {
    static let isRecordStream = true

    private enum Tag: UInt8 {
        case manifest, life, checkpoint, tile, fileName, partialStep
    }

    private static let folder: String = {
        var name = Array("/tmp/tessera-fuzz-state-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { broken("there is no room for a folder") }
        atexit { StateTarget.removeAll() }
        return String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()

    private static func removeAll() { try? FileManager.default.removeItem(atPath: folder) }

    private static let runName = "00000000000000aa"
    private static let binding = TileJournal.Binding(run: runName, latent: 7, tiles: 4)

    static func run(_ input: [UInt8]) {
        var tiles: [UInt8] = []
        for record in RecordStream.read(input).prefix(16) {
            switch Tag(rawValue: record.tag & 7) {
            case .manifest:
                put(record.bytes, StateManifest.name)
                _ = try? StateManifest.read(in: folder)
            case .life:
                put(record.bytes, LifeRecord.name)
                _ = try? LifeRecord.read(in: folder)
            case .checkpoint: readCheckpoint(record.bytes, CheckpointFile(step: 1))
            case .partialStep: readCheckpoint(record.bytes, CheckpointFile(step: 1, tasks: 2))
            case .tile: tiles += sealedTile(record.bytes)
            case .fileName:
                let name = String(decoding: record.bytes, as: UTF8.self)
                guard let file = CheckpointFile(name: name) else { continue }
                guard file.name == name else { broken("\(name) is the file of \(file.name)") }
            case nil: tiles += record.bytes
            }
        }
        put(TileJournalHeader(binding).bytes + tiles, "tiles")
        readJournal()
    }

    private static func readCheckpoint(_ bytes: [UInt8], _ file: CheckpointFile) {
        put(bytes, file.name)
        guard let state = try? file.read(of: runName, in: folder) else { return }
        guard CheckpointFile(of: state) == file else { broken("\(file.name) holds another state") }
    }

    private static func readJournal() {
        let session = StateSession(folder: folder, run: runName, beforeWrite: nil) { _ in }
        let journal = TileJournal(
            path: "\(folder)/tiles", binding: binding, syncEvery: 1000, session: session)
        for index in 0..<binding.tiles where journal?.holds(index) == true {
            guard let tile = journal?.tile(index, height: 1, width: 2) else { continue }
            guard tile.bytes.count == 6 else { broken("a tile of \(tile.bytes.count) bytes") }
        }
    }

    /// Sixteen bytes of index, height, width and count, then pixels: the two checksums are added.
    private static func sealedTile(_ bytes: [UInt8]) -> [UInt8] {
        let numbers =
            Array(bytes.prefix(16)) + [UInt8](repeating: 0, count: max(0, 16 - bytes.count))
        let pixels = Array(bytes.dropFirst(16))
        let header = Array("TILE".utf8) + numbers + WireInput.littleEndian(CRC32C.of(pixels))
        return header + WireInput.littleEndian(CRC32C.of(header)) + pixels
    }

    private static func put(_ bytes: [UInt8], _ name: String) {
        guard let file = fopen("\(folder)/\(name)", "wb") else { broken("\(name) cannot be put") }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    static var seeds: [String: [UInt8]] {
        func record(_ tag: Tag, _ bytes: [UInt8]) -> [UInt8] {
            RecordStream.write([.init(tag: tag.rawValue, bytes: bytes)])
        }
        func tile(_ numbers: UInt32..., pixels: [UInt8]) -> [UInt8] {
            record(.tile, numbers.flatMap(WireInput.littleEndian) + pixels)
        }
        let life = (try? LifeRecord(StateLife(realm: 5, epoch: 3)).text) ?? []
        func checkpoint(_ underWay: PartialStep? = nil) -> [UInt8] {
            let state = DenoisingState(
                canvas: MessageSeeds.latent, nextStep: 1, underWay: underWay)
            try? CheckpointFile.write(state, of: runName, in: folder)
            let path = folder + "/" + CheckpointFile(of: state).name
            return Array(FileManager.default.contents(atPath: path) ?? Data())
        }
        let partial = PartialStep(mergedTasks: 2, sum: MessageSeeds.latent)
        let mixed = PartialStep(
            mergedTasks: 2, sum: MessageSeeds.latent, mixed: MessageSeeds.latent)
        let largest = UInt32.max
        return [
            "life": record(.life, life),
            "checkpoint": record(.checkpoint, checkpoint()),
            "partial-step": record(.partialStep, checkpoint(partial)),
            "mixed-step": record(.partialStep, checkpoint(mixed)),
            "manifest": record(
                .manifest,
                Array(#"{"format":1,"run":"00000000000000aa","job":{"plan":"p"}}"#.utf8)),
            "newer-manifest": record(.manifest, Array(#"{"format":99}"#.utf8)),
            "file-name": record(.fileName, Array("step-12.safetensors".utf8)),
            "partial-step-name": record(.fileName, Array("step-12-34.safetensors".utf8)),
            "tiles": tile(0, 1, 2, 6, pixels: [1, 2, 3, 4, 5, 6])
                + tile(1, 1, 2, 6, pixels: [1, 2, 3]),
            "finding-huge-tile": tile(0, largest, largest, 6, pixels: []),
            "hostile-tile-of-nothing": tile(0, 0, 0, 0, pixels: []),
        ]
    }
}
