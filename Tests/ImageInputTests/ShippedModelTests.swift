import ComputeBackends
import DiffusionModels
import Foundation
import ImageInput
import Tensors
import TestSupport
import Testing

/// The shipped autoencoder looks at a tile as a whole, by its norms and its attention, so that no
/// halo makes tiles equal to the whole: how far they are apart is what is stated here.
@Suite("Tiled encoding by the shipped model", .watched)
struct ShippedModelTests {
    private func model() throws -> LoadedModel {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/DefaultModel/Model").path
        return try LoadedModel(
            folder: ModelFolder(path: path),
            backend: CPUBackend(instructionSet: .chosen(), threads: 2))
    }

    /// Smooth colours with some detail, as pictures have.
    private func scene(height: Int, width: Int) -> RGBImage {
        let grain = wave(height: height, width: width).values
        var values: [Float] = []
        for channel in 0..<3 {
            for y in 0..<height {
                for x in 0..<width {
                    let slope = Float(y) / Float(height) * (channel == 0 ? 0.6 : 0.3)
                    let edge: Float = (x / 40 + y / 56) % 2 == 0 ? 0.15 : 0.3
                    values.append(slope + edge + 0.05 * grain[values.count])
                }
            }
        }
        return RGBImage(height: height, width: width, values: values)
    }

    /// Root of the mean square, as a share of the reference's standard deviation.
    private func distance(_ found: Latent, _ reference: Latent) -> Double {
        let values = reference.values.map(Double.init)
        let mean = values.reduce(0, +) / Double(values.count)
        let spread = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let difference = zip(found.values, values).reduce(0) { sum, pair in
            sum + (Double(pair.0) - pair.1) * (Double(pair.0) - pair.1)
        }
        return (difference / spread).squareRoot()
    }

    @Test("tiles of 16 latent pixels are near the whole, and a halo brings them nearer")
    func nearness() throws {
        let model = try model()
        let picture = scene(height: 256, width: 320)
        let whole = try model.encode(picture, index: 0)
        var distances: [Double] = []
        for (tile, halo) in [(16, 0), (16, 2), (24, 4)] {
            let grid = EncodeGrid(
                height: 256, width: 320, tile: tile, halo: halo, scaleFactor: 8)
            var tiler = PictureTiler(grid: grid)
            var assembler = LatentAssembler(grid: grid, channels: whole.channels)
            for row in tiler.add(picture) {
                assembler.add(rowOfTiles: try row.map { try model.encode($0, index: 0) })
            }
            distances.append(distance(assembler.latent, whole))
        }
        #expect(distances[0] < 0.2)
        #expect(distances[1] < distances[0])
        #expect(distances[2] < distances[1])
    }
}
