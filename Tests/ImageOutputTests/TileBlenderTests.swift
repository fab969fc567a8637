import Denoising
import ImageOutput
import Testing

@Suite("Blending of decoded tiles")
struct TileBlenderTests {
    /// Cuts a picture into tiles of `side` every `stride`, smaller at the far edges.
    private func tiles(
        of pixels: [UInt8], height: Int, width: Int, side: Int, stride: Int
    ) -> [[RGBTile]] {
        Swift.stride(from: 0, to: height, by: stride).map { y0 in
            Swift.stride(from: 0, to: width, by: stride).map { x0 in
                let h = min(side, height - y0)
                let w = min(side, width - x0)
                var bytes: [UInt8] = []
                for y in y0..<y0 + h {
                    let start = (y * width + x0) * 3
                    bytes += pixels[start..<start + w * 3]
                }
                return RGBTile(height: h, width: w, bytes: bytes)
            }
        }
    }

    private func join(
        _ rows: [[RGBTile]], height: Int, width: Int, stride: Int, blendExtent: Int
    ) -> [UInt8] {
        var blender = TileBlender(
            height: height, width: width, stride: stride, blendExtent: blendExtent)
        return rows.flatMap { blender.add(rowOfTiles: $0) }
    }

    @Test(
        "methods §14 item 36: tiles that agree where they overlap come out as the picture",
        arguments: [(32, 32), (37, 29), (64, 13), (12, 50), (25, 24), (49, 33)]
    )
    func agreeingTilesAreTheIdentity(height: Int, width: Int) {
        let pixels = (0..<height * width * 3).map { UInt8(truncatingIfNeeded: $0 &* 97) }
        let rows = tiles(of: pixels, height: height, width: width, side: 16, stride: 12)
        let joined = join(rows, height: height, width: width, stride: 12, blendExtent: 4)
        #expect(joined == pixels)
    }

    @Test("methods §14 item 36: the ramp is 0 at its first row and (e − 1)/e at its last")
    func rampEnds() {
        let black = RGBTile(height: 8, width: 8, bytes: Array(repeating: 0, count: 192))
        let white = RGBTile(height: 8, width: 8, bytes: Array(repeating: 200, count: 192))
        let joined = join([[black], [white]], height: 12, width: 6, stride: 6, blendExtent: 4)
        let column = (0..<12).map { joined[$0 * 6 * 3] }
        #expect(column[..<6].allSatisfy { $0 == 0 })
        #expect(Array(column[6..<10]) == [0, 50, 100, 150])
        #expect(column[10...].allSatisfy { $0 == 200 })
    }

    @Test("what tiles reach beyond the picture is cut off")
    func cropsBeyondThePicture() {
        let tile = RGBTile(height: 16, width: 16, bytes: Array(repeating: 7, count: 768))
        let joined = join([[tile]], height: 9, width: 11, stride: 16, blendExtent: 0)
        #expect(joined == Array(repeating: 7, count: 9 * 11 * 3))
    }
}
