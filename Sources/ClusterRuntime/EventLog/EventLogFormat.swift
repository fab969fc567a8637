package import ClusterCore
internal import Foundation
internal import Tensors

/// What an event log is made of: a header, an event a line, and an end, each a JSON object.
///
/// Every event's line carries a running checksum of the header and of all events so far, so that
/// no line can be changed, lost, added or moved unseen, and a running digest of all effects so
/// far, so that a replay shows at which event it first decides otherwise.
package enum EventLogFormat {
    /// Raised when older programs cannot read newer logs.
    package static let version = 1
    static let kind = "tessera event log"

    /// No line of ours is longer: a batch of a thousand tasks takes a tenth of it.
    package static let maximumLineBytes = 64 << 20

    package struct Header: Codable, Sendable {
        package let file: String
        package let format: Int
        package let setup: CoordinatorSetup
    }

    package struct Line: Codable, Sendable {
        /// Nanoseconds on the coordinator's clock.
        package let at: Int64
        package let event: CoordinatorEvent
        package let check: String
        package let effects: String
    }

    /// The last line; without one the coordinator was killed.
    package struct End: Codable, Sendable {
        package let events: Int
        /// Why the log ends before the run did; nil when it is complete.
        package let stopped: String?
        package let check: String
    }

    static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// The two running digests of a log.
struct EventLogDigests {
    private var check = Fingerprinter()
    private var effects = Fingerprinter()
    private let encoder = EventLogFormat.encoder()

    /// Begins with the header.
    init(header: Data) { Self.add(header, to: &check) }

    var checkText: String { check.fingerprint.description }
    var effectsText: String { effects.fingerprint.description }

    mutating func add(_ event: CoordinatorEvent, at nanoseconds: Int64) throws {
        check.add(UInt64(bitPattern: nanoseconds))
        Self.add(try encoder.encode(event), to: &check)
    }

    mutating func add(_ decided: [CoordinatorEffect]) throws {
        guard !decided.isEmpty else { return }
        Self.add(try encoder.encode(decided), to: &effects)
    }

    private static func add(_ bytes: Data, to digest: inout Fingerprinter) {
        digest.add(bytes.count)
        for byte in bytes { digest.add(byte: byte) }
    }
}

extension Instant {
    /// Whole nanoseconds, which is how fine the system's clock is.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = sinceStart.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    init(nanoseconds: Int64) { self.init(sinceStart: .nanoseconds(nanoseconds)) }
}
