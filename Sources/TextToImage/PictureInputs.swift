internal import DiffusionModels
package import Tensors

/// The files that a picture is made of besides the model: noise and a picture to start from.
package struct PictureInputs: Sendable {
    /// What replaces the drawn noise.
    package let initialLatents: Latent?
    /// The picture to start from.
    package let image: PictureFile?

    /// None: noise is drawn, and nothing else is started from.
    package init() { (initialLatents, image) = (nil, nil) }

    /// Reads what is named, the picture from its top to its end. `kept` is the request of a run
    /// that goes on: the picture of that need not be there any more.
    ///
    /// Throws `WeightsError`, `ImageInputError` and ``PictureFileError``.
    package init(
        initialLatents: String?, image: String?, kept: GenerationRequest? = nil
    ) throws {
        self.initialLatents = try initialLatents.map(LatentFile.read)
        self.image = try image.map { try PictureFile(reading: $0, or: kept) }
    }

    /// Whether a request was made with the same noise.
    package func hasNoise(of request: GenerationRequest) -> Bool {
        request.initialLatents == initialLatents?.digestText
    }

    /// Whether a request was made with the same picture.
    package func hasImage(of request: GenerationRequest) -> Bool {
        request.image == image?.digest
    }
}

extension GenerationRequest {
    /// The request for a model of so many pixels on its native side: with the extents that a
    /// person's size means, and what the files are known by. Throws
    /// ``RequestError/shape(asked:image:)``.
    package func resolved(
        size: PictureSize, with inputs: PictureInputs, nativeSide: Int
    ) throws(RequestError) -> GenerationRequest {
        var request = self
        (request.width, request.height) = try size.resolved(
            nativeSide: nativeSide, image: inputs.image?.extent)
        request.initialLatents = inputs.initialLatents?.digestText
        request.start(from: inputs.image)
        return request
    }
}

extension Latent {
    /// What a request says about the noise that it starts from.
    fileprivate var digestText: String {
        var digest = Fingerprinter()
        digest.add(values)
        return digest.fingerprint.description
    }
}
