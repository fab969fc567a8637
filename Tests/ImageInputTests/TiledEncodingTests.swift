import Denoising
import ImageInput
import Tensors
import TestSupport
import Testing

/// Encoders that are simple enough to be known, in place of a network.
@Suite("Tiled encoding", .watched)
struct TiledEncodingTests {
    private typealias Encoder = (RGBImage) -> Latent

    private static let grids: [(height: Int, width: Int, tile: Int, halo: Int)] = [
        (512, 512, 16, 0), (512, 512, 16, 2), (300, 41, 16, 2), (7, 9, 16, 4), (129, 640, 12, 1),
        (264, 272, 16, 6), (136, 200, 8, 3),
    ]

    /// Every block's mean of each colour: no look beyond the block.
    private func means(_ picture: RGBImage) -> Latent {
        let (height, width) = (picture.height / 8, picture.width / 8)
        var latent = Latent(zeros: 3, height: height, width: width)
        for channel in 0..<3 {
            for y in 0..<picture.height {
                for x in 0..<picture.width {
                    latent.values[(channel * height + y / 8) * width + x / 8] +=
                        picture.values[(channel * picture.height + y) * picture.width + x] / 64
                }
            }
        }
        return latent
    }

    /// The means of 3×3 blocks, as far as there are any: a reach of one latent pixel.
    private func spreadMeans(_ picture: RGBImage) -> Latent {
        let narrow = means(picture)
        var latent = narrow
        for channel in 0..<3 {
            for y in 0..<narrow.height {
                for x in 0..<narrow.width {
                    var (sum, count) = (Float(0), Float(0))
                    for row in max(0, y - 1)...min(narrow.height - 1, y + 1) {
                        for column in max(0, x - 1)...min(narrow.width - 1, x + 1) {
                            sum +=
                                narrow.values[
                                    (channel * narrow.height + row) * narrow.width + column]
                            count += 1
                        }
                    }
                    latent.values[(channel * narrow.height + y) * narrow.width + x] = sum / count
                }
            }
        }
        return latent
    }

    /// The picture, continued to whole blocks, at once.
    private func padded(_ picture: RGBImage) -> RGBImage {
        let (height, width) = ((picture.height + 7) / 8 * 8, (picture.width + 7) / 8 * 8)
        var values: [Float] = []
        for channel in 0..<3 {
            for y in 0..<height {
                let row = channel * picture.height + min(y, picture.height - 1)
                for x in 0..<width {
                    values.append(picture.values[row * picture.width + min(x, picture.width - 1)])
                }
            }
        }
        return RGBImage(height: height, width: width, values: values)
    }

    private func encode(
        _ picture: RGBImage, in grid: EncodeGrid, bandHeight: Int, by encoder: Encoder
    ) -> Latent {
        var tiler = PictureTiler(grid: grid)
        var assembler = LatentAssembler(grid: grid, channels: 3)
        for top in stride(from: 0, to: picture.height, by: bandHeight) {
            let band = picture.rows(top..<min(top + bandHeight, picture.height))
            for row in tiler.add(band) { assembler.add(rowOfTiles: row.map(encoder)) }
        }
        return assembler.latent
    }

    @Test("an encoder without a reach gives what it gives of the whole, in bands of any height")
    func withoutReach() {
        for (height, width, tile, halo) in Self.grids {
            let picture = wave(height: height, width: width)
            let grid = EncodeGrid(
                height: height, width: width, tile: tile, halo: halo, scaleFactor: 8)
            let whole = means(padded(picture))
            for bandHeight in [1, 50, height] {
                let tiled = encode(picture, in: grid, bandHeight: bandHeight, by: means)
                #expect(tiled == whole, "\(grid)")
            }
        }
    }

    @Test("a halo as wide as the encoder's reach gives what it gives of the whole, none does not")
    func reach() {
        for (height, width, tile, halo) in Self.grids {
            let picture = wave(height: height, width: width)
            let grid = EncodeGrid(
                height: height, width: width, tile: tile, halo: halo, scaleFactor: 8)
            let tiled = encode(picture, in: grid, bandHeight: 64, by: spreadMeans)
            let whole = spreadMeans(padded(picture))
            #expect((tiled == whole) == (halo > 0 || grid.rows * grid.columns == 1), "\(grid)")
        }
    }

    @Test("cores cover the latent, tiles are full ones, and neighbours have a quarter in common")
    func cover() {
        for side in 1...90 {
            for (tile, halo) in [(16, 0), (16, 2), (12, 1), (8, 3), (4, 0)] {
                let grid = EncodeGrid(
                    height: side * 8, width: side * 8 - 3, tile: tile, halo: halo, scaleFactor: 8)
                #expect(grid.latent == Extent(height: side, width: side))
                var end = 0
                for row in 0..<grid.rows {
                    let core = grid.coreRows(row)
                    #expect(core == grid.coreColumns(row))
                    #expect(grid.rowStarts[row] + grid.tile.height <= side)
                    #expect(row == 0 ? core.lowerBound == 0 : core.lowerBound <= end)
                    if row > 0 {
                        #expect(end - core.lowerBound >= (tile - 2 * halo) / 4)
                        #expect(core.lowerBound >= grid.rowStarts[row] + halo)
                    }
                    end = core.upperBound
                }
                #expect(end == side)
            }
        }
    }

    @Test("without a halo the tiles are those of decoding")
    func decodeTiles() {
        for (height, width) in [(16, 16), (37, 64), (100, 20), (5, 7)] {
            let decoding = TileGrid(
                latent: Extent(height: height, width: width), tile: 16, scaleFactor: 8)
            let encoding = EncodeGrid(
                height: height * 8, width: width * 8, tile: 16, halo: 0, scaleFactor: 8)
            #expect(encoding.rowStarts == decoding.rowStarts)
            #expect(encoding.columnStarts == decoding.columnStarts)
            #expect(encoding.tile == decoding.tile)
        }
    }

    @Test("the ramp is as long as what cores have in common: first the old, behind it the new")
    func ramp() {
        // Cores of 16 at 0, 12 and 14: ramps of 4 and of 14.
        let grid = EncodeGrid(height: 30 * 8, width: 8, tile: 16, halo: 0, scaleFactor: 8)
        var assembler = LatentAssembler(grid: grid, channels: 1)
        for level: Float in [0, 8, 36] {
            let tile = Latent(
                channels: 1, height: 16, width: 1, values: Array(repeating: level, count: 16))
            assembler.add(rowOfTiles: [tile])
        }
        let values = assembler.latent.values
        #expect(values[..<12].allSatisfy { $0 == 0 })
        #expect(Array(values[12..<14]) == [0, 2])
        let before: [Float] = [4, 6] + Array(repeating: 8, count: 12)
        for (position, old) in before.enumerated() {
            let expected = old + (36 - old) * Float(position) / 14
            #expect(abs(values[14 + position] - expected) < 1e-5)
        }
        #expect(values[28...].allSatisfy { $0 == 36 })
    }
}
