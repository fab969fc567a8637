import Denoising
import TestSupport
import Testing

@Suite("The tiles of the decoder", .watched)
struct TileGridTests {
    private func grid(_ height: Int, _ width: Int, tile: Int = 128) -> TileGrid {
        TileGrid(latent: Extent(height: height, width: width), tile: tile, scaleFactor: 8)
    }

    @Test("36 tiles for 4096 pixels, 121 for 8192")
    func counts() {
        #expect(grid(512, 512).tiles.count == 36)
        #expect(grid(1024, 1024).tiles.count == 121)
        #expect(grid(512, 512).stride == 96)
        #expect(grid(512, 512).blendExtent == 256)
        #expect(grid(512, 512).pixelStride == 768)
    }

    @Test("What fits into one tile is decoded whole")
    func whole() {
        #expect(grid(128, 128).tiles == [Window(y: 0, x: 0, height: 128, width: 128)])
        #expect(grid(100, 64).tiles == [Window(y: 0, x: 0, height: 100, width: 64)])
    }

    @Test("One long axis cuts both, slivers included, as diffusers does")
    func slivers() {
        let tiles = grid(128, 200).tiles
        #expect(tiles.count == 6)
        #expect(tiles[2] == Window(y: 0, x: 192, height: 128, width: 8))
        #expect(tiles[3] == Window(y: 96, x: 0, height: 32, width: 128))
    }

    @Test("Kept parts tile the picture", arguments: [(512, 512), (130, 97), (33, 64), (32, 31)])
    func keptParts(height: Int, width: Int) {
        let grid = grid(height, width, tile: 32)
        var counts = [Int](repeating: 0, count: height * width)
        for tile in grid.tiles {
            for y in tile.y..<tile.y + min(tile.height, grid.rows == 1 ? tile.height : grid.stride)
            {
                let kept = min(tile.width, grid.columns == 1 ? tile.width : grid.stride)
                for x in tile.x..<tile.x + kept { counts[y * width + x] += 1 }
            }
        }
        #expect(counts.allSatisfy { $0 == 1 })
    }

    @Test("A ramp begins at the neighbour and never quite leaves it")
    func ramp() {
        #expect(TileGrid.ramp(4) == [0, 0.25, 0.5, 0.75])
        #expect(TileGrid.ramp(256).last == 0.99609375)
        #expect(TileGrid.ramp(0).isEmpty)
    }
}
