/// A stable 64-bit digest (FNV-1a) of values and files: the same on every machine and in every
/// run. It tells things apart that were mixed up by accident; it is no defence against forgery.
package struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    package var value: UInt64

    package init(value: UInt64) { self.value = value }

    /// Parses what ``description`` prints: 16 lowercase hexadecimal digits.
    package init?(_ text: String) {
        guard text.count == 16, let value = UInt64(text, radix: 16) else { return nil }
        self.value = value
    }

    /// 16 lowercase hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Collects what a ``Fingerprint`` is made of. Every part is preceded by nothing and padded by
/// nothing: callers that add variable-length parts add their lengths too (`add(_: String)` and
/// `add(_: [Float])` do).
package struct Fingerprinter: Sendable {
    private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

    package init() {}

    package mutating func add(byte: UInt8) {
        hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }

    package mutating func add(_ value: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            add(byte: UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    package mutating func add(_ value: Int) { add(UInt64(bitPattern: Int64(value))) }

    /// The bit pattern, so that -0 and 0 differ and nothing is rounded.
    package mutating func add(_ value: Double) { add(value.bitPattern) }

    package mutating func add(_ text: String) {
        add(text.utf8.count)
        for byte in text.utf8 { add(byte: byte) }
    }

    /// Count and CRC-32C of the elements' bytes.
    package mutating func add(_ values: [Float]) {
        add(values.count)
        add(UInt64(CRC32C.of(values)))
    }

    package var fingerprint: Fingerprint { Fingerprint(value: hash) }
}
