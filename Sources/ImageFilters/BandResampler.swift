package import Tensors

/// Resamples an image that comes and goes in bands of whole rows. The same values however it is
/// cut; holds no more rows of the image than one output row is made of, at the output's width.
package struct BandResampler<Image: Planar>: Sendable {
    private let channels: Int
    private let columns: AxisFilter
    private let rows: AxisFilter
    /// Rows at the output's width, channel by channel, that output rows still need.
    private var pending: [[Float]] = []
    /// Number of the first of them.
    private var firstPending = 0
    /// Output rows that were given.
    private var given = 0

    /// From `height`×`width` to `newHeight`×`newWidth`, all positive.
    package init(
        filter: ResamplingFilter,
        channels: Int,
        height: Int,
        width: Int,
        newHeight: Int,
        newWidth: Int
    ) {
        self.channels = channels
        columns = filter.axis(from: width, to: newWidth)
        rows = filter.axis(from: height, to: newHeight)
    }

    /// Takes the next rows of the image and gives the output rows that are final; nil when there
    /// are none yet. Traps on other channels or another width, and on more rows than the image has.
    package mutating func add(_ band: Image) -> Image? {
        precondition(
            band.channels == channels && band.width == columns.inputs,
            "bands of \(channels)×\(columns.inputs) are expected")
        precondition(
            firstPending + pending.count + band.height <= rows.inputs,
            "more rows than the image has")
        for row in 0..<band.height { pending.append(narrowed(band, row)) }
        let count = firstPending + pending.count
        var ready: [Int] = []
        while given + ready.count < rows.outputs,
            rows.range(given + ready.count).upperBound <= count
        {
            ready.append(given + ready.count)
        }
        guard !ready.isEmpty else { return nil }
        let output = joined(ready)
        given += ready.count
        let needed = given < rows.outputs ? rows.range(given).lowerBound : rows.inputs
        pending.removeFirst(min(needed - firstPending, pending.count))
        firstPending = count - pending.count
        return output
    }

    /// One row at the output's width, channel by channel.
    private func narrowed(_ band: Image, _ row: Int) -> [Float] {
        var line: [Float] = []
        line.reserveCapacity(channels * columns.outputs)
        let values = band.values
        for channel in 0..<channels {
            columns.apply(
                values, from: (channel * band.height + row) * band.width, to: &line)
        }
        return line
    }

    private func joined(_ ready: [Int]) -> Image {
        let width = columns.outputs
        var values = [Float](repeating: 0, count: channels * ready.count * width)
        for (index, output) in ready.enumerated() {
            for (weight, row) in zip(rows.weights(output), rows.range(output)) {
                let line = pending[row - firstPending]
                for channel in 0..<channels {
                    let start = (channel * ready.count + index) * width
                    for column in 0..<width {
                        values[start + column] += weight * line[channel * width + column]
                    }
                }
            }
        }
        return Image(channels: channels, height: ready.count, width: width, values: values)
    }
}

extension Planar {
    /// The whole at another size, both extents positive.
    package func resampled(height: Int, width: Int, filter: ResamplingFilter) -> Self {
        var resampler = BandResampler<Self>(
            filter: filter, channels: channels, height: self.height, width: self.width,
            newHeight: height, newWidth: width)
        guard let image = resampler.add(self) else {
            preconditionFailure("all rows are there, so that all others can be made")
        }
        return image
    }
}
