import ComputeBackends
import Tensors

/// What the machine reaches in one large matrix product by the backend's own path: nothing that
/// multiplies matrices can be much faster.
struct ProductCeiling: Encodable {
    let gflops: Double
    /// Which product it was.
    let product: String
    /// The fastest of so many.
    let runs: Int

    private static let side = 2048
    private static let repeats = 5

    /// Measures it, which takes about a second.
    init(of backend: CPUBackend) {
        let side = Self.side
        let x = SyntheticInput.filler(1, side, side)
        let weights = backend.linearWeights(SyntheticInput.filler(side, side), bias: nil)
        // The first touches memory for the first time.
        _ = backend.linear(x, weights)
        var fastest = Double.infinity
        for _ in 0..<Self.repeats {
            fastest = min(fastest, timed { backend.linear(x, weights) }.seconds)
        }
        let work = 2 * Double(side) * Double(side) * Double(side)
        gflops = work / fastest * 1e-9
        product = "a float32 linear layer, \(side)×\(side) by \(side)×\(side)"
        runs = Self.repeats
    }
}
