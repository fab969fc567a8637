internal import ImageFilters
internal import Tensors

/// A latent is decoded, the picture enlarged, and encoded again: what a phase that refines a
/// picture starts from (upscale-and-refine; "SDEdit", arXiv 2108.01073).
///
/// In bands: for each row of tiles that is encoded as many rows of tiles are decoded as it needs
/// (``PictureEncoding``).
struct Redrawing {
    /// How the latent is decoded.
    let source: TileGrid
    /// How the enlarged picture is encoded.
    let target: TileGrid
    /// How the picture is enlarged.
    let filter: ResamplingFilter
    /// How much it is sharpened before.
    let sharpening: Double

    /// Tiles decoded at once: whole rows of tiles, at least this many tiles.
    private static let tilesInFlight = 16

    /// Of a latent of one size to one of another, by tiles of the model's native side.
    init(
        from latent: Extent, to enlarged: Extent, model: ModelGeometry,
        filter: ResamplingFilter = .bicubic, sharpening: Double = 0
    ) {
        self.filter = filter
        self.sharpening = sharpening
        source = TileGrid(latent: latent, model: model)
        target = TileGrid(latent: enlarged, model: model)
    }

    /// `onTile` hears how many tiles are decoded and encoded. Throws ``DenoisingError`` and what
    /// the executor throws.
    func redraw(
        _ latent: Latent, with executor: some TaskExecutor, conditionings: [Conditioning],
        onTile: (_ done: Int, _ count: Int) async throws -> Void
    ) async throws -> Latent {
        let count = source.count + target.count
        var (done, row) = (0, 0)
        var joiner = TileJoiner<RGBImage>(grid: source, scale: source.scaleFactor)
        try await onTile(done, count)
        func advance() async throws {
            done += 1
            try await onTile(done, count)
        }
        let encoding = PictureEncoding(
            of: source.pixels, size: target.pixels, to: target, filter: filter,
            sharpening: sharpening)
        return try await encoding.encode(
            with: executor, conditionings: conditionings, onTile: { try await advance() }
        ) {
            let tiles = try await executor.answers(
                to: decoding(latent, from: row), in: source, conditionings: conditionings,
                onTile: { try await advance() }, { try source.decoded($0) })
            row += tiles.count / source.columns
            return RGBImage(
                stacking: stride(from: 0, to: tiles.count, by: source.columns).map { start in
                    joiner.add(rowOfTiles: Array(tiles[start..<start + source.columns]))
                })
        }
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
}
