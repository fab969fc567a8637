internal import Tensors

extension TaskExecutor {
    /// The answers to tiles of a grid, in the list's order. `check` refuses what does not fit;
    /// `onTile` runs after each. Throws ``DenoisingError`` and what this executor throws.
    func answers<Answer>(
        to items: WorkList, in grid: TileGrid, conditionings: [Conditioning],
        onTile: () async throws -> Void, _ check: (WorkAnswer) throws -> Answer
    ) async throws -> [Answer] {
        var answers = [Answer?](repeating: nil, count: items.count)
        do {
            try await execute(items, conditionings: conditionings) { position, answer in
                guard answers.indices.contains(position) else {
                    throw DenoisingError.unsuitableTile("there is no tile \(position)")
                }
                // A repeated answer is the same.
                guard answers[position] == nil else { return }
                answers[position] = try check(answer)
                try await onTile()
            }
        } catch ComputeError.notFinite(let index, let reason) {
            throw DenoisingError.tileNotFinite(TilePlace(index, in: grid), reason: reason)
        }
        return try answers.map { answer throws(DenoisingError) in
            guard let answer else { throw .unsuitableTile("a tile was not answered") }
            return answer
        }
    }
}

// Every tile is a full one.
extension TileGrid {
    /// The pixels of a decoded tile. Throws ``DenoisingError/unsuitableTile(_:)``.
    func decoded(_ answer: WorkAnswer) throws(DenoisingError) -> RGBImage {
        guard case .pixels(let pixels) = answer, pixels.height == tile.height * scaleFactor,
            pixels.width == tile.width * scaleFactor
        else { throw .unsuitableTile("what was decoded is of another kind or size") }
        return pixels
    }

    /// The latent of an encoded tile. Throws ``DenoisingError/unsuitableTile(_:)``.
    func encoded(_ answer: WorkAnswer) throws(DenoisingError) -> Latent {
        guard case .encode(let latent) = answer, latent.extent == tile else {
            throw .unsuitableTile("what was encoded is of another kind or size")
        }
        return latent
    }
}
