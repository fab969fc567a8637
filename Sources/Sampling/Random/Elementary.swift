/// exp, log, sine and cosine out of IEEE additions, multiplications and divisions alone.
///
/// The C library's versions differ in the last bit between releases and between processors with
/// and without fused multiply-add. Noise must be the same on any machine, so it is made of these:
/// accurate to about one unit in the last place of a Double, identical everywhere.
package enum Elementary {
    /// The two halves of ln 2: the first has zeros in its low 21 bits, so that products with
    /// small integers are exact.
    private static let ln2High = 0x1.62e42feep-1
    private static let ln2Low = 0x1.a39ef35793c76p-33

    /// The three parts of π/2 of Cody and Waite's reduction.
    private static let halfPiHigh = 0x1.921fb544p0
    private static let halfPiMiddle = 0x1.0b4611a6p-34
    private static let halfPiLow = 0x1.3198a2e037073p-69

    /// ln x; −∞ at 0, +∞ at +∞, a NaN below 0. Subnormal numbers included.
    package static func logarithm(_ x: Double) -> Double {
        guard x > 0 else { return x == 0 ? -.infinity : .nan }
        guard x.isFinite else { return x }
        var exponent = Double(x.exponent)
        var mantissa = x.significand
        if mantissa > 1.4142135623730951 {
            mantissa /= 2
            exponent += 1
        }
        // ln m = 2·artanh s; |s| ≤ 0.172, so the tenth odd power is below 1e-17.
        let s = (mantissa - 1) / (mantissa + 1)
        let square = s * s
        var series = 1.0 / 21
        for odd in stride(from: 19.0, through: 3, by: -2) { series = series * square + 1 / odd }
        let tail = 2 * s * square * series
        return exponent * ln2High + (2 * s + (tail + exponent * ln2Low))
    }

    /// eˣ for −700 < x < 700; 0 below and +∞ above.
    package static func exponential(_ x: Double) -> Double {
        guard x > -700 else { return x.isNaN ? x : 0 }
        guard x < 700 else { return x.isNaN ? x : .infinity }
        let count = (x / 0.6931471805599453).rounded(.toNearestOrEven)
        let rest = (x - count * ln2High) - count * ln2Low
        var series = 1.0
        for divisor in stride(from: 14.0, through: 1, by: -1) {
            series = 1 + rest / divisor * series
        }
        return Double(sign: .plus, exponent: Int(count), significand: 1) * series
    }

    /// The angle from 0 to π whose cosine is x, by bisection; 0 above 1 and π below −1.
    package static func arccosine(_ x: Double) -> Double {
        var (low, high) = (0.0, Double.pi)
        for _ in 0..<54 {
            let middle = (low + high) / 2
            if sineAndCosine(middle).cosine > x { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    /// Sine and cosine of an angle in radians, |x| < 10⁴.
    package static func sineAndCosine(_ x: Double) -> (sine: Double, cosine: Double) {
        let quarter = (x / (Double.pi / 2)).rounded(.toNearestOrEven)
        let rest =
            ((x - quarter * halfPiHigh) - quarter * halfPiMiddle) - quarter * halfPiLow
        let square = rest * rest
        // Taylor series on |rest| ≤ π/4, to the 17th and the 18th power.
        var sine = 1.0
        for n in stride(from: 16.0, through: 2, by: -2) {
            sine = 1 - square / (n * (n + 1)) * sine
        }
        sine *= rest
        var cosine = 1.0
        for n in stride(from: 17.0, through: 1, by: -2) {
            cosine = 1 - square / (n * (n + 1)) * cosine
        }
        switch Int(quarter) & 3 {
        case 0: return (sine, cosine)
        case 1: return (cosine, -sine)
        case 2: return (-sine, -cosine)
        default: return (-cosine, sine)
        }
    }
}
