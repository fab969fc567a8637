package import Tensors

/// The four bands of one level of the orthonormal Haar wavelet (db1), each of half the image's
/// sides, rounded up: PyWavelets' `dwt2(…, "haar", mode="symmetric")`.
///
/// Merging what was split gives the image back, but for the rounding of float32. Where a side is
/// odd, the last row or column is split as if it came twice, and merging drops the second.
package struct HaarBands<Image: Planar>: Sendable {
    /// Half the sum of each 2×2 block: twice its mean.
    package var low: Image
    /// What differs from row to row: the block's upper half less the lower.
    package var horizontal: Image
    /// What differs from column to column: the block's left half less the right.
    package var vertical: Image
    /// One diagonal less the other.
    package var diagonal: Image

    /// Splits an image.
    package init(splitting image: Image) {
        let (height, width) = ((image.height + 1) / 2, (image.width + 1) / 2)
        let count = image.channels * height * width
        var bands = [[Float]](repeating: [], count: 4)
        for index in bands.indices { bands[index].reserveCapacity(count) }
        let values = image.values
        for channel in 0..<image.channels {
            for row in 0..<height {
                let upper = (channel * image.height + 2 * row) * image.width
                let lower = 2 * row + 1 < image.height ? upper + image.width : upper
                for column in 0..<width {
                    let left = 2 * column
                    let right = min(left + 1, image.width - 1)
                    let (a, b) = (values[upper + left], values[upper + right])
                    let (c, d) = (values[lower + left], values[lower + right])
                    bands[0].append((a + b + c + d) / 2)
                    bands[1].append((a + b - c - d) / 2)
                    bands[2].append((a - b + c - d) / 2)
                    bands[3].append((a - b - c + d) / 2)
                }
            }
        }
        func band(_ index: Int) -> Image {
            Image(channels: image.channels, height: height, width: width, values: bands[index])
        }
        (low, horizontal, vertical, diagonal) = (band(0), band(1), band(2), band(3))
    }

    /// The image of `height`×`width` whose bands these are. Traps unless they are half of that,
    /// rounded up.
    package func merged(height: Int, width: Int) -> Image {
        precondition(
            low.height == (height + 1) / 2 && low.width == (width + 1) / 2,
            "bands of \(low.height)×\(low.width) make no image of \(height)×\(width)")
        let (means, rows, columns) = (low.values, horizontal.values, vertical.values)
        let diagonals = diagonal.values
        var values = [Float](repeating: 0, count: low.channels * height * width)
        for channel in 0..<low.channels {
            for y in 0..<height {
                let line = (channel * low.height + y / 2) * low.width
                let start = (channel * height + y) * width
                let vertically: Float = y % 2 == 0 ? 1 : -1
                for x in 0..<width {
                    let index = line + x / 2
                    let horizontally: Float = x % 2 == 0 ? 1 : -1
                    let even = means[index] + vertically * rows[index]
                    let odd = columns[index] + vertically * diagonals[index]
                    values[start + x] = (even + horizontally * odd) / 2
                }
            }
        }
        return Image(channels: low.channels, height: height, width: width, values: values)
    }
}
