package import Tensors

/// The weighted mean of what overlapping views say, on the canvas (MultiDiffusion, arXiv
/// 2302.08113, equation 5): one sum and one weight per position. Floating-point sums depend on
/// their order, so callers add views in plan order.
package struct OverlapAccumulator: Sendable {
    /// What was added so far, weighted, on the canvas.
    package private(set) var sum: Latent
    /// Per position; the channels share it.
    private var weights: [Float]

    package init(channels: Int, extent: Extent) {
        sum = Latent(zeros: channels, height: extent.height, width: extent.width)
        weights = Array(repeating: 0, count: extent.area)
    }

    /// Goes on from a sum that was kept. The views in it have to be counted once more, in order.
    package init(sum: Latent) {
        self.sum = sum
        weights = Array(repeating: 0, count: sum.height * sum.width)
    }

    /// Adds one view's prediction: `weight` times the feather's profile is what each of its
    /// positions counts. `table` is the exchange the view was gathered through.
    /// Traps when the prediction does not have the view's extents.
    package mutating func add(
        _ prediction: Latent,
        through view: LatentView,
        weight factor: Float = 1,
        feather: Feather = .uniform,
        table: InteractionTable? = nil
    ) {
        let extent = view.extent(on: canvas)
        precondition(
            prediction.height == extent.height && prediction.width == extent.width
                && prediction.channels == sum.channels,
            "a prediction has the extents of its view")
        let (rows, columns) = profiles(of: extent, factor, feather)
        view.forEachRun(channels: sum.channels, on: canvas, through: table) { run in
            var target = run.canvasStart
            for offset in 0..<run.count {
                let weight = rows[run.row] * columns[run.column + offset]
                sum.values[target] += weight * prediction.values[run.viewStart + offset]
                target += run.canvasStride
            }
        }
        count(view, rows, columns, through: table)
    }

    /// Counts a view that is in the sum.
    package mutating func count(
        _ view: LatentView,
        weight factor: Float = 1,
        feather: Feather = .uniform,
        table: InteractionTable? = nil
    ) {
        let (rows, columns) = profiles(of: view.extent(on: canvas), factor, feather)
        count(view, rows, columns, through: table)
    }

    /// All channels together visit each position with the same weight, so the first channel counts
    /// for all, under a per-channel exchange too: every channel's exchange is a permutation of the
    /// same positions.
    private mutating func count(
        _ view: LatentView, _ rows: [Float], _ columns: [Float], through table: InteractionTable?
    ) {
        view.forEachRun(channels: 1, on: canvas, through: table) { run in
            var target = run.canvasStart
            for offset in 0..<run.count {
                weights[target] += rows[run.row] * columns[run.column + offset]
                target += run.canvasStride
            }
        }
    }

    private var canvas: Extent { Extent(height: sum.height, width: sum.width) }

    /// Factors whose product is what a position of the view counts.
    private func profiles(
        of view: Extent, _ factor: Float, _ feather: Feather
    ) -> (rows: [Float], columns: [Float]) {
        (feather.profile(view.height).map { $0 * factor }, feather.profile(view.width))
    }

    /// The mean. Traps where nothing was added: a plan's `validate` proves that cannot be.
    package func average() -> Latent {
        var result = sum
        forEachMean(at: weights.indices) { result.values[$0] = $1 }
        return result
    }

    /// `mixture` and so much of the mean, where the mask counts, without room for the mean itself.
    /// Traps where the mask counts and nothing was added.
    func mixed(into mixture: consuming Latent, share: Float, mask: RegionMask? = nil) -> Latent {
        var result = mixture
        guard let mask else {
            forEachMean(at: weights.indices) { result.values[$0] += share * $1 }
            return result
        }
        for row in 0..<sum.height {
            for (column, part) in mask.shares(ofRow: row, width: sum.width).enumerated()
            where part > 0 {
                let position = row * sum.width + column
                forEachMean(at: position..<position + 1) {
                    result.values[$0] += share * part * $1
                }
            }
        }
        return result
    }

    private func forEachMean(
        at positions: Range<Int>, _ visit: (_ index: Int, _ mean: Float) -> Void
    ) {
        for position in positions {
            let weight = weights[position]
            precondition(weight > 0, "no view covers position \(position)")
            for index in stride(from: position, to: sum.values.count, by: weights.count) {
                visit(index, sum.values[index] / weight)
            }
        }
    }
}
