/// An image, noisy or clean, in the autoencoder's space: channels × height × width, row-major.
package struct Latent: Equatable, Sendable {
    package let channels: Int
    package let height: Int
    package let width: Int

    /// Row-major, channel outermost; always `channels * height * width` values.
    package var values: [Float]

    /// Traps when the count of values does not fit the extents.
    package init(channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(channels > 0 && height > 0 && width > 0, "a latent needs positive extents")
        precondition(
            values.count == channels * height * width,
            "a \(channels)×\(height)×\(width) latent wants \(channels * height * width) values, "
                + "got \(values.count)"
        )
        self.channels = channels
        self.height = height
        self.width = width
        self.values = values
    }

    package init(zeros channels: Int, height: Int, width: Int) {
        self.init(
            channels: channels,
            height: height,
            width: width,
            values: Array(repeating: 0, count: channels * height * width)
        )
    }

    /// Elements in one channel.
    package var plane: Int { height * width }

    /// `(1, C, h, w)`, the shape that diffusers gives latents of one picture.
    package var shape: Shape { Shape(1, channels, height, width) }

    package func hasSameExtents(as other: Latent) -> Bool {
        channels == other.channels && height == other.height && width == other.width
    }

    /// Element-wise combination of two latents of the same extents.
    package func combined(
        with other: Latent,
        _ operation: (Float, Float) -> Float
    ) -> Latent {
        precondition(hasSameExtents(as: other), "latents of different extents")
        var result = self
        for index in result.values.indices {
            result.values[index] = operation(values[index], other.values[index])
        }
        return result
    }

    package func mapValues(_ transform: (Float) -> Float) -> Latent {
        var result = self
        for index in result.values.indices {
            result.values[index] = transform(values[index])
        }
        return result
    }
}
