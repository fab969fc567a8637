internal import Tensors

/// Mean and standard deviation of all values of a latent, in double precision.
struct Moments {
    let mean: Double
    let deviation: Double

    /// Of the top left corner of so many rows and columns, of all channels together.
    init(of latent: Latent, within extent: Extent) {
        let count = Double(latent.channels * extent.area)
        var sum = 0.0
        Self.forEach(latent, extent) { sum += Double($0) }
        let mean = sum / count
        var squares = 0.0
        Self.forEach(latent, extent) { squares += (Double($0) - mean) * (Double($0) - mean) }
        self.mean = mean
        deviation = (squares / count).squareRoot()
    }

    private static func forEach(_ latent: Latent, _ extent: Extent, _ visit: (Float) -> Void) {
        for row in 0..<latent.channels * latent.height where row % latent.height < extent.height {
            let start = row * latent.width
            for index in start..<start + extent.width { visit(latent.values[index]) }
        }
    }
}

extension Latent {
    /// Shifted and scaled from one mean and deviation to others; only shifted where there is no
    /// deviation.
    func brought(from own: Moments, to other: Moments) -> Latent {
        let factor = own.deviation > 0 ? other.deviation / own.deviation : 1
        let (scale, shift) = (Float(factor), Float(other.mean - own.mean * factor))
        return mapValues { $0 * scale + shift }
    }
}
