/// The training schedule of a diffusion model: how much signal is left at each timestep.
///
/// All tables are computed in the precision and order of diffusers 0.42.1 on PyTorch (float32
/// tables, float64 running product), so that they are equal to the last bit; but for the zero-SNR
/// rescaling, where PyTorch's square roots depend on its vector library and agreement is 1e-5.
package struct NoiseSchedule: Equatable, Sendable {
    /// ᾱ_t = ∏(1−β), the share of signal in the variance, per training timestep; exactly 0 in
    /// the last entry when the schedule was rescaled to zero terminal SNR.
    package let cumulativeAlphas: [Float]

    /// Traps unless there are at least two timesteps.
    package init(
        trainTimesteps: Int,
        betaStart: Double,
        betaEnd: Double,
        betaSchedule: BetaSchedule,
        zeroTerminalSNR: Bool = false
    ) {
        precondition(trainTimesteps >= 2, "a training schedule has at least two timesteps")
        var betas: [Float]
        switch betaSchedule {
        case .linear:
            betas = Self.evenlySpaced(from: betaStart, to: betaEnd, count: trainTimesteps)
        case .scaledLinear:
            betas = Self.evenlySpaced(
                from: betaStart.squareRoot(), to: betaEnd.squareRoot(), count: trainTimesteps
            ).map { $0 * $0 }
        case .squaredCosine:
            betas = Self.squaredCosineBetas(count: trainTimesteps)
        }
        if zeroTerminalSNR { betas = Self.rescaledToZeroTerminalSNR(betas) }
        cumulativeAlphas = Self.cumulativeProduct(betas.map { 1 - $0 })
    }

    /// Number of training timesteps.
    package var count: Int { cumulativeAlphas.count }

    /// σ = √((1−ᾱ)/ᾱ) of one training timestep; infinite where ᾱ is 0.
    package func sigma(at timestep: Int) -> Float {
        Self.sigma(cumulativeAlpha: cumulativeAlphas[timestep])
    }

    /// σ = √((1−ᾱ)/ᾱ).
    static func sigma(cumulativeAlpha: Float) -> Float {
        ((1 - cumulativeAlpha) / cumulativeAlpha).squareRoot()
    }

    /// `count` float32 values from `start` to `end`, filled from both ends with fused
    /// multiply-add, as PyTorch's `linspace` does.
    static func evenlySpaced(from start: Double, to end: Double, count: Int) -> [Float] {
        let (first, last) = (Float(start), Float(end))
        guard count > 1 else { return [first] }
        let step = (last - first) / Float(count - 1)
        return (0..<count).map { index in
            index < count / 2
                ? first.addingProduct(step, Float(index))
                : last.addingProduct(-step, Float(count - 1 - index))
        }
    }

    private static func squaredCosineBetas(count: Int) -> [Float] {
        func signal(_ time: Double) -> Double {
            let cosine = Elementary.sineAndCosine((time + 0.008) / 1.008 * .pi / 2).cosine
            return cosine * cosine
        }
        return (0..<count).map { index in
            let ratio =
                signal(Double(index + 1) / Double(count)) / signal(Double(index) / Double(count))
            return Float(min(1 - ratio, 0.999))
        }
    }

    /// arXiv 2305.08891, algorithm 1: shifts √ᾱ so that it ends at 0 and scales it back to its
    /// first value.
    private static func rescaledToZeroTerminalSNR(_ betas: [Float]) -> [Float] {
        let roots = cumulativeProduct(betas.map { 1 - $0 }).map { $0.squareRoot() }
        let (first, last) = (roots[0], roots[roots.count - 1])
        let scale = first / (first - last)
        let signals = roots.map { root in
            let moved = (root - last) * scale
            return moved * moved
        }
        return signals.indices.map { index in
            1 - (index == 0 ? signals[0] : signals[index] / signals[index - 1])
        }
    }

    private static func cumulativeProduct(_ factors: [Float]) -> [Float] {
        var product = 1.0
        return factors.map { factor in
            product *= Double(factor)
            return Float(product)
        }
    }
}

extension TimestepSpacing {
    /// The timesteps of a sampling run, noisiest first, as float64 before any rounding that the
    /// scheduler class adds.
    ///
    /// diffusers 0.42.1 yields one step too many under "trailing" for 62 of the counts below
    /// 1000 (61 is the first), a rounding accident of `numpy.arange` whose extra timestep is −1;
    /// here there are always `steps` of them.
    func timesteps(steps: Int, trainTimesteps: Int, offset: Int) -> [Double] {
        switch self {
        case .leading:
            let ratio = trainTimesteps / steps
            return (0..<steps).reversed().map { Double($0 * ratio + offset) }
        case .linspace:
            let last = Double(trainTimesteps - 1)
            guard steps > 1 else { return [0] }
            let stride = last / Double(steps - 1)
            return (0..<steps).reversed().map {
                $0 == steps - 1 ? last : Double($0) * stride
            }
        case .trailing:
            let start = Double(trainTimesteps)
            let stride = start - (start - start / Double(steps))
            return (0..<steps).map {
                (start - Double($0) * stride).rounded(.toNearestOrEven) - 1
            }
        }
    }
}
