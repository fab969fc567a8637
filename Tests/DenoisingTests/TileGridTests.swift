import Denoising
import TestSupport
import Testing

@Suite("The tiles of the decoder", .watched)
struct TileGridTests {
    private func grid(_ height: Int, _ width: Int, tile: Int = 128) -> TileGrid {
        TileGrid(latent: Extent(height: height, width: width), tile: tile, scaleFactor: 8)
    }

    @Test("25 tiles for 4096 pixels, 121 for 8192")
    func counts() {
        #expect(grid(512, 512).count == 25)
        #expect(grid(1024, 1024).count == 121)
        #expect(grid(512, 512).stride == 96)
    }

    @Test("What fits into one tile is decoded whole")
    func whole() {
        #expect(grid(128, 128).tiles == [Window(y: 0, x: 0, height: 128, width: 128)])
        #expect(grid(100, 64).tiles == [Window(y: 0, x: 0, height: 100, width: 64)])
    }

    @Test("One long axis cuts the other nowhere, and its last tile is pulled inwards")
    func oneLongAxis() {
        #expect(
            grid(128, 200).tiles == [
                Window(y: 0, x: 0, height: 128, width: 128),
                Window(y: 0, x: 72, height: 128, width: 128),
            ])
        // 1024×128 pixels of the model that ships: one row, no second one of slivers.
        #expect(grid(16, 128, tile: 16).rows == 1)
    }

    @Test("Around a ring the last tile reaches as far over the first as neighbours overlap")
    func ring() {
        for width in 16...70 {
            let grid = TileGrid(
                latent: Extent(height: 16, width: width), tile: 16, scaleFactor: 8, isRing: true)
            #expect(grid.closing == 4)
            #expect(grid.columnStarts.last == width + 4 - 16)
            #expect(grid.view(grid.count - 1) == .wrapped(grid[grid.count - 1]))
        }
    }

    @Test("Tiles have their numbers row by row")
    func numbers() {
        let grid = grid(200, 300)
        #expect(grid.tiles.count == grid.rows * grid.columns)
        #expect(grid[grid.columns] == Window(y: 72, x: 0, height: 128, width: 128))
    }

    @Test(
        "Whatever the size, tiles are full, cover it, begin apart, and neighbours overlap by a ramp",
        arguments: [2, 3, 8, 16, 17, 32]
    )
    func axes(tile: Int) {
        for length in 1...4 * tile + 3 {
            let grid = grid(length, tile + 1, tile: tile)
            let starts = grid.rowStarts
            let side = min(tile, length)
            #expect(grid.tile == Extent(height: side, width: tile))
            #expect(starts.first == 0 && starts.last == length - side)
            for (start, next) in zip(starts, starts.dropFirst()) {
                #expect(start < next, "no tile lies in its predecessor")
                #expect(next - start <= grid.stride, "neighbours overlap")
            }
            #expect(starts.dropLast().allSatisfy { $0 % grid.stride == 0 })
        }
    }
}
