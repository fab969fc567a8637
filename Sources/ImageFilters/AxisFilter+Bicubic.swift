extension AxisFilter {
    /// Keys 1981, "Cubic convolution interpolation for digital image processing", with a = −0.75.
    static func bicubic(from inputs: Int, to outputs: Int) -> AxisFilter {
        var filter = AxisFilter(inputs: inputs)
        let scale = Double(inputs) / Double(outputs)
        for output in 0..<outputs {
            let center = scale * (Double(output) + 0.5) - 0.5
            let first = center.rounded(.down) - 1
            filter.append(from: Int(first), (0..<4).map { keys(center - first - Double($0)) })
        }
        return filter
    }

    /// The kernel at a distance of at most 2.
    private static func keys(_ distance: Double) -> Double {
        let (x, a) = (abs(distance), -0.75)
        return x <= 1
            ? ((a + 2) * x - (a + 3)) * x * x + 1
            : (((x - 5) * x + 8) * x - 4) * a
    }
}
