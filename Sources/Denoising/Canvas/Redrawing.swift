internal import ImageFilters
internal import Tensors

/// A latent is decoded, the picture enlarged, and encoded again: what a phase that refines a
/// picture starts from (upscale-and-refine; "SDEdit", arXiv 2108.01073).
///
/// In bands: for each row of tiles that is encoded as many rows of tiles are decoded as it needs,
/// and what no later one needs is dropped. The picture is never whole in memory.
struct Redrawing {
    /// How the latent is decoded.
    let source: TileGrid
    /// How the enlarged picture is encoded.
    let target: TileGrid

    /// Tiles decoded at once: whole rows of tiles, at least this many tiles.
    private static let tilesInFlight = 16

    /// Of a latent of one size to one of another, by tiles of the model's native side: the
    /// autoencoder's norms and attention make another picture of larger ones.
    init(from latent: Extent, to enlarged: Extent, model: ModelGeometry) {
        let scale = model.scaleFactor
        source = TileGrid(latent: latent, tile: model.nativeSide, scaleFactor: scale)
        target = TileGrid(latent: enlarged, tile: model.nativeSide, scaleFactor: scale)
    }

    /// `onTile` hears how many tiles are decoded and encoded. Throws ``DenoisingError`` and what
    /// the executor throws.
    func redraw(
        _ latent: Latent, with executor: some TaskExecutor, conditioning: Conditioning,
        onTile: (_ done: Int, _ count: Int) async throws -> Void
    ) async throws -> Latent {
        let count = source.count + target.count
        var done = 0
        func answers<Answer>(
            _ items: WorkList, in grid: TileGrid,
            _ check: (WorkAnswer) throws -> Answer
        ) async throws -> [Answer] {
            do {
                return try await self.answers(items, executor, conditioning, check) {
                    done += 1
                    try await onTile(done, count)
                }
            } catch ComputeError.notFinite(let index, let reason) {
                throw DenoisingError.tileNotFinite(TilePlace(index, in: grid), reason: reason)
            }
        }
        var picture = EnlargedPicture(from: source, to: target)
        var joiner = TileJoiner<Latent>(grid: target, scale: 1)
        var result: [Latent] = []
        try await onTile(done, count)
        for row in 0..<target.rows {
            picture.drop(above: target.rowStarts[row] * target.scaleFactor)
            while picture.end < (target.rowStarts[row] + target.tile.height) * target.scaleFactor {
                let first = picture.rowsOfTiles
                let tiles = try await answers(
                    decoding(latent, from: first), in: source, decoded)
                for start in stride(from: 0, to: tiles.count, by: source.columns) {
                    picture.add(rowOfTiles: Array(tiles[start..<start + source.columns]))
                }
            }
            let tiles = try await answers(encoding(picture, row: row), in: target, encoded)
            result.append(joiner.add(rowOfTiles: tiles))
        }
        return Latent(stacking: result)
    }

    /// The next rows of tiles to decode.
    private func decoding(_ latent: Latent, from row: Int) -> WorkList {
        precondition(row < source.rows, "there are rows to decode")
        let source = source
        let rowsAtOnce = max(1, Self.tilesInFlight / source.columns)
        let first = row * source.columns
        let count = min(rowsAtOnce, source.rows - row) * source.columns
        return WorkList(count: count) { position in
            let tile = LatentView.window(source[first + position]).gather(from: latent)
            return .decode(DecodeTask(index: first + position, tile: tile, format: .floats))
        }
    }

    /// A row of tiles of the enlarged picture.
    private func encoding(_ picture: EnlargedPicture, row: Int) -> WorkList {
        let target = target
        return WorkList(count: target.columns) { position in
            let index = row * target.columns + position
            return .encode(EncodeTask(index: index, pixels: picture.tile(target[index])))
        }
    }

    /// The answers to a list, in its order.
    private func answers<Answer>(
        _ items: WorkList, _ executor: some TaskExecutor, _ conditioning: Conditioning,
        _ check: (WorkAnswer) throws -> Answer, onTile: () async throws -> Void
    ) async throws -> [Answer] {
        var answers = [Answer?](repeating: nil, count: items.count)
        try await executor.execute(items, conditioning: conditioning) { position, answer in
            guard answers.indices.contains(position) else {
                throw DenoisingError.unsuitableTile("there is no tile \(position)")
            }
            // A repeated answer is the same.
            guard answers[position] == nil else { return }
            answers[position] = try check(answer)
            try await onTile()
        }
        return try answers.map { answer throws(DenoisingError) in
            guard let answer else { throw .unsuitableTile("a tile was not answered") }
            return answer
        }
    }

    // Every tile is a full one.

    private func decoded(_ answer: WorkAnswer) throws -> RGBImage {
        let (tile, scale) = (source.tile, source.scaleFactor)
        guard case .pixels(let pixels) = answer, pixels.height == tile.height * scale,
            pixels.width == tile.width * scale
        else {
            throw DenoisingError.unsuitableTile("what was decoded is of another kind or size")
        }
        return pixels
    }

    private func encoded(_ answer: WorkAnswer) throws -> Latent {
        guard case .encode(let tile) = answer, tile.extent == target.tile else {
            throw DenoisingError.unsuitableTile("what was encoded is of another kind or size")
        }
        return tile
    }
}

/// Rows of a picture that is decoded and enlarged from its top: those that are still wanted.
private struct EnlargedPicture: Sendable {
    private let scale: Int
    private var joiner: TileJoiner<RGBImage>
    private var resampler: BandResampler<RGBImage>
    private var rows: RGBImage?
    /// The picture's row that is the band's first.
    private var start = 0
    /// Rows of tiles that were added.
    private(set) var rowsOfTiles = 0

    init(from source: TileGrid, to target: TileGrid) {
        scale = source.scaleFactor
        joiner = TileJoiner(grid: source, scale: scale)
        resampler = BandResampler(
            filter: .bicubic, channels: 3, height: source.latent.height * scale,
            width: source.latent.width * scale, newHeight: target.latent.height * scale,
            newWidth: target.latent.width * scale)
    }

    /// One behind the last row of the picture that is there.
    var end: Int { start + (rows?.height ?? 0) }

    mutating func add(rowOfTiles tiles: [RGBImage]) {
        rowsOfTiles += 1
        guard var more = resampler.add(joiner.add(rowOfTiles: tiles)) else { return }
        for index in more.values.indices { more.values[index] = min(max(more.values[index], 0), 1) }
        rows = RGBImage(stacking: [rows, more].compactMap(\.self))
    }

    /// Lets go of the rows above one.
    mutating func drop(above row: Int) {
        guard row > start, let rows else { return }
        let first = min(row, end)
        self.rows = first < end ? rows.rows(first - start..<rows.height) : nil
        start = first
    }

    /// The pixels of a tile, whose rows are there.
    func tile(_ tile: Window) -> RGBImage {
        guard let rows else { preconditionFailure("an empty band has no pixels") }
        let (top, left) = (tile.y * scale - start, tile.x * scale)
        return rows.part(
            top..<top + tile.height * scale, left..<left + tile.width * scale)
    }
}
