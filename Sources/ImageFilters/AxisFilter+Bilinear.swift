extension AxisFilter {
    /// Linear between the two input elements that an output element's centre lies between, whatever
    /// the sizes: PyTorch's `upsample_bilinear2d`.
    static func bilinear(from inputs: Int, to outputs: Int) -> AxisFilter {
        var filter = AxisFilter(inputs: inputs)
        let scale = Double(inputs) / Double(outputs)
        for output in 0..<outputs {
            let center = max(0, scale * (Double(output) + 0.5) - 0.5)
            let first = center.rounded(.down)
            filter.append(from: Int(first), [1 - (center - first), center - first])
        }
        return filter
    }
}
