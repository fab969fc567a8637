internal import Denoising
internal import Tensors

/// Answers that are wrong in a way that a checksum does not show.
enum WrongAnswer {
    /// One row less; nil for an answer of a single row.
    static func shape(of answer: WorkAnswer) -> WorkAnswer? {
        switch answer {
        case .denoise(let predictions):
            guard let short = predictions.first?.withoutLastRow else { return nil }
            return .denoise([short] + predictions.dropFirst())
        case .pixels(let pixels): return pixels.withoutLastRow.map { .pixels($0) }
        case .encode(let latent): return latent.withoutLastRow.map { .encode($0) }
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
            .denoise(predictions.map(\.reversed))
        case .pixels(let pixels): .pixels(pixels.reversed)
        case .encode(let latent): .encode(latent.reversed)
        case .decode(let tile):
            .decode(
                RGBTile(height: tile.height, width: tile.width, bytes: tile.bytes.reversed()))
        }
    }

    /// `value` in the first place of the answer; nil for bytes, which are whole numbers.
    static func first(_ value: Float, in answer: WorkAnswer) -> WorkAnswer? {
        switch answer {
        case .denoise(var predictions):
            guard !predictions.isEmpty else { return nil }
            predictions[0].values[0] = value
            return .denoise(predictions)
        case .pixels(var pixels):
            pixels.values[0] = value
            return .pixels(pixels)
        case .encode(var latent):
            latent.values[0] = value
            return .encode(latent)
        case .decode: return nil
        }
    }
}

extension Planar {
    /// Nil when there is only one.
    fileprivate var withoutLastRow: Self? {
        guard height > 1 else { return nil }
        let (plane, rest) = (height * width, (height - 1) * width)
        let kept = (0..<channels).flatMap { channel in
            values[channel * plane..<channel * plane + rest]
        }
        return Self(channels: channels, height: height - 1, width: width, values: kept)
    }

    fileprivate var reversed: Self {
        Self(channels: channels, height: height, width: width, values: values.reversed())
    }
}
