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

    @Test("tiles of a ring that agree where they overlap come out as it", arguments: 16...50)
    func ring(width: Int) {
        let height = 29
        let pixels = (0..<height * width * 3).map { UInt8(truncatingIfNeeded: $0 &* 97) }
        let grid = TileGrid(
            latent: Extent(height: height, width: width), tile: 16, scaleFactor: 1, isRing: true)
        let tiles = grid.tiles.map { window in
            let bytes = (window.y..<window.y + window.height).flatMap { y in
                (window.x..<window.x + window.width).flatMap { x in
                    let start = (y * width + x % width) * 3
                    return pixels[start..<start + 3]
                }
            }
            return RGBTile(height: window.height, width: window.width, bytes: bytes)
        }
        let rows = (0..<grid.rows).map { row in
            Array(tiles[row * grid.columns..<(row + 1) * grid.columns])
        }
        #expect(join(rows, in: grid, height: height, width: width) == pixels)
    }

    @Test("the first column of a ring is what the last tile shows there, and the ramp goes on")
    func closing() {
        // Tiles at 0, 12 and 18, of 30 columns and 4 that are the first again.
        let grid = TileGrid(
            latent: Extent(height: 16, width: 30), tile: 16, scaleFactor: 1, isRing: true)
        let levels: [UInt8] = [0, 100, 200]
        let rows = flat(grid) { _, column in levels[column] }
        let line = join(rows, in: grid, height: 16, width: 30)
        let start: [UInt8] = (0..<5).map { line[$0 * 3] }
        #expect(start == [200, 150, 100, 50, 0])
        #expect(line[29 * 3] == 200)
    }

    /// One colour per row of tiles, or per column.
    private func flat(_ grid: TileGrid, level: (_ row: Int, _ column: Int) -> UInt8) -> [[RGBTile]]
    {
        (0..<grid.rows).map { row in
            (0..<grid.columns).map { column in
                let (height, width) = (grid.tile.height, grid.tile.width)
                return RGBTile(
                    height: height, width: width,
                    bytes: Array(repeating: level(row, column), count: height * width * 3))
            }
        }
    }

    @Test(
        "the ramp is as long as the overlap: nothing of the new tile first, nothing of the old next",
        arguments: [false, true]
    )
    func rampEnds(isSideways: Bool) {
        // Tiles at 0, 12 and 14: overlaps of 4 and of 14.
        let grid = isSideways ? grid(height: 16, width: 30) : grid(height: 30, width: 16)
        let levels: [UInt8] = [0, 200, 60]
        let rows = flat(grid) { row, column in levels[max(row, column)] }
        let joined = join(rows, in: grid, height: grid.latent.height, width: grid.latent.width)
        let line = (0..<30).map { joined[$0 * (isSideways ? 1 : 16) * 3] }
        #expect(line[..<12].allSatisfy { $0 == 0 })
        #expect(Array(line[12..<14]) == [0, 50])
        // (14 − p) parts of what was there, p of the new tile.
        let before: [Int] = [100, 150] + Array(repeating: 200, count: 12)
        for (position, old) in before.enumerated() {
            let mixed = Double(old * (14 - position) + 60 * position) / 14
            #expect(Int(line[14 + position]) == Int((mixed + 0.5).rounded(.down)))
        }
        #expect(line[28...].allSatisfy { $0 == 60 })
    }

    @Test("tiles of one colour make a picture of it, whatever the size: weights add up to one")
    func weights() {
        for side in 1...70 {
            let grid = grid(height: side, width: 71 - side)
            let joined = join(
                flat(grid) { _, _ in 201 }, in: grid, height: side, width: 71 - side)
            #expect(joined.count == side * (71 - side) * 3 && joined.allSatisfy { $0 == 201 })
        }
    }

    @Test("what tiles reach beyond the picture is cut off")
    func cropsBeyondThePicture() {
        let tile = RGBTile(height: 16, width: 16, bytes: Array(repeating: 7, count: 768))
        let joined = join([[tile]], in: grid(height: 16, width: 16), height: 9, width: 11)
        #expect(joined == Array(repeating: 7, count: 9 * 11 * 3))
    }
}
