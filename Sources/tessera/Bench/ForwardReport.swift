import ComputeBackends
import Foundation
import TextToImage

/// What `bench unet`, `bench vae` and `bench text` print.
struct ForwardReport: BenchReport {
    let benchmark: String
    let version: String
    let machine: BenchMachine
    let model: BenchModel
    let threads: Int
    /// Whether weights were prepared ahead, as the memory budget allows, or at every use.
    let weightsPrepared: Bool
    let batch: Int
    let latent: WorkloadFacts.Latent?
    let loadSeconds: Double
    let textsSeconds: Double?
    /// From the start of the process to the end of the first run.
    let firstForwardSeconds: Nullable<Double>
    let seconds: [Double]
    let medianSeconds: Double
    let minSeconds: Double
    let maxSeconds: Double
    let gflop: Double
    /// At the median.
    let gflops: Double
    let ceiling: ProductCeiling
    let ceilingShare: Double
    let peakMemoryBytes: Int
    let arenaBytes: Int?
    /// The most in one timed run; null when nobody counted.
    let allocationsPerForward: Nullable<UInt64>
    let layers: [LayerReport]?

    init(
        _ facts: WorkloadFacts,
        measured: ForwardMeasurement,
        ceiling: ProductCeiling,
        layers: [LayerReport]?
    ) {
        let timing = Timing(measured.seconds)
        benchmark = facts.benchmark
        version = tesseraVersion
        machine = BenchMachine(facts.backend)
        model = facts.model
        threads = facts.backend.threads
        weightsPrepared = facts.preparation == .ahead
        batch = facts.batch
        latent = facts.latent
        loadSeconds = facts.loadSeconds
        textsSeconds = facts.textsSeconds
        firstForwardSeconds = Nullable(measured.firstForwardSeconds)
        seconds = timing.seconds
        medianSeconds = timing.medianSeconds
        minSeconds = timing.minSeconds
        maxSeconds = timing.maxSeconds
        gflop = measured.gflop
        gflops = measured.gflop / timing.medianSeconds
        self.ceiling = ceiling
        ceilingShare = gflops / ceiling.gflops
        peakMemoryBytes = measured.peakMemoryBytes
        arenaBytes = facts.arenaBytes
        allocationsPerForward = Nullable(measured.allocationsPerForward)
        self.layers = layers
    }

    var text: String {
        var facts = [("tessera", "\(version), bench \(benchmark)")] + machine.lines
        facts.append(("model", "\(model.path), \(model.family), native \(model.nativeSide) px"))
        if let latent {
            facts.append(
                (
                    "input",
                    "\(batch) × \(latent.channels) × \(latent.height) × \(latent.width) "
                        + "(items, channels, height, width)"
                ))
        }
        facts += [
            ("threads", "\(threads)"),
            ("weights", weightsPrepared ? "prepared ahead" : "prepared at every use"),
            ("load", secondsText(loadSeconds) + textsText),
            ("forward", Timing(seconds).text),
            (
                "arithmetic",
                String(
                    format: "%.2f GFLOP, %.1f GFLOP/s, %.0f %% of the %.1f GFLOP/s of ", gflop,
                    gflops, 100 * ceilingShare, ceiling.gflops) + ceiling.product
            ),
            (
                "memory",
                "\(peakMemoryBytes >> 20) MiB at most"
                    + (arenaBytes.map {
                        String(format: ", %.1f MiB of it for activations", Double($0) / 0x1p20)
                    } ?? "")
            ),
        ]
        if let count = allocationsPerForward.value {
            facts.append(("allocations", "\(count) in one forward at most"))
        }
        return factsText(facts) + (layers.map { "\n\n" + $0.text } ?? "")
    }

    private var textsText: String {
        let texts = textsSeconds.map { ", texts \(secondsText($0))" } ?? ""
        let first = firstForwardSeconds.value.map {
            ", first forward done \(secondsText($0)) after the start"
        }
        return texts + (first ?? "")
    }
}
