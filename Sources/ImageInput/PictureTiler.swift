internal import Denoising
package import Tensors

/// Cuts a picture that comes in bands of whole rows into the tiles in which it is encoded. Holds
/// the rows that tiles to come are made of, no more than two rows of tiles and a band.
package struct PictureTiler: Sendable {
    private let grid: EncodeGrid
    /// Rows of the picture, continued to the right; red, green and blue of each behind one another.
    private var pending: [[Float]] = []
    /// Number of the first of them.
    private var firstPending = 0
    private var rowsReceived = 0
    private var rowsOfTiles = 0

    package init(grid: EncodeGrid) { self.grid = grid }

    /// Takes the next rows of the picture and gives the rows of tiles that are complete with them,
    /// each left to right. Traps on another width and on more rows than the picture has.
    package mutating func add(_ band: RGBImage) -> [[RGBImage]] {
        precondition(
            band.width == grid.pictureWidth
                && rowsReceived + band.height <= grid.pictureHeight,
            "rows of a picture of \(grid.pictureWidth)×\(grid.pictureHeight) are expected")
        for row in 0..<band.height { pending.append(continued(band, row)) }
        rowsReceived += band.height
        if rowsReceived == grid.pictureHeight, let last = pending.last {
            let missing = grid.latent.height * grid.scaleFactor - rowsReceived
            pending += Array(repeating: last, count: missing)
        }
        var complete: [[RGBImage]] = []
        while rowsOfTiles < grid.rows {
            let top = grid.rowStarts[rowsOfTiles] * grid.scaleFactor
            let end = top + grid.tile.height * grid.scaleFactor
            guard end <= firstPending + pending.count else { break }
            complete.append(grid.columnStarts.map { tile(top: top, column: $0) })
            rowsOfTiles += 1
            forget()
        }
        return complete
    }

    /// Drops the rows that no tile needs any more.
    private mutating func forget() {
        let next =
            rowsOfTiles < grid.rows
            ? grid.rowStarts[rowsOfTiles] * grid.scaleFactor : firstPending + pending.count
        let count = min(next - firstPending, pending.count)
        pending.removeFirst(count)
        firstPending += count
    }

    private func continued(_ band: RGBImage, _ row: Int) -> [Float] {
        let width = grid.latent.width * grid.scaleFactor
        var line: [Float] = []
        line.reserveCapacity(3 * width)
        for channel in 0..<3 {
            let start = (channel * band.height + row) * band.width
            line += band.values[start..<start + band.width]
            let last = band.values[start + band.width - 1]
            line.append(contentsOf: repeatElement(last, count: width - band.width))
        }
        return line
    }

    private func tile(top: Int, column: Int) -> RGBImage {
        let (height, width) = (
            grid.tile.height * grid.scaleFactor, grid.tile.width * grid.scaleFactor
        )
        let (left, stride) = (column * grid.scaleFactor, grid.latent.width * grid.scaleFactor)
        var values: [Float] = []
        values.reserveCapacity(3 * height * width)
        for channel in 0..<3 {
            for row in top..<top + height {
                let start = channel * stride + left
                values += pending[row - firstPending][start..<start + width]
            }
        }
        return RGBImage(height: height, width: width, values: values)
    }
}
