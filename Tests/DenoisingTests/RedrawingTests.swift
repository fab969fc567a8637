import ImageFilters
import Tensors
import TestSupport
import Testing

@testable import Denoising

@Suite("A latent that is decoded, enlarged and encoded", .watched)
struct RedrawingTests {
    /// Smooth enough to tell where things lie.
    private func latent(_ extent: Extent) -> Latent {
        let cells = 0..<3 * extent.area
        return Latent(
            channels: 3, height: extent.height, width: extent.width,
            values: cells.map { Float(($0 * 37) % 101) / 60 - 0.8 })
    }

    private func redrawn(
        _ from: Extent, _ to: Extent, sharpening: Double = 0, workers: Int = 1
    ) async throws -> Latent {
        let redrawing = Redrawing(from: from, to: to, model: toyModel, sharpening: sharpening)
        return try await redrawing.redraw(
            latent(from), with: SimulatedWorkers(workers: workers, predict: entangledPredictor),
            conditionings: [emptyConditioning], onTile: { _, _ in })
    }

    /// With an autoencoder that treats every cell by itself tiles do not show.
    @Test(
        "is in bands what it is as a whole",
        arguments: [
            (8, 8, 16, 16), (16, 16, 32, 32), (64, 8, 128, 16), (96, 9, 193, 17), (8, 70, 16, 131),
            (50, 41, 51, 41), (9, 9, 64, 64),
        ], [0.0, 1])
    func bands(size: (Int, Int, Int, Int), sharpening: Double) async throws {
        let from = Extent(height: size.0, width: size.1)
        let to = Extent(height: size.2, width: size.3)
        let picture = toyAnswer(
            to: .decode(DecodeTask(index: 0, tile: latent(from), format: .floats)),
            entangledPredictor)
        guard case .pixels(let pixels) = picture else {
            Issue.record("no pixels")
            return
        }
        var large = pixels.resampled(
            height: to.height * 8, width: to.width * 8, filter: .bicubic)
        large.values = large.values.map { min(max($0, 0), 1) }
        if sharpening > 0 {
            let soft = GaussianBlur(kernelSize: 3, sigma: 1)(large)
            large.values = zip(large.values, soft.values).map {
                min(max($0 + Float(sharpening) * ($0 - $1), 0), 1)
            }
        }
        let whole = toyAnswer(to: .encode(EncodeTask(index: 0, pixels: large)), entangledPredictor)
        guard case .encode(let expected) = whole else {
            Issue.record("no latent")
            return
        }
        let found = try await redrawn(from, to, sharpening: sharpening)
        #expect(relativeDifference(found, expected) < 1e-5)
        #expect(try await redrawn(from, to, sharpening: sharpening, workers: 3) == found)
    }

    @Test("holds a few rows of tiles, whatever its height")
    func memory() async throws {
        var decoded = 0
        let from = Extent(height: 200, width: 8)
        let redrawing = Redrawing(from: from, to: Extent(height: 400, width: 16), model: toyModel)
        // How far decoding is ahead of encoding, in tiles.
        let watch = OrderWatch()
        _ = try await redrawing.redraw(
            latent(from), with: watch, conditionings: [emptyConditioning],
            onTile: { done, _ in decoded = done })
        #expect(decoded > 90)
        #expect(watch.largestLead < 20)
    }
}

/// Answers at once, and notes how many decoded tiles wait to be encoded.
private final class OrderWatch: TaskExecutor {
    private let counts = Watched((decoded: 0, encoded: 0, lead: 0))

    var largestLead: Int { counts.value.lead }

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        for position in 0..<items.count {
            let item = items[position]
            counts.change { counts in
                if case .decode = item { counts.decoded += 1 }
                if case .encode = item { counts.encoded += 1 }
                // Twice the side: about four tiles are made of one.
                counts.lead = max(counts.lead, counts.decoded - counts.encoded / 4)
            }
            try await deliver(position, toyAnswer(to: item, entangledPredictor))
        }
    }
}
