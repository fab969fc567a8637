import Tensors
import TestSupport
import Testing

@Suite("Tensors, checksums and fingerprints", .watched)
struct TensorsTests {
    @Test("CRC-32C gives RFC 3720's check values")
    func checksumKnownAnswers() {
        #expect(CRC32C.of(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.of([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.of([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.of((0..<32).map { UInt8($0) }) == 0x46DD_794E)
        #expect(CRC32C.of([UInt8]()) == 0)
    }

    @Test("a checksum in pieces is the checksum of the whole", arguments: [0, 1, 7, 8, 9, 31])
    func checksumInPieces(cut: Int) {
        let bytes = (0..<64).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        var crc = CRC32C()
        bytes[..<cut].withUnsafeBytes { crc.update($0) }
        bytes[cut...].withUnsafeBytes { crc.update($0) }
        #expect(crc.value == CRC32C.of(bytes))
    }

    @Test("a fingerprint prints as 16 digits and parses back")
    func fingerprintText() throws {
        let fingerprint = Fingerprint(value: 0x0012_3456_789a_bcde)
        #expect(fingerprint.description == "00123456789abcde")
        #expect(Fingerprint(fingerprint.description) == fingerprint)
        #expect(Fingerprint("123") == nil)
        #expect(Fingerprint("zz123456789abcde") == nil)
    }

    @Test("FNV-1a gives its published values")
    func fingerprintKnownAnswers() {
        var empty = Fingerprinter()
        #expect(empty.fingerprint.value == 0xcbf2_9ce4_8422_2325)
        empty.add(byte: UInt8(ascii: "a"))
        #expect(empty.fingerprint.value == 0xaf63_dc4c_8601_ec8c)
    }

    @Test("equal parts in another division give another fingerprint")
    func fingerprintDividesParts() {
        var one = Fingerprinter()
        one.add("ab")
        one.add("c")
        var other = Fingerprinter()
        other.add("a")
        other.add("bc")
        #expect(one.fingerprint != other.fingerprint)
    }

    @Test("a shape counts its elements and prints as diffusers prints it")
    func shape() {
        #expect(Shape(1, 4, 64, 64).count == 16_384)
        #expect(Shape(1, 4, 64, 64).description == "(1, 4, 64, 64)")
        #expect(Shape().count == 1)
        #expect(Shape(3, 0).count == 0)
    }
}
