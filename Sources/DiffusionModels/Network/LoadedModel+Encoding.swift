internal import ComputeBackends
package import Denoising
package import Tensors

extension LoadedModel {
    /// Says which latent a tile of a picture is painted from: the mean of the posterior, nothing
    /// drawn, as noisy latents are scaled. Values below 0 and above 1 are encoded as they are.
    ///
    /// Throws ``ComputeError/unsuitable(_:)`` for a model without an encoder and for a tile whose
    /// sides are no multiples of ``VAEConfiguration/scaleFactor`` or that is beyond this machine's
    /// memory, and ``ComputeError/notFinite(index:_:)`` with the tile's `index`.
    package func encode(_ tile: RGBImage, index: Int) throws(ComputeError) -> Latent {
        let factor = decoder.configuration.scaleFactor
        guard tile.height % factor == 0, tile.width % factor == 0 else {
            throw .unsuitable(
                "a tile of \(tile.width)×\(tile.height) pixels: this model's autoencoder takes "
                    + "sides that are multiples of \(factor)")
        }
        let encoder = try loadedEncoder()
        let (height, width) = (tile.height / factor, tile.width / factor)
        try checkMemory(
            encoder.workingBytes(positions: height * width),
            "encoding a tile of \(tile.width)×\(tile.height) pixels")
        let scale = LatentScale(encoder.configuration)
        let count = encoder.configuration.latentChannels * height * width
        func read(_ moments: DeviceTensor) -> Latent {
            unsafe moments.withElements { elements in
                unsafe scale.latent(elements[..<count], height: height, width: width)
            }
        }
        let latent = try moments(of: tile, height: height, width: width, encoder, read)
        guard latent.values.allSatisfy(\.isFinite) else {
            throw .notFinite(
                index: index, "the autoencoder's answer holds infinities or NaN")
        }
        return latent
    }

    /// What `read` makes of the encoder's answer, (1, 2 · channels, height, width).
    private func moments(
        of tile: RGBImage,
        height: Int,
        width: Int,
        _ encoder: VAEEncoder,
        _ read: (DeviceTensor) -> Latent
    ) throws(ComputeError) -> Latent {
        func fill(_ buffer: UnsafeMutableBufferPointer<Float>) {
            for index in tile.values.indices { unsafe buffer[index] = 2 * tile.values[index] - 1 }
        }
        let shape = ForwardCache.Tile(height: height, width: width)
        if let forward = try forward(shape, of: encoder) {
            return unsafe forward.encode(pictures: fill, read: read)
        }
        let picture = unsafe DeviceTensor(
            shape: Shape(1, tile.channels, tile.height, tile.width), filling: fill)
        let moments = encoder.moments(of: backend.channelsLast(picture), on: backend)
        return read(backend.channelsFirst(moments))
    }

    private func forward(
        _ tile: ForwardCache.Tile,
        of encoder: VAEEncoder
    ) throws(ComputeError) -> VAEEncoder.Forward? {
        do throws(MemoryShortage) {
            return try forwards.encoding(tile) { () throws(MemoryShortage) in
                try VAEEncoder.Forward(
                    encoder, items: 1, height: tile.height, width: tile.width, on: backend)
            }
        } catch { throw .unsuitable("\(error)") }
    }

    private func loadedEncoder() throws(ComputeError) -> VAEEncoder {
        guard let encoder else { throw .unsuitable("this model was loaded without an encoder") }
        do throws(WeightsError) { return try encoder.encoder() } catch {
            throw .unsuitable(
                "this model cannot take pictures, for its autoencoder has no encoder that can be "
                    + "used: \(error)")
        }
    }
}
