internal import Sampling

/// How much the positions of a window count in the average with its neighbours.
package enum Feather: String, Codable, Hashable, Sendable, CaseIterable {
    /// All the same: plain MultiDiffusion.
    case uniform
    /// Falls linearly from the middle to the edges.
    case linear
    /// A normal curve with a standard deviation of a tenth of the side ("Mixture of Diffusers",
    /// arXiv 2302.02412), so that the corners still count.
    case gaussian
    /// A raised cosine, sin² plus 0.02 so that the edges still count.
    case cosine

    /// The weights along one axis, `count` of them, positive and symmetric; a position's weight
    /// is the product over both axes.
    package func profile(_ count: Int) -> [Float] {
        let middle = Double(count - 1) / 2
        return (0..<count).map { index in
            switch self {
            case .uniform: 1
            case .linear: Float(min(index, count - 1 - index) + 1)
            case .gaussian: Self.bell((Double(index) - middle) / Double(count))
            case .cosine: Self.raisedCosine((Double(index) + 0.5) / Double(count))
            }
        }
    }

    /// exp(−u²/(2·0.01)), u in units of the side.
    private static func bell(_ offset: Double) -> Float {
        Float(Elementary.exponential(-offset * offset / 0.02))
    }

    /// 0.02 + sin²(πu), u in units of the side.
    private static func raisedCosine(_ place: Double) -> Float {
        let sine = Elementary.sineAndCosine(.pi * place).sine
        return Float(0.02 + sine * sine)
    }
}
