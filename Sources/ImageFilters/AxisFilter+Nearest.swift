extension AxisFilter {
    /// The input element in which an output element begins: PyTorch's `upsample_nearest2d`.
    static func nearest(from inputs: Int, to outputs: Int) -> AxisFilter {
        var filter = AxisFilter(inputs: inputs)
        for output in 0..<outputs { filter.append(from: output * inputs / outputs, [1]) }
        return filter
    }
}
