internal import Sampling

/// The sizes through which methods that begin at native size come to the picture's. All latents
/// have the picture's shape.
extension PlanRequest {
    /// Extents of every phase's latent: from about native area to the picture's, each side growing
    /// by the same factor of at most two from phase to phase.
    var doublingSizes: [Extent] {
        let native = model.nativeSide
        var enlargements = 0
        while native * native << (2 * enlargements) < latent.area { enlargements += 1 }
        guard enlargements > 0 else { return [latent] }
        let growth = Double(latent.area) / Double(native * native)
        let logarithm = Elementary.logarithm(growth) / Double(2 * enlargements)
        return [nativeLatent]
            + (1..<enlargements).map {
                reduced(by: Elementary.exponential(logarithm * Double(enlargements - $0)))
            } + [latent]
    }

    /// Extents of every phase's latent: of once, four, nine … times about native area, as long as
    /// that is less than the picture's, and the picture's.
    var multipleSizes: [Extent] {
        let native = model.nativeSide
        guard latent.area > native * native else { return [latent] }
        let growth = (Double(latent.area) / Double(native * native)).squareRoot()
        let between = (2...).prefix { $0 * $0 * native * native < latent.area }
        return [nativeLatent] + between.map { reduced(by: growth / Double($0)) } + [latent]
    }

    /// Extents of every phase's latent: with a longer side of once, twice, three times … the native
    /// one, as long as that is less than the picture's, and the picture's (DemoFusion's published
    /// code, which begins 4096×2048 with 1024×512).
    var sidewiseSizes: [Extent] {
        let longer = max(latent.height, latent.width)
        let native = model.nativeSide
        guard longer > native else { return [latent] }
        let multiple = model.sizeMultiple
        func base(_ side: Int) -> Int {
            let length = Double(native) * Double(side) / Double(longer)
            return max(1, Int((length / Double(multiple)).rounded())) * multiple
        }
        let between = (2...).prefix { $0 * native < longer }
        return [Extent(height: base(latent.height), width: base(latent.width))]
            + between.map { reduced(by: Double(longer) / Double($0 * native)) } + [latent]
    }

    /// Extents of every phase's latent: `count` of them, two or more, from about native area to the
    /// picture's, each side growing by as much from phase to phase.
    func evenSizes(_ count: Int) -> [Extent] {
        let growth = (Double(latent.area) / Double(model.nativeSide * model.nativeSide))
            .squareRoot()
        let between = (1..<count - 1).map { number in
            reduced(by: growth / (1 + (growth - 1) * Double(number) / Double(count - 1)))
        }
        return [nativeLatent] + between + [latent]
    }

    /// The latent with sides `scale` times smaller.
    func reduced(by scale: Double) -> Extent {
        Extent(
            height: max(1, Int((Double(latent.height) / scale).rounded())),
            width: max(1, Int((Double(latent.width) / scale).rounded())))
    }

    /// About native area in the picture's shape, in multiples of what the network takes.
    private var nativeLatent: Extent {
        let multiple = model.sizeMultiple
        func side(_ side: Int, by other: Int) -> Int {
            let length = Double(model.nativeSide) * (Double(side) / Double(other)).squareRoot()
            return max(1, Int((length / Double(multiple)).rounded())) * multiple
        }
        return Extent(
            height: side(latent.height, by: latent.width),
            width: side(latent.width, by: latent.height))
    }
}
