import Denoising
import Tensors
import TestSupport
import Testing

@testable import TextToImage

@Suite("Headers of journalled tiles", .watched)
struct TileJournalFormatTests {
    /// 28 bytes with a right checksum.
    private func header(_ index: UInt32, _ height: UInt32, _ width: UInt32, _ count: UInt32)
        -> [UInt8]
    {
        func bytes(_ value: UInt32) -> [UInt8] {
            (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
        }
        let content =
            Array("TILE".utf8) + [index, height, width, count, 0].flatMap { bytes($0) }
        return content + bytes(CRC32C.of(content))
    }

    @Test("a header comes back as it was written")
    func roundTrip() {
        let tile = RGBTile(height: 2, width: 3, bytes: Array(0..<18))
        let written = TileRecordHeader(tile, index: 5)
        #expect(TileRecordHeader(written.bytes) == written)
        #expect(TileRecordHeader(header(5, 2, 3, 18))?.byteCount == 18)
    }

    @Test(
        "extents that contradict the count, or that no number holds, are no header",
        arguments: [
            (2, 3, 17), (0, 3, 18), (.max, .max, 18), (.max, .max, .max), (1 << 31, 1 << 31, 0),
            (1 << 16, 1 << 16, 0), (.max, 1, .max),
        ] as [(UInt32, UInt32, UInt32)])
    func hostile(height: UInt32, width: UInt32, count: UInt32) {
        #expect(TileRecordHeader(header(0, height, width, count)) == nil)
    }
}
