import ComputeBackends
import Denoising
import DiffusionModels
import Dispatch
import Foundation
import ImageOutput
import Tensors
import TestSupport
import Testing
import TextToImage

/// The model that ships, and a latent of its.
private struct Painting: Sendable {
    let model: ModelHost
    let conditioning: Conditioning
    /// Of 400×400 pixels.
    let square: Latent
    /// Of 1024×128 pixels.
    let strip: Latent

    /// Made once for all tests, by few steps.
    static let task = Task { try await Painting() }

    private init() async throws {
        // Loading takes a while, which is not for the threads that tests share.
        let loaded: Loaded = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try Self.load() })
            }
        }
        let (folder, conditioning, model) = loaded
        func latent(width: Int, height: Int) async throws -> Latent {
            let request = GenerationRequest(
                prompt: "", width: width, height: height, steps: 6, guidanceScale: 5, seed: 0,
                method: "direct")
            let generator = ImageGenerator(
                picture: try PicturePlan(request: request, model: folder),
                conditionings: [conditioning])
            return try await generator.denoise(
                from: generator.initialState(noise: generator.picture.initialNoise(from: nil)),
                with: LocalExecutor(model: model), onProgress: { _ in })
        }
        self.model = model
        self.conditioning = conditioning
        square = try await latent(width: 400, height: 400)
        strip = try await latent(width: 1024, height: 128)
    }

    private typealias Loaded = (ModelFolder, Conditioning, ModelHost)

    private static func load() throws -> Loaded {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/DefaultModel/Model").path
        let folder = try ModelFolder(path: path)
        let backend = try CPUBackend(instructionSet: .chosen(), threads: 2)
        let conditioning = try PromptEncoder(model: folder, backend: backend)
            .encode(prompt: "mountains at sunset above a lake").conditioning
        let model = ModelHost(model: try LoadedModel(folder: folder, backend: backend))
        return (folder, conditioning, model)
    }

    func decode(_ latent: Latent) async throws -> RGBTile {
        let answer = try await model.compute(
            .decode(DecodeTask(index: 0, tile: latent)), conditioning: conditioning.fingerprint)
        guard case .decode(let tile) = answer else { preconditionFailure("a tile was asked for") }
        return tile
    }

    func decodeInTiles(_ latent: Latent) async throws -> RGBTile {
        let extent = Extent(height: latent.height, width: latent.width)
        let grid = TileGrid(latent: extent, tile: 16, scaleFactor: 8)
        var blender = TileBlender(grid: grid, height: 8 * extent.height, width: 8 * extent.width)
        var bytes: [UInt8] = []
        for row in 0..<grid.rows {
            var tiles: [RGBTile] = []
            for column in 0..<grid.columns {
                let window = grid[row * grid.columns + column]
                tiles.append(try await decode(LatentView.window(window).gather(from: latent)))
            }
            bytes += blender.add(rowOfTiles: tiles)
        }
        return RGBTile(height: blender.height, width: blender.width, bytes: bytes)
    }
}

extension RGBTile {
    /// Mean colour of some rows.
    fileprivate func mean(ofRows rows: Range<Int>) -> [Double] {
        var sums = [0, 0, 0]
        for index in rows.lowerBound * width * 3..<rows.upperBound * width * 3 {
            sums[index % 3] += Int(bytes[index])
        }
        return sums.map { Double($0) / Double(rows.count * width) }
    }

    /// How much rows 9 to 16 above `end` differ in colour from the last 4, of 255.
    fileprivate func step(at end: Int) -> Double {
        zip(mean(ofRows: end - 16..<end - 8), mean(ofRows: end - 4..<end))
            .reduce(0) { $0 + abs($1.0 - $1.1) } / 3
    }

    fileprivate var transposed: RGBTile {
        var pixels: [UInt8] = []
        for x in 0..<width {
            for y in 0..<height {
                let start = (y * width + x) * 3
                pixels += bytes[start..<start + 3]
            }
        }
        return RGBTile(height: width, width: height, bytes: pixels)
    }

    /// Mean difference in some rows, of 255.
    fileprivate func difference(from other: RGBTile, rows: Range<Int>) -> Double {
        let range = rows.lowerBound * width * 3..<rows.upperBound * width * 3
        let sum = range.reduce(0) { $0 + abs(Int(bytes[$1]) - Int(other.bytes[$1])) }
        return Double(sum) / Double(range.count)
    }
}

@Suite("Decoding in tiles against decoding whole, with the model that ships", .watched)
struct TiledDecodingTests {
    /// The last tile was 1 or 2 latents wide at the first four when it was not pulled inwards, and
    /// the last has a short side of one tile.
    @Test(
        "no edge is off in colour where the last tile was a sliver",
        arguments: [(296, 296), (304, 304), (392, 392), (400, 400), (304, 136), (1024, 128)]
    )
    func edges(width: Int, height: Int) async throws {
        let painting = try await Painting.task.value
        let source = width > 400 ? painting.strip : painting.square
        let latent = LatentView.window(Window(y: 0, x: 0, height: height / 8, width: width / 8))
            .gather(from: source)
        let whole = try await painting.decode(latent)
        let tiled = try await painting.decodeInTiles(latent)
        #expect(tiled.height == height && tiled.width == width)
        if height <= 128 {
            check(tiled.transposed, against: whole.transposed, "right")
        } else {
            check(tiled, against: whole, "bottom")
            check(tiled.transposed, against: whole.transposed, "right")
        }
    }

    private func check(_ tiled: RGBTile, against whole: RGBTile, _ edge: Comment) {
        let end = tiled.height
        let inside = stride(from: 32, to: end - 16, by: 8).map { tiled.step(at: $0) }
        let usual = inside.reduce(0, +) / Double(inside.count)
        // A picture has steps of its own: what counts is what tiles add to them.
        #expect(tiled.step(at: end) <= 1.3 * max(usual, whole.step(at: end)), edge)
        let strip = tiled.difference(from: whole, rows: end - 4..<end)
        #expect(strip <= 2 * tiled.difference(from: whole, rows: 0..<end - 32) + 1, edge)
    }
}
