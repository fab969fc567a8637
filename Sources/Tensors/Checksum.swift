internal import CChecksum

/// CRC-32C (Castagnoli; RFC 3720 appendix B.4), for catching accidents, not enemies.
package struct CRC32C: Hashable, Sendable {
    /// The checksum of everything seen so far.
    package private(set) var value: UInt32 = 0

    package init() {}

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = unsafe tsr_crc32c(value, bytes.baseAddress, bytes.count)
    }

    /// Checksum of one block of bytes.
    package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var crc = CRC32C()
        unsafe crc.update(bytes)
        return crc.value
    }

    /// Checksum of a byte array.
    package static func of(_ bytes: [UInt8]) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe of($0) }
    }

    /// Checksum of the elements' bytes in memory order (little-endian on every supported machine).
    package static func of(_ values: [Float]) -> UInt32 {
        var crc = CRC32C()
        crc.update(values)
        return crc.value
    }

    /// The elements' bytes in memory order.
    package mutating func update(_ values: [Float]) {
        unsafe values.withUnsafeBytes { unsafe update($0) }
    }
}
