package import ComputeBackends
package import Denoising
internal import Glibc
package import Tensors

/// A model in memory: the networks that workers run, and what runs them. Its methods block
/// until they are done; ``ModelHost`` gives them a thread.
package struct LoadedModel: Sendable {
    /// Says what noise is in a view.
    package let unet: UNet
    /// Paints a tile.
    package let decoder: VAEDecoder
    /// Says which latent a tile is painted from; nil where nothing is to be encoded.
    let encoder: EncoderLoader?
    /// What both run on.
    package let backend: any ComputeBackend
    /// Items that would take more working memory than this, in bytes, are refused.
    private let memoryLimit: Double
    /// Shared by all copies of this value.
    let forwards = ForwardCache()

    /// Latent pixels that travel through the network together at most, as long as one view does
    /// not have more: enough to keep many threads busy at the coarse levels, and no more memory
    /// than one view of SDXL's size takes.
    private static let positionsPerPass = 1 << 14

    /// `memoryLimit` is in bytes; nil is the memory of this machine.
    package init(
        unet: UNet,
        decoder: VAEDecoder,
        encoder: EncoderLoader? = nil,
        backend: any ComputeBackend,
        memoryLimit: Double? = nil
    ) {
        self.unet = unet
        self.decoder = decoder
        self.encoder = encoder
        self.backend = backend
        self.memoryLimit = memoryLimit ?? Self.physicalMemory
    }

    /// Loads the networks, the encoder when it is asked for first; the budget serves the one that
    /// says what noise is there first, and the encoder last. Throws ``WeightsError`` naming what is
    /// missing or does not fit, but not of the encoder.
    package init(
        folder: ModelFolder,
        backend: any ComputeBackend,
        memoryBudget: MemoryBudget = MemoryBudget()
    ) throws(WeightsError) {
        var budget = memoryBudget
        let unet = budget.preparation(for: folder.unet.parameters)
        let decoder = budget.preparation(for: folder.vae.decoderParameters)
        self.init(
            unet: try UNet(
                configuration: folder.unet, weights: folder.unetWeights, backend: backend,
                preparation: unet),
            decoder: try VAEDecoder(
                configuration: folder.vae, weights: folder.vaeWeights, backend: backend,
                preparation: decoder),
            encoder: EncoderLoader(
                configuration: folder.vae, weights: folder.vaeWeights, backend: backend,
                budget: budget),
            backend: backend)
    }

    /// Of the machine, or of the control group that this process is in where that has less.
    private static var physicalMemory: Double {
        let pages = Double(sysconf(Int32(_SC_PHYS_PAGES))) * Double(sysconf(Int32(_SC_PAGESIZE)))
        return MemoryLimit.ofControlGroup.map { min(pages, Double($0)) } ?? pages
    }

    /// The negative text and the prompt, in this order, as the network looks at them.
    ///
    /// Throws ``ComputeError/unsuitable(_:)`` when the conditioning is of another model.
    package func texts(_ conditioning: Conditioning) throws(ComputeError) -> UNet.Texts {
        let embeddings = [conditioning.negative, conditioning.prompt]
        let shape = conditioning.prompt.hiddenStates.shape
        let width = unet.configuration.crossAttentionWidth
        let pooledWidth = unet.configuration.addedConditioning?.pooledWidth
        for embedding in embeddings {
            let found = embedding.hiddenStates.shape
            guard found == shape, found[0] > 0, found[1] == width else {
                throw .unsuitable(
                    "text of shape \(found): this model takes (tokens, \(width)), as many "
                        + "tokens for the negative prompt as for the prompt")
            }
            let pooled = embedding.pooled?.shape.count
            guard pooledWidth == nil || pooled == pooledWidth else {
                throw .unsuitable(
                    "a pooled text of \(pooled ?? 0) numbers: this model takes "
                        + "\(pooledWidth ?? 0)")
            }
        }
        let hidden = Tensor(
            shape: Shape([embeddings.count] + shape.extents),
            elements: embeddings.flatMap { $0.hiddenStates.elements })
        return unet.texts(
            hiddenStates: DeviceTensor(hidden),
            pooled: embeddings.map { $0.pooled?.elements ?? [] }, on: backend)
    }
}

// MARK: - Denoising

extension LoadedModel {
    /// One guided prediction per view. How views share passes does not show in the answer.
    ///
    /// Throws ``ComputeError/unsuitable(_:)`` for a view of other channels or beyond this
    /// machine's memory, and ``ComputeError/notFinite(index:_:)``.
    package func denoise(
        _ task: DenoiseTask,
        texts: UNet.Texts
    ) throws(ComputeError) -> [Latent] {
        guard task.timestep.isFinite, task.guidanceScale.isFinite, task.guidanceRescale.isFinite
        else { throw .unsuitable("a timestep or guidance that is no finite number") }
        for view in task.views {
            try check(view.sample)
            try check(task.bandSplit, in: view.sample)
        }
        let guidance = TaskGuidance(of: task)
        var answers: [Latent] = []
        var rest = task.views[...]
        while let first = rest.first {
            let most = Self.viewsPerPass(plane: first.sample.plane)
            let pass = rest.prefix(most).prefix { $0.sample.hasSameExtents(as: first.sample) }
            rest = rest.dropFirst(pass.count)
            answers += try predict(Array(pass), task.timestep, texts: texts, guidance: guidance)
        }
        guard answers.allSatisfy({ $0.values.allSatisfy(\.isFinite) }) else {
            throw .notFinite(
                index: task.index,
                "the network's prediction for task \(task.index) of step \(task.step) is not "
                    + "finite: check the weights and the latents")
        }
        return answers
    }

    /// Views of `plane` positions that travel through the network together at most.
    private static func viewsPerPass(plane: Int) -> Int { max(1, positionsPerPass / (2 * plane)) }

    /// Whether views go through with both texts at once.
    private static func takesBothTexts(views: Int, plane: Int) -> Bool {
        2 * views * plane <= positionsPerPass
    }

    private func check(_ bands: BandSplit?, in sample: Latent) throws(ComputeError) {
        guard let bands else { return }
        guard bands.highScale.isFinite else {
            throw .unsuitable("a guidance of details that is no finite number")
        }
        guard bands.fits(Extent(height: sample.height, width: sample.width)) else {
            throw .unsuitable(
                "a low band of \(bands.low) in a view of \(sample.height)×\(sample.width): "
                    + "it has at least one cell a side and at most the view's")
        }
    }

    private func check(_ sample: Latent) throws(ComputeError) {
        let channels = unet.configuration.inChannels
        guard sample.channels == channels else {
            throw .unsuitable(
                "a view of \(sample.channels) channels: this model takes \(channels)")
        }
        try checkMemory(
            unet.workingBytes(positions: sample.plane),
            "a view of \(sample.width)×\(sample.height) latent pixels")
    }

    func checkMemory(_ bytes: Double, _ what: String) throws(ComputeError) {
        guard bytes > memoryLimit else { return }
        func gibibytes(_ bytes: Double) -> Double { (bytes / 0x1p30 * 10).rounded() / 10 }
        throw .unsuitable(
            "\(what) needs about \(gibibytes(bytes)) GiB of memory, this machine has "
                + "\(gibibytes(memoryLimit)); use smaller views or tiles")
    }

    /// Views of one size in one pass, or in one per text where a pair is large by itself.
    private func predict(
        _ views: [ViewInput],
        _ timestep: Double,
        texts: UNet.Texts,
        guidance: TaskGuidance
    ) throws(ComputeError) -> [Latent] {
        guard guidance.isActive else { return try pass(views, timestep, texts.items(1..<2)) }
        let both =
            Self.takesBothTexts(views: views.count, plane: views[0].sample.plane)
            ? try pass(views, timestep, texts)
            : try pass(views, timestep, texts.items(0..<1))
                + pass(views, timestep, texts.items(1..<2))
        return views.indices.map { index in
            guidance.combine(
                conditional: both[views.count + index], unconditional: both[index])
        }
    }

    /// One prediction for each text and view, text by text, in one run of the network.
    private func pass(
        _ views: [ViewInput],
        _ timestep: Double,
        _ texts: UNet.Texts
    ) throws(ComputeError) -> [Latent] {
        let first = views[0].sample
        let items = texts.count * views.count
        let timeIDs = (0..<items).map { views[$0 % views.count].microConditioning.timeIDs }
        func fill(_ buffer: UnsafeMutableBufferPointer<Float>) {
            let one = first.values.count
            for item in 0..<items {
                let room = unsafe buffer[(item * one)..<((item + 1) * one)]
                _ = unsafe room.update(fromContentsOf: views[item % views.count].sample.values)
            }
        }
        let shape = ForwardCache.Pass(
            items: items, height: first.height, width: first.width, texts: texts.count,
            tokens: texts.tokens)
        if let forward = try forward(shape) {
            return unsafe forward.predict(
                timestep: timestep, texts: texts, timeIDs: timeIDs, sample: fill,
                read: latents(of:))
        }
        let sample = unsafe DeviceTensor(
            shape: Shape(items, first.channels, first.height, first.width), filling: fill)
        let prediction = unet.predict(
            sample: backend.channelsLast(sample), timestep: timestep, texts: texts,
            timeIDs: timeIDs, on: backend)
        return latents(of: backend.channelsFirst(prediction))
    }

    /// Copies of all items of (items, channels, h, w).
    private func latents(of planes: DeviceTensor) -> [Latent] {
        let one = planes.shape.count / planes.items
        return unsafe planes.withElements { elements in
            (0..<planes.items).map { item in
                Latent(
                    channels: planes.shape[1], height: planes.shape[2], width: planes.shape[3],
                    values: unsafe Array(elements[(item * one)..<((item + 1) * one)]))
            }
        }
    }
}

// MARK: - Decoding

extension LoadedModel {
    /// Paints one tile of a clean latent, in the format that the task asks for.
    ///
    /// Throws ``ComputeError/unsuitable(_:)`` for a tile of other channels or beyond this
    /// machine's memory, and ``ComputeError/notFinite(index:_:)``.
    package func decode(_ task: DecodeTask) throws(ComputeError) -> WorkAnswer {
        let configuration = decoder.configuration
        let tile = task.tile
        guard tile.channels == configuration.latentChannels else {
            throw .unsuitable(
                "a tile of \(tile.channels) channels: this model's autoencoder takes "
                    + "\(configuration.latentChannels)")
        }
        try checkMemory(
            decoder.workingBytes(positions: tile.plane),
            "decoding a tile of \(tile.width)×\(tile.height) latent pixels")
        let scale = LatentScale(configuration)
        func fill(_ buffer: UnsafeMutableBufferPointer<Float>) {
            unsafe scale.write(tile, to: buffer)
        }
        func read(_ image: DeviceTensor) -> WorkAnswer? {
            switch task.format {
            case .bytes:
                backend.bytes(image).map {
                    .decode(RGBTile(height: image.height, width: image.width, bytes: $0))
                }
            case .floats: image.picture.map { .pixels($0) }
            }
        }
        guard let picture = try unsafe decoded(tile, latents: fill, read) else {
            throw .notFinite(
                index: task.index, "the autoencoder's answer holds infinities or NaN")
        }
        return picture
    }

    /// What `read` makes of the decoder's answer to a tile of this size.
    private func decoded(
        _ tile: Latent,
        latents fill: (UnsafeMutableBufferPointer<Float>) -> Void,
        _ read: (DeviceTensor) -> WorkAnswer?
    ) throws(ComputeError) -> WorkAnswer? {
        let shape = ForwardCache.Tile(height: tile.height, width: tile.width)
        if let forward = try forward(shape) {
            return unsafe forward.decode(latents: fill, read: read)
        }
        let latents = unsafe DeviceTensor(shape: tile.shape, filling: fill)
        return read(decoder.decode(backend.channelsLast(latents), on: backend))
    }
}

// MARK: - Memory

extension LoadedModel {
    private func forward(_ pass: ForwardCache.Pass) throws(ComputeError) -> UNet.Forward? {
        do throws(MemoryShortage) {
            return try forwards.prediction(pass) { () throws(MemoryShortage) in
                try UNet.Forward(
                    unet, items: pass.items, height: pass.height, width: pass.width,
                    texts: pass.texts, tokens: pass.tokens, on: backend)
            }
        } catch { throw .unsuitable("\(error)") }
    }

    private func forward(_ tile: ForwardCache.Tile) throws(ComputeError) -> VAEDecoder.Forward? {
        do throws(MemoryShortage) {
            return try forwards.decoding(tile) { () throws(MemoryShortage) in
                try VAEDecoder.Forward(
                    decoder, items: 1, height: tile.height, width: tile.width, on: backend)
            }
        } catch { throw .unsuitable("\(error)") }
    }

    /// Under a memory limit, lays out what a picture takes before anything is computed: the passes
    /// of its stages, with texts of `tokens` tokens, and the tile it is decoded by.
    ///
    /// Throws ``ComputeError/unsuitable(_:)`` when that leaves too little.
    package func checkRoom(
        for plan: DenoisingPlan, tiles: TileGrid, tokens: Int
    ) throws(ComputeError) {
        guard MemoryLimit.current != nil else { return }
        if let tile = tiles.tiles.max(by: { $0.height * $0.width < $1.height * $1.width }) {
            _ = try forward(ForwardCache.Tile(height: tile.height, width: tile.width))
            try checkRest()
        }
        for group in plan.groups {
            let plane = group.viewExtent.height * group.viewExtent.width
            let views = min(
                plan.request.viewsPerTask, group.viewCount, Self.viewsPerPass(plane: plane))
            let texts =
                group.isGuided && Self.takesBothTexts(views: views, plane: plane) ? 2 : 1
            _ = try forward(
                ForwardCache.Pass(
                    items: texts * views, height: group.viewExtent.height,
                    width: group.viewExtent.width, texts: texts, tokens: tokens))
            try checkRest()
        }
    }

    /// Whether enough is left for what grows while the picture is made.
    private func checkRest() throws(ComputeError) {
        do throws(MemoryShortage) {
            try MemoryLimit.check(
                0, for: "what is allocated on the way", leaving: MemoryLimit.leftAtStart)
        } catch { throw .unsuitable("\(error)") }
    }
}

extension DeviceTensor {
    /// The one item of (1, h, w, 3), nominally in [−1, 1], as a picture from 0 to 1; nil when a
    /// value is not finite.
    fileprivate var picture: RGBImage? {
        let plane = height * width
        var values = [Float](repeating: 0, count: 3 * plane)
        let isFinite = unsafe withElements { elements in
            for position in 0..<plane {
                for channel in 0..<3 {
                    let value = unsafe elements[position * 3 + channel]
                    guard value.isFinite else { return false }
                    values[channel * plane + position] = min(max(value / 2 + 0.5, 0), 1)
                }
            }
            return true
        }
        return isFinite ? RGBImage(height: height, width: width, values: values) : nil
    }
}
