import Denoising
import ImageOutput
import TestSupport
import Testing

@Suite("Blending of decoded tiles", .watched)
struct TileBlenderTests {
    private func grid(height: Int, width: Int, tile: Int = 16) -> TileGrid {
        TileGrid(latent: Extent(height: height, width: width), tile: tile, scaleFactor: 1)
    }

    /// Cuts a picture into the grid's tiles.
    private func tiles(of pixels: [UInt8], in grid: TileGrid) -> [[RGBTile]] {
        let tiles = grid.tiles.map { window in
            var bytes: [UInt8] = []
            for y in window.y..<window.y + window.height {
                let start = (y * grid.latent.width + window.x) * 3
                bytes += pixels[start..<start + window.width * 3]
            }
            return RGBTile(height: window.height, width: window.width, bytes: bytes)
        }
        return (0..<grid.rows).map { row in
            Array(tiles[row * grid.columns..<(row + 1) * grid.columns])
        }
    }

    private func join(_ rows: [[RGBTile]], in grid: TileGrid, height: Int, width: Int) -> [UInt8] {
        var blender = TileBlender(grid: grid, height: height, width: width)
        return rows.flatMap { blender.add(rowOfTiles: $0) }
    }

    @Test(
        "tiles that agree where they overlap come out as the picture",
        arguments: [(32, 32), (37, 29), (64, 13), (12, 50), (25, 24), (49, 33), (16, 40)]
    )
    func agreeingTilesAreTheIdentity(height: Int, width: Int) {
        let pixels = (0..<height * width * 3).map { UInt8(truncatingIfNeeded: $0 &* 97) }
        let grid = grid(height: height, width: width)
        let joined = join(tiles(of: pixels, in: grid), in: grid, height: height, width: width)
        #expect(joined == pixels)
    }

    @Test("the ramp is 0 at its first row and (e − 1)/e at its last")
    func rampEnds() {
        let grid = grid(height: 20, width: 16)
        let rows = (0..<grid.rows).map { row in
            grid.tiles[row * grid.columns..<(row + 1) * grid.columns].map { window in
                let bytes = [UInt8](
                    repeating: row == 0 ? 0 : 200, count: window.height * window.width * 3)
                return RGBTile(height: window.height, width: window.width, bytes: bytes)
            }
        }
        let joined = join(rows, in: grid, height: 20, width: 16)
        let column = (0..<20).map { joined[$0 * 16 * 3] }
        #expect(column[..<12].allSatisfy { $0 == 0 })
        #expect(Array(column[12..<16]) == [0, 50, 100, 150])
        #expect(column[16...].allSatisfy { $0 == 200 })
    }

    @Test("what tiles reach beyond the picture is cut off")
    func cropsBeyondThePicture() {
        let tile = RGBTile(height: 16, width: 16, bytes: Array(repeating: 7, count: 768))
        let joined = join([[tile]], in: grid(height: 16, width: 16), height: 9, width: 11)
        #expect(joined == Array(repeating: 7, count: 9 * 11 * 3))
    }
}
