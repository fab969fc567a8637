extension AxisFilter {
    /// Triangles around the output elements' centres, cut off and made to add up to one at the
    /// ends: PyTorch's `_upsample_bilinear2d_aa`, which follows Pillow.
    static func antialiasedBilinear(from inputs: Int, to outputs: Int) -> AxisFilter {
        var filter = AxisFilter(inputs: inputs)
        let scale = Double(inputs) / Double(outputs)
        let support = max(scale, 1)
        for output in 0..<outputs {
            let center = scale * (Double(output) + 0.5)
            let first = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), inputs)
            filter.append(
                from: first,
                (first..<end).map { max(0, 1 - abs(Double($0) + 0.5 - center) / support) })
        }
        return filter
    }
}
