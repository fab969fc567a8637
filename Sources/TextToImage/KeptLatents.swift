package import ComputeBackends
package import Denoising
package import DiffusionModels
package import DurableFiles
internal import ImageOutput
internal import Sampling
internal import Tensors

/// Finished latents out of a file, to be made a picture of: those of `--save-latents`, and those
/// that were put beside the place of a picture that could not be written.
package struct KeptLatents: Sendable {
    /// Extents of the picture in pixels.
    package let extent: Extent
    private let latent: Latent
    private let model: ModelFolder
    private let tiles: TileGrid
    private let conditioning: Conditioning

    /// `extent` nil is everything that the latents show. `isRing` says that the picture's left and
    /// right sides join.
    ///
    /// Throws `WeightsError` when a file is not what it should be, and ``KeptLatentsError``.
    package init(
        reading path: String, extent: Extent? = nil, isRing: Bool = false, model: ModelFolder,
        backend: any ComputeBackend
    ) throws {
        let geometry = try ModelGeometry(of: model)
        let latent = try LatentFile.read(path)
        guard latent.channels == geometry.channels else {
            throw KeptLatentsError.channels(
                path: path, expected: geometry.channels, found: latent.channels)
        }
        tiles = TileGrid(
            latent: Extent(height: latent.height, width: latent.width), tile: geometry.nativeSide,
            scaleFactor: geometry.scaleFactor, isRing: isRing)
        let whole = tiles.pixels
        let extent = extent ?? whole
        let scale = geometry.scaleFactor
        guard (whole.height - scale + 1...whole.height).contains(extent.height),
            (whole.width - scale + 1...whole.width).contains(extent.width)
        else { throw KeptLatentsError.size(path: path, asked: extent, whole: whole) }
        self.extent = extent
        self.latent = latent
        self.model = model
        // Executors want one; decoding takes nothing of it.
        conditioning = try PromptEncoder(model: model, backend: backend)
            .encode(prompt: "", regions: [], negativePrompt: nil).conditionings[0]
    }

    /// What workers have to answer first. Throws as ``PreparedPicture/trialAnswers()`` does.
    package func trialAnswers(
        on backend: any ComputeBackend
    ) async throws -> [(item: WorkItem, answer: WorkAnswer)] {
        let side = min(8, tiles.tile.height, tiles.tile.width)
        let tile = InitialNoise.native.latent(
            channels: latent.channels, height: side, width: side,
            seed: .random(in: 0...UInt64.max))
        return try await model.answers(
            to: [.decode(DecodeTask(index: 0, tile: tile))], conditionings: [conditioning],
            on: backend)
    }

    /// Decodes all tiles into a PNG. Throws `ImageOutputError`, ``DecodingFailure`` and what the
    /// executor throws.
    package func decode(
        with executor: some TaskExecutor, to output: OutputPlace,
        onProgress: (GenerationProgress) -> Void
    ) async throws {
        let stream = try PNGStream(
            to: output, width: extent.width, height: extent.height,
            texts: [PNGText(keyword: "Software", text: "tessera \(tesseraVersion)")])
        // The thread that wrote last may hold it for a moment, and the process end in that.
        defer { stream.abandon() }
        let decoder = TileDecoder(
            tiles: tiles, height: extent.height, width: extent.width, conditionings: [conditioning])
        try await decoder.decode(
            latent, with: executor, into: stream, onProgress: { onProgress($0) })
    }
}

/// Why no picture can be made of a file of latents.
package enum KeptLatentsError: Error, Equatable, CustomStringConvertible {
    case channels(path: String, expected: Int, found: Int)
    /// The latents show so many pixels, and another picture is asked for.
    case size(path: String, asked: Extent, whole: Extent)

    package var description: String {
        switch self {
        case .channels(let path, let expected, let found):
            "\(path): the model's latents have \(expected) channels, these have \(found); name "
                + "the model that they were made with by --model"
        case .size(let path, let asked, let whole):
            "--size \(asked.width)x\(asked.height) is not what \(path) shows: "
                + "\(whole.width)x\(whole.height) pixels, or up to a latent's cell less a side; "
                + "leave --size out for all of them"
        }
    }
}
