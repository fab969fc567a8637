import Denoising
import Synchronization
import Tensors
import TestSupport
import Testing

@testable import TextToImage

/// A clock that goes on by what is computed: a millisecond for a cell of a view, a hundred for a
/// tile.
private final class TimedModel: ComputeModel, Sendable {
    let seconds = Mutex(0.0)

    func prepare(_ conditioning: Conditioning) async throws {}

    func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer {
        let cost =
            switch item {
            case .denoise(let task):
                task.views.reduce(0) { $0 + Double($1.sample.height * $1.sample.width) / 1000 }
            case .decode, .encode: 0.1
            }
        seconds.withLock { $0 += cost }
        return .denoise([])
    }
}

@Suite("What a picture is expected to take", .watched)
struct CostEstimateTests {
    @Test(
        "is every view and tile of the plan at the time of its kind",
        arguments: ["upscale", "cutdiffusion", "direct", "demofusion", "rectifiedhr", "frecas"])
    func sums(method: String) async throws {
        let studio = try ToyStudio()
        let generator = try studio.generator(width: 300, height: 256, method: method)
        let (picture, model) = (generator.picture, TimedModel())
        let estimate = try await CostEstimate.measure(
            picture, on: model, with: generator.conditionings[0],
            now: { model.seconds.withLock { $0 } })
        var expected = Double(picture.tiles.count) * 0.1
        let onTheWay = picture.plan.tilesOnTheWay
        expected += Double(onTheWay.decoded + onTheWay.encoded) * 0.1
        for number in 0..<picture.plan.stepCount {
            for view in picture.plan.step(at: number).views {
                let canvas = picture.plan.phases[picture.plan.phase(ofStep: number)].canvas
                expected += Double(view.view.extent(on: canvas).area) / 1000
            }
        }
        #expect(abs(estimate.seconds - expected) < 1e-6 * expected)
        let views = estimate.parts.filter { $0.name.hasPrefix("views") }
        #expect(views.reduce(0) { $0 + $1.count } == picture.plan.forwardCount)
        #expect((onTheWay.encoded > 0) == estimate.parts.contains { $0.name == "tiles encoded" })
    }
}
