internal import ImageFilters
internal import Tensors

/// A picture is brought to another size and encoded in tiles.
///
/// In bands: for each row of tiles as much of the picture is taken as it needs, and what no later
/// one needs is dropped. The picture is never whole in memory.
struct PictureEncoding {
    /// Extents of the picture in pixels.
    let source: Extent
    /// Extents in pixels that it is brought to.
    let size: Extent
    /// How the latent is encoded, of at least so many pixels: to the right and below the last
    /// column and row are repeated.
    let target: TileGrid

    /// How it is brought to the new size.
    let filter: ResamplingFilter

    /// How much the picture of the new size is sharpened: see ``BandSharpener``.
    let sharpening: Double

    /// Rows of the picture that are resized at once. A row of tiles needs some more than its height,
    /// and what is resized beyond that would lie there until the next.
    private static let sliceHeight = 64

    /// Traps when the latent is too small. `filter` nil is cubic where it grows; where it shrinks
    /// that would skip pixels.
    init(
        of source: Extent, size: Extent, to target: TileGrid, filter: ResamplingFilter? = nil,
        sharpening: Double = 0
    ) {
        let scale = target.scaleFactor
        precondition(
            size.height <= target.latent.height * scale
                && size.width <= target.latent.width * scale, "a latent holds its picture")
        self.source = source
        self.size = size
        self.target = target
        let shrinks = size.height < source.height || size.width < source.width
        self.filter = filter ?? (shrinks ? .antialiasedBilinear : .bicubic)
        self.sharpening = sharpening
    }

    /// `onTile` runs after each tile that is encoded; `nextBand` gives the picture from its top.
    /// Throws ``DenoisingError`` and what the executor and the closures throw.
    func encode(
        with executor: some TaskExecutor, conditionings: [Conditioning],
        onTile: () async throws -> Void, nextBand: () async throws -> RGBImage
    ) async throws -> Latent {
        var picture = ResizedBand(self)
        var joiner = TileJoiner<Latent>(grid: target, scale: 1)
        var (latent, done): (Latent?, Int) = (nil, 0)
        // Of the picture, as it came: the rows before have been taken.
        var (source, taken): (RGBImage?, Int) = (nil, 0)
        for row in 0..<target.rows {
            let top = target.rowStarts[row]
            picture.drop(above: top * target.scaleFactor)
            while picture.end < (top + target.tile.height) * target.scaleFactor {
                if taken == source?.height { source = nil }
                if source == nil { (source, taken) = (try await nextBand(), 0) }
                guard let band = source else { continue }
                let slice = taken..<min(taken + Self.sliceHeight, band.height)
                picture.add(band.rows(slice))
                taken = slice.upperBound
            }
            let tiles = try await executor.answers(
                to: tasks(picture, row: row), in: target, conditionings: conditionings,
                onTile: onTile, { try target.encoded($0) })
            let band = joiner.add(rowOfTiles: tiles)
            // Filled in its place: bands that are stacked in the end would take as much again.
            if latent == nil {
                let whole = target.latent
                latent = Latent(
                    zeros: band.channels, height: whole.height, width: whole.width)
            }
            latent?.replaceRows(from: done, with: band)
            done += band.height
        }
        guard let latent else { preconditionFailure("a grid has a row of tiles") }
        return latent
    }

    private func tasks(_ picture: ResizedBand, row: Int) -> WorkList {
        let target = target
        return WorkList(count: target.columns) { position in
            let index = row * target.columns + position
            return .encode(EncodeTask(index: index, pixels: picture.tile(target[index])))
        }
    }
}

extension Latent {
    fileprivate mutating func replaceRows(from row: Int, with band: Latent) {
        for channel in 0..<channels {
            let (to, from) = ((channel * height + row) * width, channel * band.height * width)
            values.replaceSubrange(
                to..<to + band.height * width, with: band.values[from..<from + band.height * width])
        }
    }
}

/// Rows of a picture that is resized from its top: those that are still wanted.
private struct ResizedBand: Sendable {
    private let scale: Int
    private let size: Extent
    /// Of all tiles together, in pixels.
    private let whole: Extent
    private var resampler: BandResampler<RGBImage>
    private var sharpener: BandSharpener?
    /// In slices as they came: to put them together would copy them again and again.
    private var slices: [RGBImage] = []
    /// The picture's row that is the first slice's first.
    private var start = 0

    init(_ encoding: PictureEncoding) {
        let (source, target) = (encoding.source, encoding.target)
        scale = target.scaleFactor
        size = encoding.size
        whole = Extent(height: target.latent.height * scale, width: target.latent.width * scale)
        resampler = BandResampler(
            filter: encoding.filter, channels: 3, height: source.height, width: source.width,
            newHeight: size.height, newWidth: size.width)
        if encoding.sharpening != 0 {
            sharpener = BandSharpener(amount: encoding.sharpening, height: size.height)
        }
    }

    /// One behind the last row of the picture that is there.
    private(set) var end = 0

    mutating func add(_ band: RGBImage) {
        guard var more = resampler.add(band)?.clamped else { return }
        if sharpener != nil {
            guard let sharp = sharpener?.add(more)?.clamped else { return }
            more = sharp
        }
        let isLast = end + more.height == size.height
        more = more.repeatingEdge(
            height: more.height + (isLast ? whole.height - size.height : 0), width: whole.width)
        slices.append(more)
        end += more.height
    }

    /// Lets go of slices that lie above a row.
    mutating func drop(above row: Int) {
        while let first = slices.first, start + first.height <= row {
            slices.removeFirst()
            start += first.height
        }
    }

    /// The pixels of a tile, whose rows are there.
    func tile(_ tile: Window) -> RGBImage {
        let (top, left) = (tile.y * scale, tile.x * scale)
        let columns = left..<left + tile.width * scale
        var (first, parts): (Int, [RGBImage]) = (start, [])
        for slice in slices {
            let rows = (top - first..<top + tile.height * scale - first)
                .clamped(to: 0..<slice.height)
            if !rows.isEmpty { parts.append(slice.part(rows, columns)) }
            first += slice.height
        }
        return RGBImage(stacking: parts)
    }
}

extension RGBImage {
    /// Without what lies below 0 and above 1.
    fileprivate var clamped: RGBImage {
        RGBImage(height: height, width: width, values: values.map { min(max($0, 0), 1) })
    }

    /// With its last column and row repeated up to these extents.
    fileprivate func repeatingEdge(height: Int, width: Int) -> RGBImage {
        guard height != self.height || width != self.width else { return self }
        var values: [Float] = []
        values.reserveCapacity(channels * height * width)
        for channel in 0..<channels {
            for y in 0..<height {
                let first = (channel * self.height + min(y, self.height - 1)) * self.width
                let row = self.values[first..<first + self.width]
                values += row
                values += repeatElement(row[row.endIndex - 1], count: width - self.width)
            }
        }
        return RGBImage(height: height, width: width, values: values)
    }
}
