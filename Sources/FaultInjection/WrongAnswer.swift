internal import Denoising
internal import Tensors

/// Answers that are wrong in a way that a checksum does not show.
enum WrongAnswer {
    /// One row less; nil for an answer of a single row.
    static func shape(of answer: WorkAnswer) -> WorkAnswer? {
        switch answer {
        case .denoise(let predictions):
            guard let first = predictions.first, first.height > 1 else { return nil }
            let height = first.height - 1
            let values = (0..<first.channels).flatMap { channel in
                first.values[channel * first.plane..<channel * first.plane + height * first.width]
            }
            let short = Latent(
                channels: first.channels, height: height, width: first.width, values: values)
            return .denoise([short] + predictions.dropFirst())
        case .decode(let tile):
            guard tile.height > 1 else { return nil }
            return .decode(
                RGBTile(
                    height: tile.height - 1, width: tile.width,
                    bytes: Array(tile.bytes.dropLast(tile.width * 3))))
        }
    }

    /// The values in reverse order: the same statistics, another picture.
    static func lie(_ answer: WorkAnswer) -> WorkAnswer {
        switch answer {
        case .denoise(let predictions):
            .denoise(
                predictions.map { prediction in
                    var wrong = prediction
                    wrong.values.reverse()
                    return wrong
                })
        case .decode(let tile):
            .decode(
                RGBTile(height: tile.height, width: tile.width, bytes: tile.bytes.reversed()))
        }
    }

    /// `value` in the first place of the first prediction; nil for pixels, which are whole
    /// numbers.
    static func first(_ value: Float, in answer: WorkAnswer) -> WorkAnswer? {
        guard case .denoise(var predictions) = answer, !predictions.isEmpty else { return nil }
        predictions[0].values[0] = value
        return .denoise(predictions)
    }
}
