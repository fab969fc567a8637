internal import DurableFiles
internal import Foundation
internal import Tensors

/// Which coordinator of a state folder this is, for fencing: of one realm, the higher epoch is
/// the younger life, and what an older one still says does not count.
package struct StateLife: Equatable, Sendable {
    /// Random when the folder was created, the same for all its coordinators.
    package let realm: UInt64
    /// 1 for the first start, one more with every other.
    package let epoch: UInt64

    package init(realm: UInt64, epoch: UInt64) {
        self.realm = realm
        self.epoch = epoch
    }

    /// Of a folder whose lives are not known.
    static func first() -> StateLife {
        StateLife(realm: .random(in: 1 ... .max), epoch: 1)
    }

    var next: StateLife { StateLife(realm: realm, epoch: epoch + 1) }
}

/// `life.json` of a state folder: the newest coordinator's life.
struct LifeRecord: Codable {
    static let name = "life.json"

    private let format: Int
    private let realm: String
    private let epoch: UInt64
    /// Of realm and epoch: a wrong epoch would let an old coordinator speak for a new one.
    private let crc32c: String

    enum Reading {
        case missing
        case life(StateLife)
        case damaged
    }

    init(_ life: StateLife) {
        format = StateManifest.currentFormat
        realm = Fingerprint(value: life.realm).description
        epoch = life.epoch
        crc32c = Self.checksum(realm, epoch)
    }

    static func read(in folder: String) throws(CheckpointError) -> Reading {
        let file = folder + "/" + name
        let bytes: [UInt8]?
        do { bytes = try readSmallFile(file) } catch {
            throw .unusable(path: folder, reason: "\(error)")
        }
        guard let bytes else { return .missing }
        guard let record = try? JSONDecoder().decode(LifeRecord.self, from: Data(bytes)) else {
            return .damaged
        }
        guard record.format <= StateManifest.currentFormat else {
            throw .newerFormat(
                file: file, found: record.format, known: StateManifest.currentFormat)
        }
        guard record.crc32c == checksum(record.realm, record.epoch),
            let realm = Fingerprint(record.realm), record.epoch < .max
        else { return .damaged }
        return .life(StateLife(realm: realm.value, epoch: record.epoch))
    }

    var text: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        }
    }

    private static func checksum(_ realm: String, _ epoch: UInt64) -> String {
        String(CRC32C.of(Array("\(realm) \(epoch)".utf8)), radix: 16)
    }
}
